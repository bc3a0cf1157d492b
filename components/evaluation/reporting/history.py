"""The metrics of the published versions: what each was blessed with, and what the champion is worth on today's rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.components.common import buckets, manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.evaluation.gates.standing_verdict import EVALUATION_FILE

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
    parent, _, champion = champion_uri.rstrip("/").rpartition("/")
    try:
        names = _names(parent) if parent else []
    except UserError:
        return []  # Whatever is wrong with the champion, the evaluation proper says it.
    numbers = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
    found = [_read(f"{parent}/{number}", task, str(number) == champion) for number in numbers[-MOST_VERSIONS:]]
    return [version for version in found if version]


def _names(folder: str) -> list[str]:
    if buckets.is_bucket(folder):
        return buckets.list_names(folder)
    path = storage.as_path(folder)
    return [child.name for child in path.iterdir()] if path.is_dir() else []


def _read(folder: str, task: str, is_champion: bool) -> PastVersion | None:
    try:
        version = _json(f"{folder}/{manifests.VERSION_MANIFEST}")
        content = _json(f"{folder}/evaluation/{EVALUATION_FILE}")
    except UserError:
        return None
    if not isinstance(version, dict) or not isinstance(version.get("version"), int):
        return None
    if not isinstance(content, dict) or content.get("task") != task:
        return None
    metrics = _numbers((content.get("metrics") or {}).get("challenger"))
    if not metrics:
        return None
    told = (content.get("intervals") or {}).get("challenger") or {}
    intervals = {
        name: (float(each["low"]), float(each["high"]))
        for name, each in told.items()
        if _numbers(each).keys() >= {"low", "high"}
    }
    rows = content.get("rows")
    count = rows if isinstance(rows, int) else 0
    return PastVersion(version["version"], str(version.get("created", "")), count, metrics, intervals, is_champion)


def _json(uri: str) -> Any:
    if not buckets.is_bucket(uri):
        return storage.read_json(storage.as_path(uri))
    try:
        return json.loads(buckets.read(uri))
    except ValueError as error:
        raise UserError(f"{uri}: cannot be read as JSON: {error}") from error


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
