"""What lies in a published version, on a path or in a bucket, for whoever is given its URI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest, VersionManifest

MODEL_FOLDER = "model"
"""In a published version: the folder that holds nothing but the integer folder of the SavedModel, which is what KServe
gets and TensorFlow Serving takes. Older versions have the SavedModel's files beside the rest instead."""

SAVED_MODEL = "saved_model.pb"


def saved_model(folder: Path) -> Path:
    """Returns the folder of the SavedModel in a model's folder or in a published version, of either layout."""
    if (folder / SAVED_MODEL).is_file():
        return folder
    within = [path.parent for path in folder.glob(f"{MODEL_FOLDER}/*/{SAVED_MODEL}") if path.parent.name.isdigit()]
    return within[0] if len(within) == 1 else folder


def folder_of_model(manifest: VersionManifest) -> str:
    """Returns the folder in a published version that a model server of integer folders takes; empty: it has none."""
    return MODEL_FOLDER if any(name.startswith(f"{MODEL_FOLDER}/") for name in manifest.files) else ""


def version(uri: str) -> VersionManifest | None:
    """Returns the manifest of a published version, or None if there is no complete one at the URI.

    Raises:
        UserError: It is there and cannot be read.
    """
    found = content(uri, manifests.VERSION_MANIFEST)
    return None if found is None else manifests.parse(VersionManifest, found, f"{uri}/{manifests.VERSION_MANIFEST}")


def model_manifest(uri: str) -> ModelManifest | None:
    """Returns the manifest of the model in a published version, or None if it is gone.

    Raises:
        UserError: It is there and cannot be read.
    """
    found = content(uri, manifests.MODEL_MANIFEST)
    return None if found is None else manifests.parse(ModelManifest, found, f"{uri}/{manifests.MODEL_MANIFEST}")


def content(uri: str, file: str) -> Any:
    """Returns the content of a JSON file under a URI, or None if there is no such file.

    Raises:
        UserError: It is there and cannot be read.
    """
    place = buckets.join(uri, file) if buckets.is_bucket(uri) else str(storage.as_path(uri) / file)
    try:
        return json.loads(buckets.read(place) if buckets.is_bucket(uri) else Path(place).read_bytes())
    except (buckets.NotFound, FileNotFoundError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{place}: cannot be read as JSON: {error}") from error
