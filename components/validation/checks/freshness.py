"""When the newest row is from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SECONDS_PER_DAY = 86_400.0

UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (0.0, 1.0))
"""From which number on an epoch is in nanoseconds, microseconds, milliseconds, else in seconds: years 1973 to 5138."""


def newest(paths: Sequence[Path], column: str) -> datetime.datetime:
    """Returns the latest moment in a column, in UTC.

    Text is ISO 8601 (a date, or a date and a time; without an offset it is UTC). Whole numbers are dates such as
    20261231, or an epoch in seconds, milliseconds, microseconds or nanoseconds.

    Raises:
        ValueError: The column has no value, or holds something else.
    """
    moments = [_moment(value) for path in paths for value in _extremes(path, column)]
    if not moments:
        raise ValueError("it has no value")
    return max(moments)


def _extremes(path: Path, column: str) -> list[object]:
    """Returns what the latest moment is among: for text, all values, as offsets may differ."""
    values = pc.drop_null(pq.read_table(path, columns=[column])[column])
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        found: list[object] = pc.unique(values).to_pylist()
        return found
    return [pc.max(values).as_py()] if len(values) else []


def _moment(value: object) -> datetime.datetime:
    try:
        if isinstance(value, str):
            return _utc(datetime.datetime.fromisoformat(value.strip().replace("Z", "+00:00")))
        if isinstance(value, int | float):
            if 19_000_101 <= value <= 29_991_231 and value == int(value):
                return _utc(datetime.datetime.strptime(str(int(value)), "%Y%m%d"))
            unit = next(per_second for start, per_second in UNITS if abs(value) >= start)
            return datetime.datetime.fromtimestamp(value / unit, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError(f"{str(value)[:60]!r} is neither ISO 8601, nor a date such as 20261231, nor an epoch")


def _utc(moment: datetime.datetime) -> datetime.datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.timezone.utc)
    return moment.astimezone(datetime.timezone.utc)
