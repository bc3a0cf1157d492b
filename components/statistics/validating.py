"""TFDV's validation, a few features at a time: its time grows with the square of their number."""

from __future__ import annotations

from collections.abc import Iterator

from tensorflow_data_validation.api.validation_api import validate_statistics
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

FEATURES_AT_ONCE = 20
"""Up to here a feature costs 0.2 milliseconds; among 100 it costs 0.4, among 500 1.9."""


def validate(
    statistics: DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    environment: str | None = None,
    *,
    previous: DatasetFeatureStatisticsList | None = None,
    serving: DatasetFeatureStatisticsList | None = None,
) -> anomalies_pb2.Anomalies:
    """Returns what TFDV's `validate_statistics` finds, but for the copy of the schema that it adds.

    Args:
        statistics: Of the rows that are judged, one dataset.
        schema: What they are judged by.
        environment: The schema's environment; None if it knows none.
        previous: What drift is measured against.
        serving: What skew is measured against.
    """
    names = list(dict.fromkeys([*(feature.name for feature in schema.feature), *_names(statistics)]))
    together = schema.sparse_feature or schema.weighted_feature  # They name features anywhere in the schema.
    if len(names) <= FEATURES_AT_ONCE or together:
        return validate_statistics(statistics, schema, environment, previous, serving)
    found = anomalies_pb2.Anomalies()
    ways = (_parts(one, names) if one is not None else None for one in (statistics, previous, serving))
    now, before, served = ways
    for number, part in enumerate(_parts_of_schema(schema, names)):
        others = (None if one is None else next(one) for one in (before, served))
        one = validate_statistics(next(now), part, environment, *others)  # type: ignore[arg-type]
        if number:  # Every part has the same rows.
            one.ClearField("dataset_anomaly_info")
        one.ClearField("baseline")
        for key, info in one.anomaly_info.items():
            found.anomaly_info[key].CopyFrom(info)
        one.ClearField("anomaly_info")
        found.MergeFrom(one)
    return found


def _names(statistics: DatasetFeatureStatisticsList) -> list[str]:
    return [feature.path.step[0] for feature in statistics.datasets[0].features]


def _parts(statistics: DatasetFeatureStatisticsList, names: list[str]) -> Iterator[DatasetFeatureStatisticsList]:
    whole = statistics.datasets[0]
    by_name = {feature.path.step[0]: feature for feature in whole.features}
    for start in range(0, len(names), FEATURES_AT_ONCE):
        part = DatasetFeatureStatisticsList()
        part.datasets.add(
            name=whole.name,
            num_examples=whole.num_examples,
            weighted_num_examples=whole.weighted_num_examples,
            features=[by_name[name] for name in names[start : start + FEATURES_AT_ONCE] if name in by_name],
        )
        yield part


def _parts_of_schema(schema: schema_pb2.Schema, names: list[str]) -> Iterator[schema_pb2.Schema]:
    by_name = {feature.name: feature for feature in schema.feature}
    domains = {domain.name: domain for domain in schema.string_domain}
    base = schema_pb2.Schema()
    base.CopyFrom(schema)
    base.ClearField("feature")
    base.ClearField("string_domain")
    for start in range(0, len(names), FEATURES_AT_ONCE):
        part = schema_pb2.Schema()
        part.CopyFrom(base)
        part.feature.extend(by_name[name] for name in names[start : start + FEATURES_AT_ONCE] if name in by_name)
        part.string_domain.extend(domains[name] for name in {one.domain: 0 for one in part.feature} if name in domains)
        yield part
