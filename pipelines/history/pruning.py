"""Which local runs may go: none that is under way. Published versions are copies, and stay."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.pipelines.history.records import RUNNING, UNREADABLE, RunRecord, runs_folder


def removable(records: list[RunRecord], keep: int, older_than_days: float) -> list[RunRecord]:
    """Returns the runs that go, oldest first: all but the newest `keep`, of those that are old enough.

    Args:
        records: Newest first.
        keep: How many of the newest stay, whatever their age.
        older_than_days: A run goes only when it began so long ago; 0: at any age.

    Raises:
        UserError: The age is no number of days.
    """
    try:
        limit = datetime.now(timezone.utc) - timedelta(days=older_than_days)
    except (ValueError, OverflowError) as error:
        raise UserError(f"--older-than {older_than_days}: give a number of days, such as 90") from error
    return [
        record
        for record in reversed(records[keep:])
        if record.status not in (RUNNING, UNREADABLE) and datetime.fromisoformat(record.started) <= limit
    ]


def remove(root: Path, record: RunRecord) -> None:
    """Removes a run's folder.

    Raises:
        UserError: It may not be removed.
    """
    folder = runs_folder(root) / record.run
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder}: cannot be removed: {error.strerror or error}") from error
