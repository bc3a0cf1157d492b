"""What a model's manifest says of how its source writes columns, for whoever sends rows as they are written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mainspring.components.common import manifests, storage
from mainspring.components.serving.model.rows import BOOLEAN, MOMENT, WHOLE
from mainspring.components.serving.model.signature import Signature


def of(signature: Signature, folder: Path) -> Signature:
    """Returns the signature with features that take what the source has; the same if the folder has no manifest.

    Raises:
        UserError: The manifest cannot be read.
    """
    manifest = _manifest(folder)
    written = {
        name: how
        for field, how in (("integers", WHOLE), ("moments", MOMENT), ("booleans", BOOLEAN))
        for name in manifest.get(field) or ()
    }
    features = {
        name: dataclasses.replace(feature, written=written.get(name, ""))
        for name, feature in signature.features.items()
    }
    return dataclasses.replace(signature, features=features)


def has_boolean_label(folder: Path) -> bool:
    """Returns whether the source has the label as true and false.

    Raises:
        UserError: The manifest cannot be read.
    """
    manifest = _manifest(folder)
    return manifest.get("label") in (manifest.get("booleans") or ())


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / manifests.MODEL_MANIFEST
    content = storage.read_json(file) if file.is_file() else {}
    return content if isinstance(content, dict) else {}
