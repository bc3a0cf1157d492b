"""How far distributions are apart, in TFDV's measures, and how far apart they may be.

Numbers are compared by the Jensen–Shannon divergence of their quantile histograms, a hundred equally frequent buckets:
on TFDV's default, ten buckets of equal width, one odd row widens all buckets and moves the divergence by more than a
change of unit does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics import validating
from mainspring.components.statistics.span_statistics import QUANTILE_BUCKETS, by_name, common, value_counts

THRESHOLD_FLOOR = 0.1
"""No threshold of an L∞ distance is lower: between any two months of the flights of 2013 it is at most 0.062."""

NUMBERS_FLOOR = 0.15
"""No threshold of a divergence is lower. Between any two months of the flights of 2013 (26,000 rows each) no number
moves by more than 0.13, and in samples of 3,300, 440 and 130 rows a month by no more than 0.19 beyond chance; distances
in kilometres move by 0.53 to 0.55 (0.35 and more in the samples), distances longer by a tenth by 0.49 (0.33)."""

EQUAL_WIDTH_FLOOR = 0.1
"""The threshold for a divergence on TFDV's default histograms, where one of the two statistics has no others."""

THRESHOLD_MARGIN = 2.0
"""A feature may drift this many times further than it did within the training window, beyond what is chance."""

DEVIATIONS = 3.0
"""How many standard deviations of pure chance an L∞ distance may have beyond its threshold."""

SERVING = "SERVING"
"""The schema's environment in which the label is absent."""

SPANS_COMPARED = 12
"""The newest spans of a window that are compared in pairs: a year of months; the pairs grow with the square."""

MEASURES = {
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: "L∞ distance",
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: "Jensen–Shannon divergence",
    anomalies_pb2.DriftSkewInfo.Measurement.NORMALIZED_ABSOLUTE_DIFFERENCE: "normalised absolute difference",
}


@dataclass(frozen=True)
class Drift:
    """How far a feature is from its baseline."""

    feature: str
    measure: str
    """As in `MEASURES`."""
    value: float
    threshold: float


def measured(anomalies: anomalies_pb2.Anomalies) -> list[Drift]:
    """Returns what TFDV measured for the features whose schema has a drift comparator."""
    return [
        Drift(info.path.step[0], MEASURES.get(found.type, "drift"), found.value, found.threshold)
        for info in anomalies.drift_skew_info
        for found in info.drift_measurements
    ]


def skew_measured(anomalies: anomalies_pb2.Anomalies) -> list[Drift]:
    """Returns what TFDV measured for the features whose schema has a skew comparator."""
    return [
        Drift(info.path.step[0], MEASURES.get(found.type, "skew"), found.value, found.threshold)
        for info in anomalies.drift_skew_info
        for found in info.skew_measurements
    ]


def largest_between(parts: Sequence[DatasetFeatureStatisticsList], schema: schema_pb2.Schema) -> dict[str, float]:
    """Returns the largest drift between any two of the parts, by feature; 0 where there is nothing to compare.

    What chance alone moves samples of the parts' sizes by is taken off.
    """
    probe = schema_pb2.Schema()
    probe.CopyFrom(schema)
    for feature in probe.feature:
        set_threshold(feature, 1.0)
    largest = {feature.name: 0.0 for feature in schema.feature}
    with_spreads = [
        (part, {name: _spread(feature) for name, feature in by_name(part).items()}) for part in parts[-SPANS_COMPARED:]
    ]
    for (earlier, before), (later, now) in itertools.combinations(with_spreads, 2):
        for found in measured(validating.validate(later, probe, previous=earlier)):
            beyond = found.value - _by_chance(before[found.feature], now[found.feature])
            largest[found.feature] = max(largest[found.feature], beyond)
    return largest


def calibrate(
    schema: schema_pb2.Schema, whole: DatasetFeatureStatisticsList, parts: Sequence[DatasetFeatureStatisticsList]
) -> None:
    """Writes a drift comparator into each feature of `schema` that can be judged.

    It cannot be judged if its parts already differ by so much that no later difference would stand out (a month, a
    date, a running number), or if it is a number that never changes: nothing says then how far it may move.

    Args:
        schema: Changed in place.
        whole: Statistics of all rows.
        parts: Statistics of the window's spans, oldest first; of pieces of the span if there is only one.
    """
    largest, features = largest_between(parts, schema), by_name(whole)
    for feature in schema.feature:
        floor = THRESHOLD_FLOOR if feature.type == schema_pb2.BYTES else NUMBERS_FLOOR
        threshold = max(floor, THRESHOLD_MARGIN * largest[feature.name])
        statistics = features[feature.name]
        constant = statistics.HasField("num_stats") and statistics.num_stats.min == statistics.num_stats.max
        if threshold < 1.0 and not constant:
            set_threshold(feature, round(threshold, 4))


