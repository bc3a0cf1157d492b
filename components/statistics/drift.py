"""How far distributions are apart, in TFDV's measures, and how far apart they may be.

Numbers are compared by the Jensen–Shannon divergence of their quantile histograms, a hundred equally frequent buckets:
on TFDV's default, ten buckets of equal width, one odd row widens all buckets and moves the divergence by more than a
change of unit does.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics import alignment, categories, chance, comparing
from mainspring.components.statistics.span_statistics import by_name

THRESHOLD_FLOOR = 0.1
"""No threshold of an L∞ distance is lower: between any two months of the flights of 2013 it is at most 0.062."""

NUMBERS_FLOOR = 0.15
"""No threshold of a divergence is lower. Between any two months of the flights of 2013 (26,000 rows each) no number
moves by more than 0.13, and in samples of 3,300, 440 and 130 rows a month by no more than 0.19 beyond chance; distances
in kilometres move by 0.53 to 0.55 (0.35 and more in the samples), distances longer by a tenth by 0.49 (0.33)."""

THRESHOLD_MARGIN = 2.0
"""A feature may drift this many times further than it did within the training window, beyond what is chance."""

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


def worst(found: Sequence[Drift]) -> dict[str, Drift]:
    """Returns a measurement by feature: of several, the one that is furthest over its threshold."""
    ordered = sorted(found, key=lambda one: one.value - one.threshold)
    return {one.feature: one for one in ordered}


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
        (part, {name: chance.spread(feature) for name, feature in by_name(part).items()}, alignment.read(part))
        for part in parts[-SPANS_COMPARED:]
    ]
    for (earlier, before, edges), (later, now, of_later) in itertools.combinations(with_spreads, 2):
        compared = comparing.compare(later, probe, earlier, edges=(edges, of_later))
        for found in measured(compared.anomalies):
            beyond = found.value - chance.by_spread(before[found.feature], now[found.feature])
            largest[found.feature] = max(largest[found.feature], beyond)
    return largest


def calibrate(
    schema: schema_pb2.Schema,
    whole: DatasetFeatureStatisticsList,
    parts: Sequence[DatasetFeatureStatisticsList],
    left_out: Collection[str] = (),
) -> list[str]:
    """Writes a drift comparator into each feature of `schema` that can be judged.

    It cannot be judged if its parts already differ by so much that no later difference would stand out (a month, a
    date, a running number), or if it is a number that never changes: nothing says then how far it may move.

    Args:
        schema: Changed in place.
        whole: Statistics of all rows.
        parts: Statistics of the window's spans, oldest first; of pieces of the span if there is only one.
        left_out: Features that get none.

    Returns:
        Features that differ too much between the parts.
    """
    largest, features = largest_between(parts, schema), by_name(whole)
    restless = []
    for feature in schema.feature:
        threshold = max(floor_of(feature), THRESHOLD_MARGIN * largest[feature.name])
        statistics = features[feature.name]
        constant = statistics.HasField("num_stats") and statistics.num_stats.min == statistics.num_stats.max
        if feature.name in left_out or constant:
            continue
        if round(threshold, 4) < 1.0:
            set_threshold(feature, round(threshold, 4))
        else:
            restless.append(feature.name)
    return restless


def floor_of(feature: schema_pb2.Feature) -> float:
    """Returns the lowest threshold that a feature gets, by its measure."""
    counted = feature.type == schema_pb2.BYTES or categories.is_categorical(feature)
    return THRESHOLD_FLOOR if counted else NUMBERS_FLOOR


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


def set_threshold(feature: schema_pb2.Feature, threshold: float) -> None:
    """Gives a feature the comparator of its type: L∞ distance for text and categories, else Jensen–Shannon divergence.

    The latter is measured in bits on quantile histograms: 0 for equal distributions, 1 for disjoint ones.
    """
    feature.ClearField("drift_comparator")
    if feature.type == schema_pb2.BYTES or categories.is_categorical(feature):
        feature.drift_comparator.infinity_norm.threshold = threshold
    elif feature.type in (schema_pb2.INT, schema_pb2.FLOAT):
        feature.drift_comparator.jensen_shannon_divergence.threshold = threshold
        feature.drift_comparator.jensen_shannon_divergence.source.type = schema_pb2.HistogramSelection.QUANTILES
