"""The comparators of a schema, checked before anything is measured: one that measures nothing passes whatever comes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from mainspring.components.common.errors import UserError
from mainspring.components.statistics.categories import is_categorical

DRIFT, SKEW = "drift_comparator", "skew_comparator"

MEASURES = ("infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference")
"""TFDV's measures. Each is at most 1: a threshold of 1 says plainly that the distance is shown and refuses nothing."""

OF_NUMBERS = "jensen_shannon_divergence"
"""The only measure of quantities: TFDV counts the others by value, and finds 0 for every number."""

_KINDS = {"int64": schema_pb2.INT, "double": schema_pb2.FLOAT, "string": schema_pb2.BYTES}


def refuse_meaningless(
    schema: schema_pb2.Schema,
    columns: Mapping[str, str] | None = None,
    *,
    where: str = "schema",
    cure: str = "",
    exclude: Sequence[str] = (),
) -> None:
    """Checks that every comparator of drift and of skew measures something, and can be exceeded.

    Args:
        schema: TFDV's schema.
        columns: `int64`, `double` or `string` by column, for features whose type the schema leaves open.
        where: What the schema is, as the error begins.
        cure: What else helps, as the error ends.
        exclude: Features that nobody judges.

    Raises:
        UserError: One does not; all such features are named.
    """
    faults = [
        fault
        for feature in schema.feature
        if feature.name not in exclude
        for fault in _of_feature(feature, columns or {})
    ]
    faults += _of_rows(schema)
    if faults:
        raise UserError(f"{where}: {'; '.join(faults)}{f'; {cure}' if cure else ''}")


def unmeasured(
    schema: schema_pb2.Schema, found: anomalies_pb2.Anomalies, comparator: str, names: Iterable[str]
) -> list[str]:
    """Returns the features of `names` that have a comparator, and that TFDV neither measured nor said anything about.

    Args:
        schema: What was judged by.
        found: What TFDV found.
        comparator: `DRIFT` or `SKEW`.
        names: The features that both sides have.
    """
    measures = "drift_measurements" if comparator == DRIFT else "skew_measurements"
    known = {
        info.path.step[0]: [one.value for one in getattr(info, measures)]
        for info in found.drift_skew_info
        if info.path.step
    }
    told = {
        info.path.step[0]
        for info in found.anomaly_info.values()
        for reason in info.reason
        if info.path.step and anomalies_pb2.AnomalyInfo.Type.Name(reason.type).startswith("COMPARATOR_")
    }
    both = set(names)
    return [
        feature.name
        for feature in schema.feature
        if feature.HasField(comparator)
        and feature.name in both - told
        and not (known.get(feature.name) and all(math.isfinite(value) for value in known[feature.name]))
    ]


def _of_feature(feature: schema_pb2.Feature, columns: Mapping[str, str]) -> Iterator[str]:
    for comparator in (DRIFT, SKEW):
        if not feature.HasField(comparator):
            continue
        given = getattr(feature, comparator)
        measures = [name for name in MEASURES if given.HasField(name)]
        if not measures:
            yield f"{feature.name}: its {comparator} is empty and measures nothing; give it {_suited(feature, columns)}"
        for name in measures:
            fault = _of_measure(feature, columns, name, getattr(given, name))
            if fault:
                yield f"{feature.name}: its {comparator}'s {name} {fault}"
    if feature.HasField("distribution_constraints"):
        mass = feature.distribution_constraints.min_domain_mass
        if not 0 <= mass <= 1:
            yield f"{feature.name}: its min_domain_mass is {mass:g}; give a share from 0 to 1"
    share = feature.presence.min_fraction
    if not 0 <= share <= 1:
        yield f"{feature.name}: its presence.min_fraction is {share:g}; give a share from 0 to 1"


def _of_measure(feature: schema_pb2.Feature, columns: Mapping[str, str], name: str, measure: Any) -> str:
    counted = _is_counted(feature, columns)
    if counted is False and name != OF_NUMBERS:
        return f"measures nothing on numbers, it is always 0; give it {_suited(feature, columns)}"
    if not measure.HasField("threshold"):
        return "has no threshold and refuses nothing; give one from 0 to 1"
    threshold = measure.threshold
    if math.isnan(threshold) or threshold < 0:
        return f"has a threshold of {threshold:g}, which is no distance; give one from 0 to 1"
    if threshold > 1:
        return f"has a threshold of {threshold:g}, above the largest distance, which is 1; give one from 0 to 1"
    return ""


def _is_counted(feature: schema_pb2.Feature, columns: Mapping[str, str]) -> bool | None:
    """Returns whether its values are counted one by one, as text is; None if nobody can tell yet."""
    kind = feature.type or _KINDS.get(columns.get(feature.name, ""), schema_pb2.TYPE_UNKNOWN)
    if kind == schema_pb2.BYTES or is_categorical(feature):
        return True
    return False if kind in (schema_pb2.INT, schema_pb2.FLOAT) else None


def _suited(feature: schema_pb2.Feature, columns: Mapping[str, str]) -> str:
    if _is_counted(feature, columns):
        return "infinity_norm { threshold: 0.1 }"
    return "jensen_shannon_divergence { threshold: 0.15 source { type: QUANTILES } }"


def _of_rows(schema: schema_pb2.Schema) -> Iterator[str]:
    """TFDV's comparators of the number of rows: a fraction of the earlier number, below or above which it refuses."""
    constraints = schema.dataset_constraints
    for name in ("num_examples_drift_comparator", "num_examples_version_comparator"):
        if not constraints.HasField(name):
            continue
        comparator = getattr(constraints, name)
        given = {field.name: value for field, value in comparator.ListFields()}
        if not given:
            yield f"dataset_constraints: its {name} is empty and measures nothing; give it a min_fraction_threshold"
        for bound, value in given.items():
            if not 0 <= value < math.inf:
                yield f"dataset_constraints: its {name}'s {bound} is {value:g}; give a fraction of the earlier number"
