"""Publishing: the next integer version of a model, complete or absent, never changed afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest, VersionManifest

STATISTICS = "statistics"
EVALUATION = "evaluation"
LOCK = ".lock"


def models_folder(models_root: str) -> Path:
    """Returns the absolute folder under which models are published; the local root's `models/` by default."""
    return storage.as_path(models_root).absolute() if models_root else storage.local_root() / "models"


def publish(
    model: Path,
    statistics: Path,
    evaluation: Path,
    *,
    root: Path,
    name: str,
    baseline: str = "",
    replaces: int = 0,
) -> VersionManifest:
    """Publishes a model as `<root>/<name>/<next integer>/`; two publishers at once get two versions.

    Args:
        model: A SavedModel's folder, with its manifest.
        statistics: The folder of the statistics of its data.
        evaluation: The folder of its evaluation.
        root: Models root. TensorFlow Serving takes `<root>/<name>` as base path.
        name: The model's name.
        baseline: URI of the version whose data these examples were validated against.
        replaces: The version that is served now; 0 if none is.

    Returns:
        The version's manifest; that of the newest or of the served version if it holds this very model.

    Raises:
        UserError: The model's folder is incomplete, or the root cannot be written.
    """
    manifest = check_layout(model)
    folder = root / name
    with _lock(folder):
        for orphan in folder.glob(".[0-9]*.*"):  # A killed publisher's; nobody else writes while we hold the lock.
            shutil.rmtree(orphan, ignore_errors=True)
        published = versions(root, name)
        # The served version is older than the newest after a rollback.
        candidates = [*published[:1], *(known for known in published if known.version == replaces)]
        for known in candidates:
            if known.model_fingerprint == manifest.fingerprint:
                return known
        number = max(_numbers(folder), default=0) + 1
        with storage.publishing_directory(folder / str(number)) as aside:
            _copy(model, aside)
            _copy(statistics, aside / STATISTICS)
            _copy(evaluation, aside / EVALUATION)
            version = VersionManifest(
                name=name,
                version=number,
                model_fingerprint=manifest.fingerprint,
                examples_fingerprint=manifest.examples_fingerprint,
                baseline=baseline,
                replaces=replaces,
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                files=checksums(aside),
                rebaselined=_rebaselined(evaluation),
            )
            manifests.write(version, aside / manifests.VERSION_MANIFEST)
        return version


def _rebaselined(evaluation: Path) -> str:
    """Returns why the evaluation left the champion out, where it was told to; empty otherwise."""
    path = evaluation / "evaluation.json"
    content = storage.read_json(path) if path.is_file() else {}
    return str(content.get("rebaselined") or "") if isinstance(content, dict) else ""


def check_layout(model: Path) -> ModelManifest:
    """Checks that a folder is a whole SavedModel with its manifest, and returns the manifest.

    Raises:
        UserError: A file is missing or empty.
    """
    for needed in ("saved_model.pb", "variables/variables.index", manifests.MODEL_MANIFEST):
        file = model / needed
        if not file.is_file() or file.stat().st_size == 0:
            raise UserError(f"{model}: not a model that can be published: {needed} is missing or empty")
    return manifests.read(ModelManifest, model / manifests.MODEL_MANIFEST)


def versions(root: Path, name: str) -> list[VersionManifest]:
    """Returns a model's published versions, newest first; folders without a version's manifest are none."""
    folder = root / name
    return [
        manifests.read(VersionManifest, folder / str(number) / manifests.VERSION_MANIFEST)
        for number in sorted(_numbers(folder), reverse=True)
        if (folder / str(number) / manifests.VERSION_MANIFEST).is_file()
    ]


def models(root: Path) -> list[str]:
    """Returns the names of the models that have a published version, sorted."""
    return sorted(path.name for path in root.glob("[!.]*") if path.is_dir() and versions(root, path.name))


def version_folder(root: Path, version: VersionManifest) -> Path:
    """Returns where a version is published."""
    return root / version.name / str(version.version)


def checksums(folder: Path) -> dict[str, str]:
    """Returns `sha256:<hex>` by relative path for every file under a folder."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        found[path.relative_to(folder).as_posix()] = f"sha256:{digest.hexdigest()}"
    return found


def _copy(source: Path, target: Path) -> None:
    # Not `shutil.copytree`, which wraps a full disk's error into one that nobody recognises.
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.is_dir():
            _copy(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [
        int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdigit() and path.is_dir()
    ]


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with storage.full_disks_as_user_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
