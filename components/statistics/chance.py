"""How far chance alone moves samples of one distribution, by which thresholds rise that were learnt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics.span_statistics import QUANTILE_BUCKETS, by_name, common, value_counts

EQUAL_WIDTH_FLOOR = 0.1
"""The threshold for a divergence on TFDV's default histograms, where one of the two statistics has no others."""

DEVIATIONS = 3.0
"""How many standard deviations of pure chance an L∞ distance may have beyond its threshold."""

CLOSE_TO_ONE = 0.9999
"""No threshold that rises by what is chance becomes one that nothing can exceed."""


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
            if comparator.HasField("infinity_norm"):
                norm = comparator.infinity_norm
                norm.threshold = min(CLOSE_TO_ONE, norm.threshold + by_chance(*pair))
            if not comparator.HasField("jensen_shannon_divergence"):
                continue
            divergence = comparator.jensen_shannon_divergence
            quantiles = divergence.source.type == schema_pb2.HistogramSelection.QUANTILES
            if pair[0].HasField("string_stats"):
                divergence.threshold = min(CLOSE_TO_ONE, divergence.threshold + _by_values(*pair))
            elif quantiles and any(len(_quantiles(one)) < QUANTILE_BUCKETS // 2 for one in pair):
                divergence.source.type = schema_pb2.HistogramSelection.STANDARD
                divergence.threshold = min(divergence.threshold, EQUAL_WIDTH_FLOOR)
            elif quantiles:
                divergence.threshold = min(CLOSE_TO_ONE, divergence.threshold + by_chance(*pair))
    return judged


def _by_values(before: Any, now: Any) -> float:
    """Returns the divergence of counts by value that chance alone makes, as `by_chance` does for numbers."""
    size = max(len(value_counts(one)) for one in (before, now))
    both = sum(1 / max(1, common(one).num_non_missing) for one in (before, now))
    return max(0, size - 1) * both / (8 * math.log(2))


def by_chance(before: Any, now: Any) -> float:
    """Returns by how much two samples of one distribution, as large as these, are expected to differ.

    For text, `DEVIATIONS` standard deviations of the difference of two shares, of the value whose share varies most.
    For numbers, the expected divergence in bits: χ² of as many degrees of freedom as there are buckets but one, over
    8 ln 2 (the divergence's second-order expansion: Lin, Divergence Measures Based on the Shannon Entropy, 1991).

    Args:
        before: One sample's `FeatureNameStatistics`.
        now: The other's, of the same kind.
    """
    return by_spread(spread(before), spread(now))


@dataclass(frozen=True)
class Spread:
    """What decides how far chance alone moves a sample."""

    kind: str
    rows: float
    size: float
    """The largest variance of a value's share, of text; the number of buckets, of numbers."""


def spread(feature: Any) -> Spread:
    """Returns what decides how far chance alone moves a feature's statistics."""
    rows = common(feature).num_non_missing
    if feature.HasField("string_stats"):
        counts = value_counts(feature).values()
        total = sum(counts)
        return Spread("text", rows, max((count / total * (1 - count / total) for count in counts), default=0.0))
    return Spread(feature.WhichOneof("stats"), rows, len({bucket.high_value for bucket in _quantiles(feature)}))


def by_spread(before: Spread, now: Spread) -> float:
    """Returns what `by_chance` does, for what was taken out of the statistics before."""
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
