"""What is kept between windows, in a folder: each window's findings, its statistics, its predictions, each decision.

    windows/<key>/monitoring.json  FeatureStats.pb  served.parquet
    decisions/<key>.json

A window's key is the time at which it ends. A file is written in one rename; judging a window again replaces it.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import STATISTICS_FILE
from mainspring.components.monitoring.journal.journal_folder import WINDOWS
from mainspring.components.statistics import statistics_files

FINDINGS_FILE = "monitoring.json"
SERVED_FILE = "served.parquet"


def key_of(until: float) -> str:
    """Returns the key of a window that ends at a time, in seconds since the epoch."""
    return datetime.datetime.fromtimestamp(until, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def earlier_windows(journal: Path, key: str) -> list[dict[str, Any]]:
    """Returns the findings of the windows before one, oldest first; unreadable ones are named and passed over."""
    found = []
    for path in sorted((journal / WINDOWS).glob(f"*/{FINDINGS_FILE}")):
        if path.parent.name < key:
            try:
                content = storage.read_json(path)
                found.append({**content, "key": str(content["key"])})
            except (UserError, TypeError, KeyError) as error:
                print(f"{path}: passed over: {error}", flush=True)
    return found


def statistics_of(journal: Path, key: str) -> DatasetFeatureStatisticsList | None:
    """Returns an earlier window's statistics; None if they are gone."""
    return statistics_files.read(journal / WINDOWS / key / STATISTICS_FILE)[0]


def served_of(journal: Path, key: str) -> Path:
    """Returns where an earlier window's predictions are, if they are still kept."""
    return journal / WINDOWS / key / SERVED_FILE


def write_window(
    journal: Path, key: str, findings: Any, statistics: DatasetFeatureStatisticsList | None, served: Path
) -> None:
    """Keeps a window: its predictions and statistics first, its findings last."""
    folder = journal / WINDOWS / key
    with storage.full_disks_as_user_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in ((SERVED_FILE, served),):
            aside = folder / f".{name}"
            shutil.copyfile(source, aside)
            aside.replace(folder / name)
        if statistics is not None:
            aside = folder / f".{STATISTICS_FILE}"
            aside.write_bytes(statistics.SerializeToString())
            aside.replace(folder / STATISTICS_FILE)
    storage.write_json(folder / FINDINGS_FILE, findings)


def rewrite_findings(journal: Path, key: str, findings: Any) -> None:
    """Replaces an earlier window's findings: labels have come since."""
    storage.write_json(journal / WINDOWS / key / FINDINGS_FILE, findings)


def forget_predictions(journal: Path, keys: Sequence[str]) -> None:
    """Removes the predictions of windows for which no more labels are waited for."""
    for key in keys:
        served_of(journal, key).unlink(missing_ok=True)
