"""Live quality, overall and by slice, against what evaluation promised or against the version's first window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import duckdb
import numpy as np

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.monitoring import labels, live_metrics, policy, traffic
from mainspring.components.monitoring.findings import SliceQuality, WindowQuality
from mainspring.components.monitoring.labels import LabelSource
from mainspring.components.monitoring.live_metrics import Metric
from mainspring.components.monitoring.policy import Policy
from mainspring.components.monitoring.traffic import quoted

SIGNIFICANCE = 0.05
"""A loss counts if chance makes one so large less often than this, over all slices that are looked at together."""

MOST_VALUES = 200
"""Values of a feature that are looked at one by one."""

BASELINE_WORDS = {policy.EVALUATION: "evaluation promised", policy.FIRST_WINDOW: "the version's first window had"}

TRUTHS = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class Baseline:
    """What live quality is compared with."""

    value: float
    error: float = 0.0
    slices: Mapping[tuple[tuple[str, str], ...], float] = ()  # type: ignore[assignment]


def metric_of(manifest: ModelManifest, asked: Policy) -> tuple[str, Metric]:
    """Returns the metric that is judged.

    Raises:
        UserError: It is unknown, or none of the model's task.
    """
    name = asked.quality.metric or live_metrics.MAIN.get(manifest.task, "")
    known = [key for key, one in live_metrics.METRICS.items() if manifest.task in one.tasks]
    if name not in known:
        raise UserError(f"policy: quality: metric {name!r}: for {manifest.task} there are {', '.join(known)}")
    return name, live_metrics.METRICS[name]


def promised(evaluation: Mapping[str, Any], metric: str) -> Baseline:
    """Returns what evaluation measured on the eval split; NaN where it did not measure the metric."""
    measured = (evaluation.get("metrics") or {}).get("challenger") or {}
    interval = ((evaluation.get("intervals") or {}).get("challenger") or {}).get(metric)
    error = (interval["high"] - interval["low"]) / (2 * live_metrics.CONFIDENCE) if interval else 0.0
    slices = {
        tuple(sorted(found["slice"].items())): found["challenger"][metric]
        for found in evaluation.get("slices") or ()
        if (found.get("challenger") or {}).get(metric) is not None
    }
    value = measured.get(metric)
    return Baseline(math.nan if value is None else value, error, slices)


def first_window(found: WindowQuality) -> Baseline:
    """Returns an earlier window's quality as the baseline of later ones."""
    slices = {tuple(sorted(one.slice.items())): one.live for one in found.slices}
    return Baseline(found.overall.live, found.overall.error, slices)


def of_window(
    connection: duckdb.DuckDBPyConnection,
    source: LabelSource,
    window: str,
    manifest: ModelManifest,
    asked: Policy,
    baseline: Baseline,
    sliced_by: Sequence[str],
) -> WindowQuality | None:
    """Measures a window's labelled rows; None if too few labels have come.

    Args:
        connection: With `labels` and the window's table.
        source: How labels are joined.
        window: The table.
        manifest: Says the task and the classes.
        asked: Limits.
        baseline: What is compared with.
        sliced_by: Features whose values are judged one by one.
    """
    labelled = labels.join(connection, source, window, list(manifest.features))
    if labelled < asked.limits.min_labelled:
        return None
    name, metric = metric_of(manifest, asked)
    columns = ", ".join(f"coalesce({quoted(slice_)}::VARCHAR, '')" for slice_ in sliced_by)
    found = connection.execute(
        f"SELECT label::VARCHAR AS l, prediction AS p, class AS c{', ' if columns else ''}{columns} FROM labelled"
    ).fetchnumpy()
    truth, chosen = _numbers(found["l"], manifest), _numbers(found["c"], manifest)
    predictions = np.asarray(found["p"], float)
    known = np.isfinite(truth) & np.isfinite(predictions)
    if known.sum() < asked.limits.min_labelled:
        return None
    arrays = [values[known] for values in (truth, predictions, chosen)]
    value = metric.measure(*arrays)
    tried = [
        (feature, text, rows)
        for feature, column in zip(sliced_by, list(found.values())[3:], strict=True)
        for text, rows in _values(np.asarray(column)[known], asked.quality.min_slice_rows)
    ]
    judge = _Judge(metric, baseline, len(tried) + 1)
    slices = []
    for feature, text, rows in tried:
        measured = metric.measure(*(values[rows] for values in arrays))
        slices.append(judge.slice({feature: text}, len(rows), measured, asked.quality.max_slice_loss))
    overall = judge.slice({}, int(known.sum()), value, asked.quality.max_loss)
    rows_served = traffic.one(connection, f"SELECT count({traffic.PREDICTION}) FROM {quoted(window)}")[0]
    business = labels.business_value(connection, asked.business.sql) if asked.business.sql else None
    return WindowQuality(name, int(known.sum()), int(rows_served), overall, slices, business)


