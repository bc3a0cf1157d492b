"""How much of a value, or of a difference between two models, is noise: the delete-a-group jackknife over the rows.

Variance: (G - 1) / G times the sum of squares of the G leave-one-out values about their mean (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, section 11.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.metrics import measuring, replicates
from mainspring.components.evaluation.metrics.named_class import at_threshold
from mainspring.components.evaluation.metrics.replicates import GROUPS, WithoutEach
from mainspring.components.evaluation.metrics.trivial_predictor import trivial_value
from mainspring.components.evaluation.policy.metric_catalogue import COUNTS
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

T_95 = 2.093
"""97.5 % quantile of Student's t with `GROUPS` - 1 degrees of freedom: a two-sided interval of 95 %."""

MIN_ROWS = 2 * GROUPS
"""With fewer rows (in ranking: queries) there is no telling noise from loss."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


IntervalsOf = Callable[[Labels, Predictions, Mapping[str, float]], dict[str, Interval]]
"""From labels, predictions and the metrics' values over these rows to intervals; only those that can be told."""


def without_each(metric: Metric, model: ModelManifest) -> WithoutEach:
    """Returns the function that computes a metric without each group of rows in turn."""
    fast = replicates.without_each(metric)
    if fast:
        return at_threshold(metric, fast, model)
    measure = measuring.measure_with([metric], model)

    def one_by_one(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
        kept = replicates.kept_rows(labels, predictions)
        return np.array([measure(labels[rows], predictions[rows])[metric.name] for rows in kept])

    return one_by_one


def interval_of_difference(
    values: WithoutEach,
    other_values: WithoutEach,
    whole: float,
    labels: Labels,
    challenger: Predictions,
    other: Predictions,
) -> Interval | None:
    """Returns the interval of challenger minus other, or None where the rows are too few to tell.

    Both models leave out the same rows each time, so what is hard for both cancels out.

    Args:
        values: Computes the metric of the challenger without each group.
        other_values: Likewise, of the other model: its threshold may be another.
        whole: The difference over all rows.
        labels: Of the rows.
        challenger: Its predictions on these rows.
        other: Another model's predictions on the same rows.
    """
    if replicates.independent_rows(labels, challenger) < MIN_ROWS:
        return None
    return _interval(whole, values(labels, challenger) - other_values(labels, other))


def interval_over_trivial(
    values: WithoutEach, whole: float, metric: Metric, labels: Labels, predictions: Predictions
) -> Interval | None:
    """Returns the interval of a value minus the trivial predictor's, or None where the rows are too few to tell.

    Args:
        values: Computes the metric without each group.
        whole: The difference over all rows.
        metric: Of a class in `policy.TRIVIAL_METRICS`.
        labels: Of the rows.
        predictions: The model's.
    """
    if replicates.independent_rows(labels, predictions) < MIN_ROWS:
        return None
    trivial = [trivial_value(metric, labels[kept])[0] for kept in replicates.kept_rows(labels, predictions)]
    return _interval(whole, values(labels, predictions) - np.array(trivial))


def intervals_with(metrics: Sequence[Metric], model: ModelManifest) -> IntervalsOf:
    """Returns the function that tells the intervals of the metrics' own values.

    Metrics that count rows grow with them, so the jackknife tells nothing of them: they get none.
    """
    told = [metric for metric in metrics if metric.class_name not in COUNTS]
    fast = {
        metric.name: at_threshold(metric, function, model)
        for metric in told
        if (function := replicates.without_each(metric))
    }
    others = [metric for metric in told if metric.name not in fast]
    measure = measuring.measure_with(others, model) if others else None

    def intervals(labels: Labels, predictions: Predictions, whole: Mapping[str, float]) -> dict[str, Interval]:
        if replicates.independent_rows(labels, predictions) < MIN_ROWS:
            return {}
        values = {name: function(labels, predictions) for name, function in fast.items()}
        if measure:
            parts = [measure(labels[rows], predictions[rows]) for rows in replicates.kept_rows(labels, predictions)]
            values |= {metric.name: np.array([part[metric.name] for part in parts]) for metric in others}
        found = {name: _interval(whole[name], each) for name, each in sorted(values.items())}
        return {name: interval for name, interval in found.items() if interval}

    return intervals


def _interval(whole: float, values: NDArray[np.float64]) -> Interval | None:
    error = math.sqrt((GROUPS - 1) / GROUPS * float(np.square(values - values.mean()).sum()))
    if not math.isfinite(error) or not math.isfinite(whole):
        return None
    return Interval(whole - T_95 * error, whole + T_95 * error)
