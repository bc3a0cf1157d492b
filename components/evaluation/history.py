"""The metrics of the published versions: what each was blessed with, and what the champion is worth on today's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import VersionManifest
from mainspring.components.evaluation.standing import EVALUATION_FILE

MOST_VERSIONS = 50
"""The newest ones are shown: a picture of hundreds says no more."""


@dataclass(frozen=True)
class PastVersion:
    """A published version as it was judged then, on the eval rows of its time."""

    version: int
    created: str
    rows: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    is_champion: bool


def read(champion_uri: str, task: str) -> list[PastVersion]:
    """Returns the versions published beside the champion, oldest first, as far as their evaluations can be read.

    Args:
        champion_uri: `<models root>/<name>/<version>`; empty if none is served.
        task: Only evaluations of this task are comparable.
    """
    if not champion_uri:
        return []
    try:
        champion = storage.as_path(champion_uri)
    except UserError:
        return []  # Whatever is wrong with the champion, the evaluation proper says it.
    parent = champion.parent
    numbered = sorted(
        (path for path in parent.glob("[0-9]*") if path.name.isdecimal()), key=lambda path: int(path.name)
    )
    found = [_read(path, task, path.name == champion.name) for path in numbered[-MOST_VERSIONS:]]
    return [version for version in found if version]


def _read(folder: Path, task: str, is_champion: bool) -> PastVersion | None:
    try:
        version = manifests.read(VersionManifest, folder / manifests.VERSION_MANIFEST)
        content = storage.read_json(folder / "evaluation" / EVALUATION_FILE)
    except UserError:
        return None
    if not isinstance(content, dict) or content.get("task") != task:
        return None
    metrics = _numbers((content.get("metrics") or {}).get("challenger"))
    told = (content.get("intervals") or {}).get("challenger") or {}
    intervals = {
        name: (float(each["low"]), float(each["high"]))
        for name, each in told.items()
        if isinstance(each, dict) and _numbers(each).keys() >= {"low", "high"}
    }
    rows = content.get("rows")
    count = rows if isinstance(rows, int) else 0
    return PastVersion(version.version, version.created, count, metrics, intervals, is_champion) if metrics else None


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
