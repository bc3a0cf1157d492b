"""Two statistics compared by a schema's comparators, with nothing that goes unmeasured unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics import alignment, categories, chance, comparators, validating
from mainspring.components.statistics.comparators import DRIFT
from mainspring.components.statistics.span_statistics import by_name, common


@dataclass(frozen=True)
class Compared:
    """What a comparison found."""

    anomalies: anomalies_pb2.Anomalies
    """TFDV's, of the schema as well as of the comparators."""
    unmeasured: list[str]
    """Features with a comparator and with values on both sides, of which there is no distance all the same."""
    before: Mapping[str, Any]
    """`FeatureNameStatistics` of the earlier side, categories counted by value."""


def compare(
    now: DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    earlier: DatasetFeatureStatisticsList,
    comparator: str = DRIFT,
    environment: str | None = None,
    *,
    suit: bool = False,
    edges: tuple[Mapping[str, alignment.Edges], Mapping[str, alignment.Edges]] | None = None,
) -> Compared:
    """Compares statistics with earlier ones, or with what was served.

    Args:
        now: Of the rows that are judged, one dataset.
        schema: What they are judged by.
        earlier: What they are compared with, one dataset.
        comparator: `comparators.DRIFT` or `comparators.SKEW`.
        environment: The schema's environment; None if it knows none.
        suit: Whether thresholds rise by what chance alone moves samples of these sizes; those that people wrote stay.
        edges: Histograms of the earlier side and of the rows, as `alignment.read` returns them; None: read here.
    """
    names = categories.of_schema(schema)
    (now, of_now), (earlier, of_earlier) = (categories.counted(one, names) for one in (now, earlier))
    uncounted = {*of_now, *of_earlier}
    judged = schema
    if uncounted:
        judged = schema_pb2.Schema()
        judged.CopyFrom(schema)
        for feature in judged.feature:
            if feature.name in uncounted:
                feature.ClearField(comparator)
    if suit:
        judged = chance.suited(judged, earlier, now)
    before, after = edges or (alignment.read(earlier), alignment.read(now))
    beside = alignment.aligned(earlier, before, after)
    sides = {"previous" if comparator == DRIFT else "serving": beside}
    found = validating.validate(now, judged, environment, **sides)
    known, features = by_name(earlier), by_name(now)
    both = [name for name, one in features.items() if name in known and _has_values(one) and _has_values(known[name])]
    same = [name for name in both if known[name].WhichOneof("stats") == features[name].WhichOneof("stats")]
    missing = comparators.unmeasured(judged, found, comparator, same)
    return Compared(found, [*missing, *sorted(uncounted)], known)


def _has_values(feature: Any) -> bool:
    return bool(common(feature).num_non_missing)