@dataclass(frozen=True)
class _Judge:
    metric: Metric
    baseline: Baseline
    comparisons: int

    def slice(self, values: dict[str, str], rows: int, live: live_metrics.Measured, max_loss: float) -> SliceQuality:
        """Compares with the baseline of the slice, or with that of all rows where the slice has none."""
        own = dict(self.baseline.slices).get(tuple(sorted(values.items())))
        baseline = self.baseline.value if own is None else own
        loss = (baseline - live.value) * (1 if self.metric.higher_is_better else -1)
        chance = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2 / self.comparisons) if values else live_metrics.CONFIDENCE
        alarm = loss > max_loss and loss > chance * math.hypot(live.error, self.baseline.error)
        return SliceQuality(values, rows, live.value, live.error, baseline, bool(alarm))


def sliced_by(evaluation: Mapping[str, Any], manifest: ModelManifest, asked: Policy) -> list[str]:
    """Returns the features to slice by: evaluation's, where it took one at a time, and the policy's.

    Raises:
        UserError: The policy names one that the model does not take.
    """
    unknown = [name for name in asked.quality.slices if name not in manifest.features]
    if unknown:
        raise UserError(f"policy: quality: slices: {unknown[0]!r} is no feature of the model")
    single = [next(iter(found["slice"])) for found in evaluation.get("slices") or () if len(found["slice"]) == 1]
    return [name for name in dict.fromkeys([*asked.quality.slices, *single]) if name in manifest.features]


def alarms(found: WindowQuality, asked: Policy, window: str) -> list[tuple[str, str, str]]:
    """Returns kind, slice and sentence of what is too bad."""
    told = []
    for one in [found.overall, *found.slices]:
        if one.alarm:
            where = ", ".join(f"{name} {value or '(missing)'}" for name, value in one.slice.items())
            sentence = (
                f"{found.metric} is {one.live:.4f}{f' for {where}' if where else ''} on {one.rows:,} labelled rows of "
                f"{window}; {BASELINE_WORDS[asked.quality.baseline]} {one.baseline:.4f}"
            )
            told.append((policy.QUALITY, where, sentence))
    value = found.business
    if value is not None and not asked.business.min <= value <= asked.business.max:
        limits = f"{asked.business.min:g} to {asked.business.max:g}"
        told.append((policy.BUSINESS, "", f"{asked.business.name} is {value:g} in {window}; allowed is {limits}"))
    return told


def _numbers(texts: Any, manifest: ModelManifest) -> np.ndarray:
    """Returns values, or classes' indices; NaN for what is none."""
    indices = {name: float(index) for index, name in enumerate(manifest.classes)}
    filled = np.ma.filled(texts, None) if np.ma.isMaskedArray(texts) else texts
    unique, places = np.unique(
        np.array([text if text is not None else "" for text in filled], dtype=str), return_inverse=True
    )
    return np.array([_number(str(text), indices, bool(manifest.classes)) for text in unique])[places]


def _number(text: str, indices: Mapping[str, float], classes: bool) -> float:
    if classes:
        for candidate in (text, TRUTHS.get(text.lower(), text), text.removesuffix(".0")):
            if candidate in indices:
                return indices[candidate]
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def _values(column: Any, min_rows: int) -> list[tuple[str, Any]]:
    unique, places, counts = np.unique(column.astype(str), return_inverse=True, return_counts=True)
    largest = np.argsort(-counts)[:MOST_VALUES]
    return [(str(unique[code]), np.flatnonzero(places == code)) for code in largest if counts[code] >= min_rows]
