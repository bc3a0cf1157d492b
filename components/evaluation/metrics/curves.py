"""ROC and precision–recall curves, and the confusion matrix: plain numbers for the page, for JSON and for KFP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mainspring.components.common.manifests import BINARY, MULTICLASS, ModelManifest
from mainspring.components.evaluation.metrics import accumulators
from mainspring.components.evaluation.metrics.named_class import is_positive
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

POINTS = 201
"""Thresholds at which the curves are drawn."""

MAX_CLASSES = 50
"""A larger confusion matrix is no picture any more."""

THRESHOLD = 0.5
"""From which a probability counts as one of the classes of a row that may have several."""


@dataclass(frozen=True)
class Curve:
    """A model's rates at falling thresholds."""

    threshold: list[float]
    false_positive_rate: list[float]
    true_positive_rate: list[float]
    """Also called recall."""
    precision: list[float | None]
    """None where nothing is predicted positive."""


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for which."""

    classes: list[str]
    matrix: list[list[int]]
    """Rows of the class by rows; predictions by columns."""


def curve(labels: Labels, predictions: Predictions) -> Curve | None:
    """Returns the curve of a binary classifier, or None where only one class is there."""
    if len(np.unique(labels)) < 2:
        return None
    inner = np.arange(1, POINTS - 1) / (POINTS - 1)
    at = accumulators.matrices(np.concatenate([[-1e-7], inner, [1 + 1e-7]]), labels, predictions)
    positives = at.tp + at.fp
    precision = [float(tp / count) if count else None for tp, count in zip(at.tp, positives, strict=True)]
    return Curve(
        threshold=np.clip(at.thresholds, 0, 1)[::-1].tolist(),
        false_positive_rate=(at.fp / at.fp[0])[::-1].tolist(),
        true_positive_rate=(at.tp / at.tp[0])[::-1].tolist(),
        precision=precision[::-1],
    )


def confusion(
    labels: Labels, predictions: Predictions, manifest: ModelManifest, threshold: float | None = None
) -> Confusion | None:
    """Returns the confusion matrix, or None for regression and for very many classes.

    Args:
        labels: Of the rows.
        predictions: Of the rows.
        manifest: Says task and classes.
        threshold: Of the model that predicts, where there are two classes; None: it has none.
    """
    count = len(manifest.classes)
    if manifest.task not in (BINARY, MULTICLASS) or count > MAX_CLASSES:
        return None
    taken_for = predictions.argmax(axis=1) if predictions.ndim == 2 else is_positive(predictions, threshold)
    cells = np.bincount(labels.astype(np.int64) * count + taken_for, minlength=count * count)
    return Confusion(list(manifest.classes), cells.reshape(count, count).tolist())
