"""Whole numbers that are categories (codes, kinds, months): counted one by one, as text is."""

from __future__ import annotations

import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

MOST_COUNTED = 50
"""A histogram of a hundred equally frequent buckets shows the shares of no more values than these."""


def is_categorical(feature: schema_pb2.Feature) -> bool:
    """Whether a feature of the schema holds whole numbers that are categories."""
    return feature.type in (schema_pb2.INT, schema_pb2.TYPE_UNKNOWN) and feature.int_domain.is_categorical


def of_schema(schema: schema_pb2.Schema | None) -> tuple[str, ...]:
    """Returns the features that hold whole numbers that are categories; none without a schema."""
    return tuple(feature.name for feature in schema.feature if is_categorical(feature)) if schema else ()


def as_schema(names: tuple[str, ...]) -> schema_pb2.Schema | None:
    """Returns the least schema by which TFDV counts the values of these features; None for none."""
    if not names:
        return None
    domain = schema_pb2.IntDomain(is_categorical=True)
    features = [schema_pb2.Feature(name=name, type=schema_pb2.INT, int_domain=domain) for name in names]
    return schema_pb2.Schema(feature=features)


def counted(
    statistics: DatasetFeatureStatisticsList, names: tuple[str, ...]
) -> tuple[DatasetFeatureStatisticsList, list[str]]:
    """Returns statistics in which these features are counted by value, and the names of those that cannot be.

    Statistics that were made before the schema called a feature categorical hold its histogram: the shares of its
    values stand in it, but for those below a per cent.

    Args:
        statistics: One dataset; it stays as it is.
        names: As `of_schema` returns them.
    """
    places = [
        place
        for place, feature in enumerate(statistics.datasets[0].features)
        if feature.path.step[0] in names
        and feature.HasField("num_stats")
        and feature.num_stats.common_stats.num_non_missing
    ]
    if not places:
        return statistics, []
    found, unknown = DatasetFeatureStatisticsList(), []
    found.CopyFrom(statistics)
    for place in places:
        feature = found.datasets[0].features[place]
        if not _count(feature):
            unknown.append(feature.path.step[0])
    return found, unknown


def _count(feature: statistics_pb2.FeatureNameStatistics) -> bool:
    quantiles = statistics_pb2.Histogram.QUANTILES
    buckets = next((one.buckets for one in feature.num_stats.histograms if one.type == quantiles), ())
    highs = np.array([bucket.high_value for bucket in buckets])
    rows = np.array([bucket.sample_count for bucket in buckets])
    values = np.unique(highs)
    if not len(values) or len(values) > MOST_COUNTED or len(buckets) < MOST_COUNTED:
        return False
    counts = {f"{value:.0f}": float(rows[highs == value].sum()) for value in values}
    common = statistics_pb2.CommonStatistics()
    common.CopyFrom(feature.num_stats.common_stats)
    feature.string_stats.common_stats.CopyFrom(common)
    feature.string_stats.unique = len(counts)
    for label, count in sorted(counts.items(), key=lambda entry: -entry[1]):
        feature.string_stats.top_values.add(value=label, frequency=count)
        feature.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
    return True
