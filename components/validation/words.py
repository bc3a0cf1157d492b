"""Anomalies in words that whoever owns the data understands."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from mainspring.components.statistics import drift, span_statistics
from mainspring.components.statistics.span_statistics import common, value_counts
from mainspring.components.validation import samples
from mainspring.components.validation.policy import anomaly_kinds

if TYPE_CHECKING:
    from mainspring.components.validation.judgement import Scope
    from mainspring.components.validation.schemas import UsedSchema

EXACT = 1e16
"""Whole numbers from here on are not all doubles."""

VALUES_NAMED = 5
"""More unknown values than this are counted, not named."""

CHARACTERS_OF_TFDV = 500
"""TFDV's own descriptions, which name values of the data, are cut here."""

TYPES = {
    schema_pb2.INT: "whole numbers",
    schema_pb2.FLOAT: "numbers",
    schema_pb2.BYTES: "text",
}


def of_anomaly(
    kind: str,
    reason: Any,
    feature: str,
    scope: Scope,
    schema: UsedSchema,
    drifts: Mapping[str, drift.Drift],
    before: Mapping[str, Any],
) -> str:
    """Returns one sentence for a reason of TFDV's.

    Args:
        kind: The name of TFDV's anomaly type.
        reason: TFDV's `AnomalyInfo.Reason`.
        feature: The column.
        scope: The rows that were judged.
        schema: What they were judged by.
        drifts: What was measured, by feature.
        before: The features' statistics that drift was measured against; empty if it was not.
    """
    expected = schema.features.get(feature)
    if expected is None and kind == "SCHEMA_NEW_COLUMN":
        return f"{feature}: a column that the schema does not know; leave it out in the query, or add it to the schema"
    if expected is not None and kind == "SCHEMA_MISSING_COLUMN":
        return f"{feature}: not a column of the examples any more; the schema requires it"
    if expected is not None and kind in ("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "BOOL_TYPE_UNEXPECTED_STRING"):
        return _unknown_values(feature, scope, schema, expected)
    if kind.startswith("COMPARATOR_") and kind.endswith("_HIGH"):
        return _drifted(feature, scope, drifts, before) or _as_it_is(feature, scope, reason)
    if expected is not None and anomaly_kinds.of_tfdv(kind, anomaly_kinds.DRIFT) == anomaly_kinds.OUT_OF_RANGE:
        return _out_of_range(feature, scope, expected)
    if kind == "COMPARATOR_CONTROL_DATA_MISSING":
        return f"{feature}: its drift cannot be judged; the baseline has no values of it"
    if kind == "UNEXPECTED_DATA_TYPE" and expected is not None and expected.type in TYPES:
        return f"{feature}: holds {_type_of(feature, scope)}; the schema expects {TYPES[expected.type]}"
    statistics = scope.features.get(feature)
    if expected is not None and statistics is not None and common(statistics).num_missing:
        total = sum(span_statistics.rows(file) for file in scope.files)
        missing = samples.count(scope.files, feature, pc.is_null)
        if missing == total:
            return f"{feature}: missing in all rows of {scope.words}; the schema requires it"
        if kind in ("FEATURE_TYPE_LOW_FRACTION_PRESENT", "FEATURE_TYPE_LOW_NUMBER_PRESENT", "INVALID_FEATURE_SHAPE"):
            return _missing(feature, scope, expected, missing, total)
    return _as_it_is(feature, scope, reason)


def of_skew(
    kind: str, reason: Any, feature: str, newest: Scope, skews: Mapping[str, drift.Drift], served: Mapping[str, Any]
) -> str:
    """Returns one sentence for a feature that is served otherwise than it is trained on.

    Args:
        kind: The name of TFDV's anomaly type.
        reason: TFDV's `AnomalyInfo.Reason`.
        feature: The column.
        newest: The rows that are compared with what was served.
        skews: What was measured, by feature.
        served: Its features' statistics.
    """
    measured = skews.get(feature)
    if kind == "COMPARATOR_CONTROL_DATA_MISSING":
        return f"{feature}: its skew cannot be judged; the serving statistics have no values of it"
    if measured is None or not kind.endswith("_HIGH"):
        return _as_it_is(feature, newest, reason)
    digits = 2 if f"{measured.value:.2f}" != f"{measured.threshold:.2f}" else 4
    details = f"{measured.measure} {measured.value:.{digits}f}, at most {measured.threshold:.{digits}f} allowed"
    moved = _what_moved(feature, newest, served).replace(" before", " served").replace(" now", " in training")
    return f"{feature}: served otherwise than it is trained on ({details}{moved})"


def count(number: float, noun: str) -> str:
    """Returns `1 row`, `2,000 rows`."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """Returns a number of the data, with digits enough to tell it from its neighbours."""
    whole = math.isfinite(value) and value == math.floor(value) and abs(value) < EXACT
    return f"{value:,.0f}" if whole else f"{value:,.9g}"


def moment(seconds: float) -> str:
    """Returns a moment, given in seconds since 1970, as people write it: in UTC, without a time that is midnight."""
    try:
        found = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return number(seconds)
    return f"{found:%Y-%m-%d}" if seconds % 86_400 == 0 else f"{found:%Y-%m-%d %H:%M:%S}"


def day(seconds: float) -> str:
    """Returns the day of a moment."""
    return moment(seconds)[:10]


def of_rows(some: float, total: float) -> str:
    """Returns `all rows` or `0.16 % of the rows`."""
    return "all rows" if some == total else f"{percent(some / total)} of the rows"


def percent(share: float) -> str:
    """Returns a share as a percentage of two significant digits, never rounded to nothing or all."""
    text = f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.1f}"
    return f"{float(text):g} %" if float(text) < 100 or share == 1 else "> 99.9 %"


def domain(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> schema_pb2.StringDomain:
    """Returns the text values that a feature may have, its own or those that it shares; empty if there are none."""
    if feature.HasField("string_domain"):
        return feature.string_domain
    return next((one for one in schema.string_domain if one.name == feature.domain), schema_pb2.StringDomain())


def _unknown_values(feature: str, scope: Scope, schema: UsedSchema, expected: schema_pb2.Feature) -> str:
    unknown = _rows_by_unknown_value(scope.files, feature, domain(schema.proto, expected).value)
    named = ", ".join(f'"{samples.clipped(value)}"' for value in list(unknown)[:VALUES_NAMED])
    more = f" and {count(len(unknown) - VALUES_NAMED, 'other value')}" if len(unknown) > VALUES_NAMED else ""
    rows = sum(unknown.values())
    verb = "has a value" if rows == 1 else "have values"
    limit = 1 - expected.distribution_constraints.min_domain_mass
    where = f" in {scope.words}"
    if expected.HasField("distribution_constraints") and limit > 0:
        share = rows / sum(span_statistics.rows(file) for file in scope.files)
        where = f" ({percent(share)} of {scope.words}, at most {percent(limit)} allowed)"
    return f"{feature}: {count(rows, 'row')}{where} {verb} that the schema does not know: {named}{more}"


def unknown_values(feature: str, scope: Scope, schema: UsedSchema, expected: schema_pb2.Feature) -> list[str]:
    """Returns the most frequent values that the schema does not know."""
    return list(_rows_by_unknown_value(scope.files, feature, domain(schema.proto, expected).value))[:VALUES_NAMED]


def _rows_by_unknown_value(files: Sequence[Path], column: str, known: Sequence[str]) -> dict[str, int]:
    """Counts exactly, and only where something is wrong: TFDV's statistics hold the most frequent values only."""
    found: dict[str, int] = {}
    for file in files:
        values = pc.drop_null(samples.opened(file)[0].read(columns=[column])[column].combine_chunks())
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            values = pc.cast(values, pa.string())
        for entry in pc.value_counts(values.filter(pc.invert(pc.is_in(values, pa.array(known, values.type))))):
            found[entry["values"].as_py()] = found.get(entry["values"].as_py(), 0) + entry["counts"].as_py()
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def _drifted(feature: str, scope: Scope, drifts: Mapping[str, drift.Drift], earlier: Mapping[str, Any]) -> str | None:
    measured = drifts.get(feature)
    if measured is None:
        return None
    digits = 2 if f"{measured.value:.2f}" != f"{measured.threshold:.2f}" else 4
    details = f"{measured.measure} {measured.value:.{digits}f}, at most {measured.threshold:.{digits}f} allowed"
    return f"{feature}: drifted against the baseline ({details}{_what_moved(feature, scope, earlier)})"


def _what_moved(feature: str, scope: Scope, earlier: Mapping[str, Any]) -> str:
    """Returns the change that a reader can check: of the median, or of the share of the value that moved most."""
    before, now = earlier.get(feature), scope.features.get(feature)
    if before is None or now is None or before.WhichOneof("stats") != now.WhichOneof("stats"):
        return ""
    if now.HasField("num_stats"):
        return _quantile_that_moved(before.num_stats, now.num_stats)
    shares = []
    for counts in (value_counts(before), value_counts(now)):
        shares.append({value: rows / sum(counts.values()) for value, rows in counts.items()})
    value = max({**shares[0], **shares[1]}, key=lambda one: abs(shares[0].get(one, 0.0) - shares[1].get(one, 0.0)))
    was, now_is = (percent(found.get(value, 0.0)) for found in shares)
    return f'; "{samples.clipped(value)}" {was} before, {now_is} now'


def _quantile_that_moved(before: Any, now: Any) -> str:
    """Returns the medians, or where they are alike the quantile that moved most by the column's spread."""
    was, is_now = number(before.median), number(now.median)
    if was != is_now:
        return f"; median {was} before, {is_now} now"
    pair = [_quantiles(one) for one in (before, now)]
    if len(pair[0]) != len(pair[1]) or not pair[0]:
        return ""
    place = max(range(len(pair[0])), key=lambda one: abs(pair[0][one] - pair[1][one]))
    share = round(100 * place / (len(pair[0]) - 1))
    return f"; quantile of {share} % {number(pair[0][place])} before, {number(pair[1][place])} now"


def _quantiles(numbers: Any) -> list[float]:
    kind = statistics_pb2.Histogram.QUANTILES
    buckets = next((one.buckets for one in numbers.histograms if one.type == kind), ())
    return [*(bucket.low_value for bucket in buckets[:1]), *(bucket.high_value for bucket in buckets)][5:-5]


def _out_of_range(feature: str, scope: Scope, expected: schema_pb2.Feature) -> str:
    """Returns the sentence, or nothing where the value is outside by the digits of a float of 32 bits only."""
    rows = samples.count(scope.files, feature, lambda values: samples.outside(values, expected))
    if not rows:
        return ""
    low, high = samples.bounds(expected)
    allowed = f"{number(low)} to {number(high)}" if math.isfinite(low + high) else f"at least {number(low)}"
    allowed = f"at most {number(high)}" if math.isfinite(high) and not math.isfinite(low) else allowed
    there = scope.features.get(feature)
    extremes = ""
    if there is not None and there.HasField("num_stats"):
        extremes = f"; {number(there.num_stats.min)} to {number(there.num_stats.max)} are there"
    return f"{feature}: {count(rows, 'row')} of {scope.words} outside the schema's range, {allowed}{extremes}"


def _missing(feature: str, scope: Scope, expected: schema_pb2.Feature, rows: int, total: int) -> str:
    limit = 1 - expected.presence.min_fraction
    rule = "requires it in every row" if limit <= 0 else f"allows {percent(limit)}"
    if not expected.presence.min_fraction:
        rule = f"requires it in at least {count(expected.presence.min_count, 'row')}"
    return f"{feature}: missing in {of_rows(rows, total)} ({rows:,}) of {scope.words}; the schema {rule}"


def _type_of(feature: str, scope: Scope) -> str:
    statistics = scope.features[feature]
    kinds = {statistics.INT: "whole numbers", statistics.FLOAT: "numbers with fractions"}
    return kinds.get(statistics.type, "text")


def _as_it_is(feature: str, scope: Scope, reason: Any) -> str:
    text = " ".join(f"{reason.short_description}: {reason.description}".split()).rstrip(".")
    text = re.sub(r"\d+\.\d{6}\b", lambda found: f"{float(found[0]):.7g}", text)  # 108.900002 is 108.9, of 32 bits.
    text = text if len(text) <= CHARACTERS_OF_TFDV else f"{text[:CHARACTERS_OF_TFDV]}…"
    return f"{feature or scope.words}: {text} (in {scope.words})"