def with_skew_thresholds(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Returns a copy in which each feature that serving has, and that has a drift comparator only, has one for skew.

    What may change from one span to the next may differ as much between what is trained on and what is served.
    """
    judged = schema_pb2.Schema()
    judged.CopyFrom(schema)
    for feature in judged.feature:
        if SERVING in feature.not_in_environment:
            feature.ClearField("skew_comparator")
        elif not feature.HasField("skew_comparator") and feature.HasField("drift_comparator"):
            feature.skew_comparator.CopyFrom(feature.drift_comparator)
    return judged


def suited(
    schema: schema_pb2.Schema, earlier: DatasetFeatureStatisticsList, later: DatasetFeatureStatisticsList
) -> schema_pb2.Schema:
    """Returns a copy whose comparators, of drift and of skew, suit two particular statistics.

    Thresholds rise by what chance alone moves two samples of these sizes. A number of which one side has no quantile
    histogram as fine as ours (statistics that were made elsewhere) is judged on TFDV's default histograms.

    Args:
        schema: With thresholds as `calibrate` writes them. One that people wrote is to be
            taken as it is.
        earlier: The baseline's statistics, or what was served.
        later: The statistics that are judged.
    """
    judged = schema_pb2.Schema()
    judged.CopyFrom(schema)
    before, now = by_name(earlier), by_name(later)
    for feature in judged.feature:
        if feature.name not in before or feature.name not in now:
            continue
        pair = before[feature.name], now[feature.name]
        if pair[0].WhichOneof("stats") != pair[1].WhichOneof("stats"):
            continue
        for comparator in (feature.drift_comparator, feature.skew_comparator):
            divergence = comparator.jensen_shannon_divergence
            quantiles = divergence.source.type == schema_pb2.HistogramSelection.QUANTILES
            if quantiles and any(len(_quantiles(one)) < QUANTILE_BUCKETS // 2 for one in pair):
                divergence.source.type = schema_pb2.HistogramSelection.STANDARD
                divergence.threshold = min(divergence.threshold, EQUAL_WIDTH_FLOOR)
            elif quantiles:
                divergence.threshold = min(1.0, divergence.threshold + by_chance(*pair))
            elif comparator.HasField("infinity_norm"):
                comparator.infinity_norm.threshold = min(1.0, comparator.infinity_norm.threshold + by_chance(*pair))
    return judged


def by_chance(before: Any, now: Any) -> float:
    """Returns by how much two samples of one distribution, as large as these, are expected to differ.

    For text, `DEVIATIONS` standard deviations of the difference of two shares, of the value whose share varies most.
    For numbers, the expected divergence in bits: χ² of as many degrees of freedom as there are buckets but one, over
    8 ln 2 (the divergence's second-order expansion: Lin, Divergence Measures Based on the Shannon Entropy, 1991).

    Args:
        before: One sample's `FeatureNameStatistics`.
        now: The other's, of the same kind.
    """
    return _by_chance(_spread(before), _spread(now))


@dataclass(frozen=True)
class _Spread:
    """What decides how far chance alone moves a sample."""

    kind: str
    rows: float
    size: float
    """The largest variance of a value's share, of text; the number of buckets, of numbers."""


def _spread(feature: Any) -> _Spread:
    rows = common(feature).num_non_missing
    if feature.HasField("string_stats"):
        counts = value_counts(feature).values()
        total = sum(counts)
        return _Spread("text", rows, max((count / total * (1 - count / total) for count in counts), default=0.0))
    return _Spread(feature.WhichOneof("stats"), rows, len({bucket.high_value for bucket in _quantiles(feature)}))


def _by_chance(before: _Spread, now: _Spread) -> float:
    if not before.rows or not now.rows or before.kind != now.kind:
        return 0.0
    both, size = 1 / before.rows + 1 / now.rows, max(before.size, now.size)
    if now.kind == "text":
        return DEVIATIONS * math.sqrt(size * both)
    return max(0, size - 1) * both / (8 * math.log(2))


def _quantiles(feature: Any) -> Sequence[Any]:
    if not feature.HasField("num_stats"):
        return ()
    kind = statistics_pb2.Histogram.QUANTILES
    return next((histogram.buckets for histogram in feature.num_stats.histograms if histogram.type == kind), ())


def set_threshold(feature: schema_pb2.Feature, threshold: float) -> None:
    """Gives a feature the comparator of its type: L∞ distance for strings, Jensen–Shannon divergence for numbers.

    The latter is measured in bits on quantile histograms: 0 for equal distributions, 1 for disjoint ones.
    """
    if feature.type == schema_pb2.BYTES:
        feature.drift_comparator.infinity_norm.threshold = threshold
    elif feature.type in (schema_pb2.INT, schema_pb2.FLOAT):
        feature.drift_comparator.jensen_shannon_divergence.threshold = threshold
        feature.drift_comparator.jensen_shannon_divergence.source.type = schema_pb2.HistogramSelection.QUANTILES
