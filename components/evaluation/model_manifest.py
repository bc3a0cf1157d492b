"""The manifests of the models to compare: read, checked, and held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mainspring.components.common import manifests
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, BOOLEANS, MULTICLASS, MULTILABEL, RANKING, ModelManifest


def misfit(champion: ModelManifest, challenger: ModelManifest, columns: Mapping[str, str]) -> str | None:
    """Returns why the champion cannot be measured on the challenger's rows, in words, or None."""
    for what in ("task", "label", "classes", "query"):
        theirs, ours = getattr(champion, what), getattr(challenger, what)
        if theirs != ours and not _are_booleans(theirs, ours):
            return f"its {what} is {theirs!r}, the challenger's {ours!r}"
    missing = sorted(set(champion.features) - set(columns))
    if missing:
        return f"it takes the feature {missing[0]!r}, which the examples lack"
    return None


def _are_booleans(*classes: object) -> bool:
    """Returns whether all are the classes of true and false, which models were given as 0 and 1 before."""
    return all(each in ([*BOOLEANS], ["0", "1"]) for each in classes)


def read_manifest(folder: Path) -> ModelManifest:
    """Reads the model manifest in `folder` and checks what evaluation relies on.

    Raises:
        UserError: It is missing or says something impossible.
    """
    path = folder / manifests.MODEL_MANIFEST
    manifest = manifests.read(ModelManifest, path)
    if manifest.task not in manifests.JUDGED_TASKS:
        raise UserError(f"{path}: unknown task {manifest.task!r}; known are {', '.join(manifests.JUDGED_TASKS)}")
    count = len(set(manifest.classes))
    least = {BINARY: 2, MULTICLASS: 2, MULTILABEL: 1}.get(manifest.task, 0)
    if count < least or count != len(manifest.classes) or (manifest.task == BINARY and count != 2):
        raise UserError(f"{path}: {len(manifest.classes)} classes do not suit {manifest.task}, or one occurs twice")
    if manifest.task == RANKING and manifest.query in ("", manifest.label):
        raise UserError(f"{path}: ranking needs `query`, the column that says which rows belong together")
    odd = sorted(name for name, kind in manifest.features.items() if kind not in ("numeric", "categorical"))
    if odd or not manifest.features:
        raise UserError(f"{path}: features must be numeric or categorical: {', '.join(odd) or 'there are none'}")
    return manifest
