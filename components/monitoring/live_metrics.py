"""Metrics of live predictions with their standard errors, in closed form: no resampling over a million rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.components.common.manifests import BINARY, MULTICLASS, REGRESSION

Numbers = NDArray[np.float64]

CLIPPED = 1e-7
"""Keras clips probabilities by so much before it takes their logarithm."""

CONFIDENCE = 1.96


@dataclass(frozen=True)
class Measured:
    """A metric of some rows."""

    value: float
    """NaN where it is not defined, as AUC of one class."""
    error: float
    """Standard error."""


@dataclass(frozen=True)
class Metric:
    """How a metric is computed."""

    tasks: tuple[str, ...]
    higher_is_better: bool
    measure: Callable[[Numbers, Numbers, Numbers], Measured]
    """From labels (values, or classes' indices), predictions, and chosen classes' indices."""


def auc(labels: Numbers, predictions: Numbers, _: Numbers) -> Measured:
    """Returns the area under the ROC curve, with DeLong's variance (DeLong et al., Biometrics 44, 1988)."""
    positive, negative = predictions[labels == 1], predictions[labels == 0]
    if not len(positive) or not len(negative):
        return Measured(math.nan, math.nan)
    above = _share_below(negative, positive)
    below = 1 - _share_below(positive, negative)
    variance = above.var() / len(positive) + below.var() / len(negative)
    return Measured(float(above.mean()), math.sqrt(variance))


def _share_below(others: Numbers, values: Numbers) -> Numbers:
    """Returns, for each value, the share of the others that lie below it; equal ones count half."""
    ordered = np.sort(others)
    left, right = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / (2 * len(others)))


def _mean(values: Numbers) -> Measured:
    return Measured(float(values.mean()), float(values.std() / math.sqrt(len(values)))) if len(values) else _UNDEFINED


def _binary_accuracy(labels: Numbers, predictions: Numbers, _: Numbers) -> Measured:
    return _mean(((predictions > 0.5) == (labels == 1)).astype(float))


def _binary_crossentropy(labels: Numbers, predictions: Numbers, _: Numbers) -> Measured:
    clipped = np.clip(predictions, CLIPPED, 1 - CLIPPED)
    return _mean(-np.log(np.where(labels == 1, clipped, 1 - clipped)))


def _accuracy(labels: Numbers, _: Numbers, classes: Numbers) -> Measured:
    return _mean((labels == classes).astype(float))


def _absolute(labels: Numbers, predictions: Numbers, _: Numbers) -> Measured:
    return _mean(np.abs(labels - predictions))


def _squared(labels: Numbers, predictions: Numbers, _: Numbers) -> Measured:
    return _mean((labels - predictions) ** 2)


def _root_of_squared(labels: Numbers, predictions: Numbers, classes: Numbers) -> Measured:
    squared = _squared(labels, predictions, classes)
    root = math.sqrt(squared.value) if squared.value >= 0 else math.nan
    return Measured(root, squared.error / (2 * root) if root else 0.0)


_UNDEFINED = Measured(math.nan, math.nan)

METRICS = {
    "auc": Metric((BINARY,), True, auc),
    "binary_accuracy": Metric((BINARY,), True, _binary_accuracy),
    "binary_crossentropy": Metric((BINARY,), False, _binary_crossentropy),
    "sparse_categorical_accuracy": Metric((MULTICLASS,), True, _accuracy),
    "root_mean_squared_error": Metric((REGRESSION,), False, _root_of_squared),
    "mean_squared_error": Metric((REGRESSION,), False, _squared),
    "mean_absolute_error": Metric((REGRESSION,), False, _absolute),
}
"""By evaluation's names."""

MAIN = {BINARY: "auc", MULTICLASS: "sparse_categorical_accuracy", REGRESSION: "root_mean_squared_error"}
