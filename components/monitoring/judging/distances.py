"""How far what is served is from what was trained on (skew), and from what was served before (drift)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common.errors import UserError
from mainspring.components.common.written.policy_text import suggestion
from mainspring.components.statistics import categories, comparators, comparing, drift, span_statistics, validating
from mainspring.components.statistics.drift import Drift

BINS = 20


def statistics_of(path: Path, schema: schema_pb2.Schema | None = None) -> DatasetFeatureStatisticsList:
    """Returns TFDV's statistics of a Parquet file's rows, whole numbers that the schema calls categories counted so."""
    pieces = span_statistics.pieces(path)
    return span_statistics.extract(span_statistics.accumulate(pieces, categories.of_schema(schema)))


def judgeable(schema: schema_pb2.Schema, thresholds: Mapping[str, float]) -> schema_pb2.Schema:
    """Returns the schema with the policy's thresholds, every comparator of which measures something.

    Raises:
        UserError: A comparator of drift or skew measures nothing, or a threshold is of no feature; it is named.
    """
    known = [feature.name for feature in schema.feature]
    for name in thresholds:
        if name not in known:
            raise UserError(
                f"policy: thresholds: {name!r} is no feature of the served version{suggestion(name, known)}"
            )
    judged = _with_thresholds(schema, thresholds)
    cure = "or give the features thresholds in the monitoring policy"
    comparators.refuse_meaningless(judged, where="the served version's schema", cure=cure)
    return judged


def skew(
    trained: DatasetFeatureStatisticsList,
    served: DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    thresholds: Mapping[str, float],
) -> list[Drift]:
    """Returns each judged feature's distance between training and serving, largest part of its threshold first."""
    judged = drift.with_skew_thresholds(judgeable(schema, thresholds))
    compared = comparing.compare(trained, judged, served, comparators.SKEW, suit=True)
    return _by_size(drift.skew_measured(compared.anomalies), served)


def drifted(
    earlier: DatasetFeatureStatisticsList,
    served: DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    thresholds: Mapping[str, float],
) -> list[Drift]:
    """Returns each judged feature's distance from an earlier window, largest part of its threshold first."""
    judged = judgeable(schema, thresholds)
    compared = comparing.compare(served, judged, earlier, comparators.DRIFT, drift.SERVING, suit=True)
    return _by_size(drift.measured(compared.anomalies), served)


def anomalies(served: DatasetFeatureStatisticsList, schema: schema_pb2.Schema) -> dict[str, str]:
    """Returns what TFDV finds wrong with served rows by the schema, in its own words, by feature."""
    found = validating.validate(served, schema, drift.SERVING)
    return {key: info.description for key, info in sorted(found.anomaly_info.items())}


@dataclass(frozen=True)
class Histogram:
    """Predictions, counted."""

    edges: list[float]
    """Between the bins; what lies outside counts for the first and the last."""
    counts: list[int]


def histogram(predictions: NDArray[np.float64], edges: Sequence[float] | None) -> Histogram:
    """Counts predictions.

    Args:
        predictions: Finite numbers.
        edges: Those of the version's first window, so that both can be compared; None: `BINS` equal parts of 0 to 1,
            or, of predictions beyond, parts with as many predictions each.
    """
    if edges is None:
        inside = bool(len(predictions)) and predictions.min() >= 0 and predictions.max() <= 1
        parts = np.linspace(0, 1, BINS + 1)
        edges = (parts if inside or not len(predictions) else np.unique(np.quantile(predictions, parts))).tolist()
    if len(edges) < 2:  # A model that predicts one number.
        edges = [edges[0] - 0.5, edges[0] + 0.5]
    counts, _ = np.histogram(np.clip(predictions, edges[0], edges[-1]), edges)
    return Histogram([float(edge) for edge in edges], [int(count) for count in counts])


def divergence(one: Sequence[int], other: Sequence[int]) -> float:
    """Returns the Jensen–Shannon divergence of two histograms with the same bins, in bits: 0 equal, 1 disjoint."""
    shares = [np.asarray(counts, float) / max(sum(counts), 1) for counts in (one, other)]
    middle = (shares[0] + shares[1]) / 2
    parts = [share[share > 0] * np.log2(share[share > 0] / middle[share > 0]) for share in shares]
    return float(sum(part.sum() for part in parts) / 2)


def _with_thresholds(schema: schema_pb2.Schema, thresholds: Mapping[str, float]) -> schema_pb2.Schema:
    judged = schema_pb2.Schema()
    judged.CopyFrom(schema)
    for feature in judged.feature:
        if feature.name in thresholds:
            feature.ClearField("skew_comparator")
            drift.set_threshold(feature, thresholds[feature.name])
    return judged


def _by_size(found: Sequence[Drift], served: DatasetFeatureStatisticsList) -> list[Drift]:
    names = set(span_statistics.by_name(served))
    judged = [one for one in found if one.feature in names]
    return sorted(judged, key=lambda one: -one.value / max(one.threshold, 1e-9))
