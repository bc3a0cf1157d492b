"""Columns that grow by nature (dates, ids, counters): the next span's values are others, and that is no drift."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics.span_statistics import by_name, common, value_counts

TAG = "grows"
"""The annotation by which the schema says so; its comment says why."""

DATE = "dates or times"
ID = "an id: it is different in every row"
COUNTER = "it grows from one span to the next"
RESTLESS = "it differs too much within the training window for a later difference to stand out"
ASKED = "the policy leaves it out"

CHANCE = 5.0
"""So many values at least would repeat, were they drawn at random: then it is no chance that none does."""

_TEXT_DATES = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])(-([0-2]\d|3[01]))?([T ]\d{1,2}:\d{2}.*)?|\d{4}/\d{1,2}/\d{1,2}( .*)?"
    r"|\d{1,2}[./-]\d{1,2}[./-](\d{2}|\d{4})( .*)?|\d{4}-?(W\d{2}|Q[1-4])(-\d)?"
)

_FIRST, _LAST = (datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc).timestamp() for year in (2000, 2100))

SECONDS = (1.0, 1e3, 1e6, 1e9)
"""Parts of a second in which the time since 1970 is counted."""


def at_first(
    whole: DatasetFeatureStatisticsList,
    parts: Sequence[DatasetFeatureStatisticsList],
    moments: Collection[str],
    unique: Collection[str],
    *,
    several_spans: bool,
) -> dict[str, str]:
    """Returns why each column that grows by nature is left out of drift.

    Args:
        whole: Statistics of all rows.
        parts: Of the window's spans, oldest first, or of pieces of the only one.
        moments: Columns that the examples' manifest calls dates or times.
        unique: Columns of whole numbers and text whose values are different in every row.
        several_spans: Whether `parts` are spans.
    """
    found = {}
    for name, feature in by_name(whole).items():
        if name in moments or _looks_like_dates(feature):
            found[name] = DATE
        elif name in unique and _beyond_chance(feature):
            found[name] = ID
    if several_spans and len(parts) > 1:
        named = [by_name(part) for part in parts]
        for name in by_name(whole):
            if name not in found and _grows([part[name] for part in named if name in part]):
                found[name] = COUNTER
    return found


def marked(schema: schema_pb2.Schema) -> dict[str, str]:
    """Returns the features that a schema says grow by nature, and why."""
    return {one.name: one.annotation.comment[0] for one in schema.feature if TAG in one.annotation.tag}


def mark(schema: schema_pb2.Schema, left_out: Mapping[str, str]) -> None:
    """Writes into the schema which features grow by nature; they get no comparator."""
    for feature in schema.feature:
        if feature.name in left_out:
            feature.annotation.tag.append(TAG)
            feature.annotation.comment.append(left_out[feature.name])
            feature.ClearField("drift_comparator")
            feature.ClearField("skew_comparator")


def _looks_like_dates(feature: Any) -> bool:
    if not common(feature).num_non_missing:
        return False
    if feature.HasField("string_stats"):
        values = list(value_counts(feature))[:50]
        return len(values) > 1 and sum(bool(_TEXT_DATES.fullmatch(value)) for value in values) >= 0.9 * len(values)
    low, high = feature.num_stats.min, feature.num_stats.max
    if low == high:
        return False
    if any(_FIRST * part <= low and high <= _LAST * part for part in SECONDS):
        return True
    return bool(feature.type == feature.INT) and _is_day(low) and _is_day(high)


def _is_day(number: float) -> bool:
    """Whether a number is a day as 20261231 is."""
    if not 19_000_101 <= number <= 21_001_231:
        return False
    try:
        datetime.datetime.strptime(f"{number:.0f}", "%Y%m%d")
    except ValueError:
        return False
    return True


def _beyond_chance(feature: Any) -> bool:
    rows = common(feature).num_non_missing
    if feature.HasField("string_stats"):
        return rows >= 100
    span = feature.num_stats.max - feature.num_stats.min + 1
    return bool(rows * rows / (2 * span) >= CHANCE)


def _grows(parts: Sequence[Any]) -> bool:
    """Whether each part's numbers lie above those of the part before."""
    if len(parts) < 2 or any(not one.HasField("num_stats") or not common(one).num_non_missing for one in parts):
        return False
    bounds = [(one.num_stats.min, one.num_stats.max) for one in parts]
    return all(now[0] > before[1] for before, now in itertools.pairwise(bounds))
