"""Live quality, overall and by slice, against what evaluation promised or against the version's first window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.monitoring import policy
from mainspring.components.monitoring.judging import class_words, labels, live_metrics
from mainspring.components.monitoring.judging.findings import Finding, SliceQuality, WindowQuality
from mainspring.components.monitoring.judging.labels import LabelSource
from mainspring.components.monitoring.judging.live_metrics import Measured, Metric
from mainspring.components.monitoring.logs import traffic
from mainspring.components.monitoring.logs.traffic import quoted
from mainspring.components.monitoring.policy import Policy

SIGNIFICANCE = 0.05
"""A loss counts if chance makes one so large less often than this, over all slices that are looked at together."""

MOST_VALUES = 200
"""Values of a feature that are looked at one by one."""

NO_BASELINE = "evaluation did not measure this metric; name another, or give quality: {baseline: first_window}"

BASELINE_WORDS = {policy.EVALUATION: "evaluation promised", policy.FIRST_WINDOW: "the version's first window had"}


@dataclass(frozen=True)
class Baseline:
    """What live quality is compared with."""

    value: float
    error: float = 0.0
    slices: Mapping[tuple[tuple[str, str], ...], float] = ()  # type: ignore[assignment]
    is_itself: bool = False
    """Whether the window is the first one, which later ones are compared with."""


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
    labelled: int,
    window: str,
    manifest: ModelManifest,
    asked: Policy,
    baseline: Baseline,
    sliced_by: Sequence[str],
) -> WindowQuality | None:
    """Measures a window's labelled rows; None if too few labels have come.

    Args:
        connection: With the table `labelled`.
        labelled: Its rows.
        window: The table of served rows.
        manifest: Says the task and the classes.
        asked: Limits.
        baseline: What is compared with.
        sliced_by: Features whose values are judged one by one.
    """
    needed = max(asked.limits.min_labelled, 1)
    rows = _make_judged(connection, manifest, sliced_by) if labelled >= needed else 0
    if rows < needed:
        return None
    name, metric = metric_of(manifest, asked)
    (overall,) = live_metrics.measure(connection, metric, manifest.classes).values()
    tried = [
        ({feature: value}, measured)
        for place, feature in enumerate(sliced_by)
        for value, measured in _by_value(
            connection, metric, manifest.classes, f"slice_{place}", asked.quality.min_slice_rows
        )
    ]
    judge = _Judge(metric, baseline, len(tried) + 1)
    slices = [judge.slice(where, measured, asked.quality.max_slice_loss) for where, measured in tried]
    rows_served = traffic.one(connection, f"SELECT count({traffic.PREDICTION}) FROM {quoted(window)}")[0]
    business = labels.business_value(connection, asked.business.sql) if asked.business.sql else None
    whole = judge.slice({}, overall, asked.quality.max_loss)
    return WindowQuality(name, rows, int(rows_served), whole, slices, business, not whole.unjudged)


@dataclass(frozen=True)
class _Judge:
    metric: Metric
    baseline: Baseline
    comparisons: int

    def slice(self, values: dict[str, str], live: Measured, max_loss: float) -> SliceQuality:
        """Compares with the baseline of the slice, or with that of all rows where the slice has none."""
        own = dict(self.baseline.slices).get(tuple(sorted(values.items())))
        baseline = self.baseline.value if own is None else own
        loss = (baseline - live.value) * (1 if self.metric.higher_is_better else -1)
        chance = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2 / self.comparisons) if values else live_metrics.CONFIDENCE
        allowed = max_loss * abs(baseline) if self.metric.is_relative else max_loss
        alarm = loss > allowed and loss > chance * math.hypot(live.error, self.baseline.error)
        lacks = math.isnan(baseline) and not self.baseline.is_itself
        unjudged = live.unjudged or (NO_BASELINE if lacks else "")
        return SliceQuality(values, live.rows, live.value, live.error, baseline, bool(alarm) and not unjudged, unjudged)


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


def columns(source: LabelSource, manifest: ModelManifest, asked: Policy, sliced_by: Sequence[str]) -> list[str]:
    """Returns the features that are needed beside the labels: all of them only for a team's own SQL."""
    needed = manifest.features if asked.business.sql else {*sliced_by, *source.key}
    return [name for name in manifest.features if name in needed]


def told(found: WindowQuality, asked: Policy, window: str) -> list[Finding]:
    """Returns what is too bad, and what could not be judged.

    Where the quality of all rows could not be judged, the window is not healthy, and no new model mends that. A slice
    that could not be is said.
    """
    findings = []
    for one in [found.overall, *found.slices]:
        where = ", ".join(f"{name} {value or '(missing)'}" for name, value in one.slice.items())
        of = f" for {where}" if where else ""
        if one.unjudged and not where:
            sentence = f"quality could not be judged in {window}: {one.unjudged}"
            findings.append(Finding(policy.QUALITY, "labels", True, sentence, mendable=False))
        elif one.unjudged and one.unjudged != found.overall.unjudged:
            sentence = f"quality{of} could not be judged in {window}: {one.unjudged}"
            findings.append(Finding(policy.QUALITY, where, False, sentence))
        elif one.alarm:
            sentence = (
                f"{found.metric} is {_figure(one.live)}{of} on {one.rows:,} labelled rows of {window}; "
                f"{BASELINE_WORDS[asked.quality.baseline]} {_figure(one.baseline)}"
            )
            findings.append(Finding(policy.QUALITY, where, found.judged, sentence, one.live, one.baseline))
    value = found.business
    if value is not None and not asked.business.min <= value <= asked.business.max:
        limits = f"{asked.business.min:g} to {asked.business.max:g}"
        sentence = f"{asked.business.name} is {value:g} in {window}; allowed is {limits}"
        findings.append(Finding(policy.BUSINESS, "", True, sentence, value, mendable=found.judged))
    return findings


def _figure(value: float) -> str:
    return f"{value:.4f}" if 0.01 <= abs(value) < 10 else f"{value:.4g}"


def _make_judged(connection: duckdb.DuckDBPyConnection, manifest: ModelManifest, sliced_by: Sequence[str]) -> int:
    """Makes the table `judged` of the labelled rows and returns how many there are."""
    chosen = class_words.index_of("class", manifest.classes) if manifest.classes else "NULL::DOUBLE"
    slices = "".join(
        f", coalesce({quoted(feature)}::VARCHAR, '') AS slice_{place}" for place, feature in enumerate(sliced_by)
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE judged AS FROM (SELECT __truth AS truth, prediction::DOUBLE AS prediction,"
        f" {chosen} AS chosen{slices} FROM labelled) WHERE isfinite(truth) AND isfinite(prediction)"
    )
    return int(traffic.one(connection, "SELECT count(*) FROM judged")[0])


def _by_value(
    connection: duckdb.DuckDBPyConnection, metric: Metric, classes: Sequence[str], column: str, min_rows: int
) -> list[tuple[str, Measured]]:
    """Returns the metric for each of a column's most frequent values, the most frequent first."""
    connection.execute(
        f"CREATE OR REPLACE TABLE frequent AS SELECT {column} AS value, count(*) AS rows FROM judged GROUP BY value"
        f" HAVING rows >= {min_rows} ORDER BY rows DESC, value LIMIT {MOST_VALUES}"
    )
    found = live_metrics.measure(connection, metric, classes, column, "SELECT value FROM frequent")
    return sorted(found.items(), key=lambda one: (-one[1].rows, one[0]))
