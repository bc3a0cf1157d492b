"""Where versions are published, on a path or in a bucket: the few questions that publishing asks of either."""

from __future__ import annotations

import shutil
from pathlib import Path

from mainspring.components.common import buckets, manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import VersionManifest
from mainspring.components.common.published import model_manifest as model_manifest
from mainspring.components.common.published import version as version


def models_folder(models_root: str) -> str:
    """Returns where models are published, in its one spelling: a bucket's URI, or a path; by default `models/`."""
    return buckets.canonical(models_root or storage.local_root() / "models")


def version_uri(root: str | Path, name: str, version: int) -> str:
    """Returns where a version is published, or would be."""
    return (
        buckets.join(str(root), name, str(version)) if buckets.is_bucket(root) else str(Path(root, name, str(version)))
    )


def models(root: str | Path) -> list[str]:
    """Returns the names of the models that have a published version, sorted."""
    if buckets.is_bucket(root):
        names = buckets.list_names(str(root))
    else:
        names = sorted(path.name for path in Path(root).glob("[!.]*") if path.is_dir())
    return [name for name in names if versions(root, name)]


def versions(root: str | Path, name: str) -> list[VersionManifest]:
    """Returns a model's published versions, newest first; folders without a version's manifest are none."""
    found = (version(version_uri(root, name, number)) for number in sorted(numbers(root, name), reverse=True))
    return [manifest for manifest in found if manifest is not None]


def numbers(root: str | Path, name: str) -> list[int]:
    """Returns the numbers that are taken, by published versions or by unfinished ones."""
    if buckets.is_bucket(root):
        names = buckets.list_names(buckets.join(str(root), name))
    else:
        folder = Path(root) / name
        names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return [int(text) for text in names if text.isascii() and text.isdigit()]


def remove(root: str | Path, name: str, number: int) -> None:
    """Removes a version, its manifest first: what is left of a removal that was cut short is no version.

    Raises:
        UserError: It may not be removed.
    """
    uri = version_uri(root, name, number)
    if buckets.is_bucket(root):
        marker = buckets.stat(buckets.join(uri, manifests.VERSION_MANIFEST))
        buckets.delete([marker] if marker else [])
        buckets.delete(buckets.list_objects(uri))
        return
    folder = Path(uri)
    try:
        (folder / manifests.VERSION_MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be removed: {error.strerror or error}") from error
