"""A metric without each group of rows in turn, for the jackknife: all groups at once where the metric is made of sums.

Sums without a group are the sums of all rows minus the group's own, so one pass over the rows serves every group. The
metrics that tasks are judged by are made of sums; others are measured anew without each group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow_model_analysis.metrics import calibration_histogram

from mainspring.components.evaluation.metrics import ranking_queries
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

GROUPS = 20
"""Groups left out in turn; TFMA's own jackknife uses as many."""

SEED = 20131
"""Of the rows' random grouping: the same rows give the same interval."""

TINY = 1e-7
"""Keras keeps probabilities this far from 0 and 1."""

WithoutEach = Callable[[Labels, Predictions], NDArray[np.float64]]
"""From labels and predictions to the metric's values, [GROUPS]: each without one group of rows."""


def groups_of(labels: Labels, predictions: Predictions) -> NDArray[np.int64]:
    """Returns each row's group, at random and of equal size; in ranking, all rows of a query share a group."""
    random = np.random.default_rng(SEED)
    if ranking_queries.are_queries(labels, predictions):
        _, number = np.unique(labels[:, 1], return_inverse=True)
        return (random.permutation(int(number.max()) + 1) % GROUPS)[number]
    return random.permutation(len(labels)) % GROUPS


def independent_rows(labels: Labels, predictions: Predictions) -> int:
    """Returns how many rows, or in ranking queries, chance draws one by one."""
    return len(np.unique(labels[:, 1])) if ranking_queries.are_queries(labels, predictions) else len(labels)


def kept_rows(labels: Labels, predictions: Predictions) -> Iterator[NDArray[np.bool_]]:
    """Yields, for each group, which rows remain without it."""
    group = groups_of(labels, predictions)
    for index in range(GROUPS):
        yield group != index


def without_each(metric: Metric) -> WithoutEach | None:
    """Returns the function for a metric made of sums, or None for any other."""
    if metric.settings.keys() - {"name"}:
        return None
    if metric.class_name == "AUC":
        return _area
    of_row = _ROW_VALUES.get(metric.class_name)
    if of_row is None:
        return None
    root = metric.class_name == "RootMeanSquaredError"

    def means(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
        values, group = of_row(labels, predictions), groups_of(labels, predictions)
        total, count = (_without(np.bincount(group, weights, GROUPS)) for weights in (values, None))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(total / count) if root else total / count

    return means


def _without(by_group: NDArray[Any]) -> NDArray[Any]:
    return by_group.sum(axis=0) - by_group


def _area(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
    """Returns the area under the ROC curve in TFMA's resolution; the mean over classes where there are several."""
    group = groups_of(labels, predictions)
    if predictions.ndim == 1:
        return _area_of(labels == 1, predictions, group)
    classes = range(predictions.shape[1])
    each = [
        _area_of((labels[:, one] if labels.ndim == 2 else labels) == (1 if labels.ndim == 2 else one), scores, group)
        for one, scores in ((one, predictions[:, one]) for one in classes)
    ]
    return np.mean(each, axis=0)


def _area_of(positive: NDArray[np.bool_], scores: Predictions, group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the share of (positive, negative) pairs in the right order, those in one bucket counting half."""
    buckets = calibration_histogram.DEFAULT_NUM_BUCKETS
    bucket = np.clip(scores.astype(np.float64) * buckets, -1, buckets).astype(np.int64)
    used, place = np.unique(bucket, return_inverse=True)
    shape = (GROUPS, len(used))
    cell = group * len(used) + place
    positives = _without(np.bincount(cell, positive, GROUPS * len(used)).reshape(shape))
    negatives = _without(np.bincount(cell, ~positive, GROUPS * len(used)).reshape(shape))
    below = np.cumsum(negatives, axis=1) - negatives / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))


def _correct(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
    right = (predictions > 0.5) == labels if predictions.ndim == 1 or labels.ndim == 2 else None
    if right is None:
        return (predictions.argmax(axis=1) == labels).astype(np.float64)
    return right.astype(np.float64) if right.ndim == 1 else right.mean(axis=1)


def _cross_entropy(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
    scores = predictions.astype(np.float64)
    if predictions.ndim == 2 and labels.ndim == 1:
        chosen = scores[np.arange(len(labels)), labels.astype(np.int64)] / scores.sum(axis=1)
    else:
        chosen = np.where(labels == 1, scores, 1 - scores)
    losses = -np.log(np.clip(chosen, TINY, 1 - TINY))
    return losses if losses.ndim == 1 else losses.mean(axis=1)


_ROW_VALUES: dict[str, Callable[[Labels, Predictions], NDArray[np.float64]]] = {
    "BinaryAccuracy": _correct,
    "SparseCategoricalAccuracy": _correct,
    "BinaryCrossentropy": _cross_entropy,
    "SparseCategoricalCrossentropy": _cross_entropy,
    "MeanAbsoluteError": lambda labels, predictions: np.abs(labels - predictions),
    "MeanSquaredError": lambda labels, predictions: np.square(labels - predictions),
    "RootMeanSquaredError": lambda labels, predictions: np.square(labels - predictions),
}
