"""What each row adds to a metric that is a mean over rows, in doubles whatever the predictions' own precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

TINY = 1e-7
"""Probabilities are kept this far from 0 and 1, as Keras does: a sure and wrong prediction has a finite loss."""

HALF = 0.5
"""From which a probability counts as the positive class, where nothing else is said."""

RowValues = Callable[[Labels, Predictions], NDArray[np.float64]]
"""From labels and predictions to a value for each row."""


def of_metric(metric: Metric) -> RowValues | None:
    """Returns the function for a metric that is a mean over rows (or the root of one); None for any other."""
    return None if metric.settings.keys() - {"name"} else _ROW_VALUES.get(metric.class_name)


def is_root(metric: Metric) -> bool:
    """Returns whether the metric is the square root of the mean."""
    return metric.class_name == "RootMeanSquaredError"


def mean(metric: Metric, of_row: RowValues, labels: Labels, predictions: Predictions) -> float:
    """Returns the metric's value."""
    if not is_root(metric):
        return float(of_row(labels, predictions).mean())
    errors = np.abs(_errors(labels, predictions))
    largest = float(errors.max())
    # Divided first: squares of very small or very large errors are no doubles any more.
    return largest * float(np.sqrt(np.square(errors / largest).mean())) if largest else 0.0


def _errors(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
    return predictions.astype(np.float64) - labels


def _correct(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
    if predictions.ndim == 2 and labels.ndim == 1:
        return (predictions.argmax(axis=1) == labels).astype(np.float64)
    right = ((predictions > HALF) == labels).astype(np.float64)
    return right if right.ndim == 1 else right.mean(axis=1)


def _cross_entropy(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
    scores = predictions.astype(np.float64)
    if predictions.ndim == 2 and labels.ndim == 1:
        chosen = scores[np.arange(len(labels)), labels.astype(np.int64)] / scores.sum(axis=1)
    else:
        chosen = np.where(labels == 1, scores, 1 - scores)
    losses = -np.log(np.clip(chosen, TINY, 1 - TINY))
    return losses if losses.ndim == 1 else losses.mean(axis=1)


_ROW_VALUES: dict[str, RowValues] = {
    "BinaryAccuracy": _correct,
    "SparseCategoricalAccuracy": _correct,
    "BinaryCrossentropy": _cross_entropy,
    "SparseCategoricalCrossentropy": _cross_entropy,
    "MeanAbsoluteError": lambda labels, predictions: np.abs(_errors(labels, predictions)),
    "MeanSquaredError": lambda labels, predictions: np.square(_errors(labels, predictions)),
    "RootMeanSquaredError": lambda labels, predictions: np.square(_errors(labels, predictions)),
}
