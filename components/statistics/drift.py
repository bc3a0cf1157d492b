"""How far distributions are apart, in TFDV's measures, and how far apart they may be."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from tensorflow_data_validation.api.validation_api import validate_statistics
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics.span_statistics import by_name

THRESHOLD_FLOOR = 0.1
"""No threshold is lower. Between any two months of the flights of 2013 no feature moves by more than 0.062 (but one, by
0.123: see the margin); kilometres instead of miles move the distance by 0.116 to 0.159, whatever the months."""

THRESHOLD_MARGIN = 2.0
"""A feature may drift this many times further than it did within the training window. The months January to June move
`seats` by 0.123, because one larger aircraft widens the histogram's buckets; July to December move it no further."""

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
    """Returns the largest drift between any two of the parts, by feature; 0 where there is nothing to compare."""
    probe = schema_pb2.Schema()
    probe.CopyFrom(schema)
    for feature in probe.feature:
        set_threshold(feature, 1.0)
    largest = {feature.name: 0.0 for feature in schema.feature}
    for earlier, later in itertools.combinations(parts[-SPANS_COMPARED:], 2):
        for found in measured(validate_statistics(later, probe, previous_statistics=earlier)):
            largest[found.feature] = max(largest[found.feature], found.value)
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
        threshold = max(THRESHOLD_FLOOR, THRESHOLD_MARGIN * largest[feature.name])
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


def set_threshold(feature: schema_pb2.Feature, threshold: float) -> None:
    """Gives a feature the comparator of its type: L∞ distance for strings, Jensen–Shannon divergence for numbers.

    The latter is measured in bits on TFDV's equal-width histograms: 0 for equal distributions, 1 for disjoint ones.
    """
    if feature.type == schema_pb2.BYTES:
        feature.drift_comparator.infinity_norm.threshold = threshold
    elif feature.type in (schema_pb2.INT, schema_pb2.FLOAT):
        feature.drift_comparator.jensen_shannon_divergence.threshold = threshold
