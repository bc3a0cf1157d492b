"""A window's features against training (skew) and the window before (drift), and its predictions against its first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.monitoring import policy
from mainspring.components.monitoring.journal import windows
from mainspring.components.monitoring.judging import distances
from mainspring.components.monitoring.judging.asked import Asked
from mainspring.components.monitoring.judging.findings import Finding
from mainspring.components.monitoring.judging.served_model import ServedModel
from mainspring.components.monitoring.logs import traffic
from mainspring.components.statistics.drift import Drift


def judge(
    model: ServedModel, asked: Asked, scratch: Path, earlier: Sequence[Mapping[str, Any]], journal_folder: Path
) -> tuple[list[Finding], dict[str, Any], DatasetFeatureStatisticsList | None]:
    """Returns findings, what the report and the journal say of them, and the statistics of the served rows."""
    rows, limits = pq.ParquetFile(scratch / "served.parquet").metadata.num_rows, asked.policy.limits
    if rows < max(limits.min_rows, 1):
        sentence = f"only {rows:,} readable rows of the champion; {max(limits.min_rows, 1):,} are needed to judge them"
        return [Finding(policy.TRAFFIC, "", True, sentence)], {}, None
    statistics = distances.statistics_of(scratch / "features.parquet", model.schema)
    thresholds = asked.policy.thresholds
    skews = distances.skew(model.statistics, statistics, model.schema, thresholds)
    findings = [_distance(policy.SKEW, one, "what it was trained on") for one in skews]
    drifts: list[Drift] = []
    before = next((window for window in reversed(earlier) if window.get("skew")), None)
    known = windows.statistics_of(journal_folder, before["key"]) if before else None
    if known is not None and before is not None:
        drifts = distances.drifted(known, statistics, model.schema, thresholds)
        findings += [_distance(policy.DRIFT, one, f"the window {before['key']}") for one in drifts]
    anomalies = distances.anomalies(statistics, model.schema)
    findings += [Finding(policy.ANOMALY, name, False, f"{name}: {said}") for name, said in anomalies.items()]
    found, predictions = _predictions(model, asked, scratch, earlier)
    told = {"rows": rows, "skew": skews, "drift": drifts, "anomalies": anomalies, "predictions": predictions}
    return [*findings, *found], told, statistics


def _distance(kind: str, found: Drift, other: str) -> Finding:
    sentence = (
        f"{kind}: {found.feature} is served {found.value:.3f} away from {other} ({found.measure}); "
        f"{found.threshold:.3f} is allowed"
    )
    return Finding(kind, found.feature, found.value > found.threshold, sentence, found.value, found.threshold)


def _predictions(
    model: ServedModel, asked: Asked, scratch: Path, earlier: Sequence[Mapping[str, Any]]
) -> tuple[list[Finding], dict[str, Any]]:
    """Counts the predictions, and compares them with those of the version's first window."""
    column = pq.read_table(scratch / "served.parquet", columns=[traffic.PREDICTION]).column(0)
    values = np.asarray(column.drop_null().to_numpy(), float)
    same = [
        window
        for window in earlier
        if window.get("version") == model.version.version and sum((window.get("predictions") or {}).get("counts") or ())
    ]
    first = same[0]["predictions"] if same else None
    counted = distances.histogram(values, first["edges"] if first else None)
    mean = float(values.mean()) if len(values) else None
    told: dict[str, Any] = {"edges": counted.edges, "counts": counted.counts, "mean": mean, "divergence": None}
    if first is None or not len(values):
        return [], told
    found, limit = distances.divergence(first["counts"], counted.counts), asked.policy.limits.max_prediction_drift
    told["divergence"] = found
    sentence = (
        f"predictions are {found:.3f} bits away from those of the version's first window "
        f"(Jensen–Shannon divergence); {limit:.3f} is allowed"
    )
    return [Finding(policy.PREDICTIONS, "", found > limit, sentence, found, limit)], told
