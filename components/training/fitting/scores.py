"""Loss and main metric of a whole split at once, exactly, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mainspring.components.common.manifests import BINARY, MULTICLASS
from mainspring.components.training.features.labels import LabelSpec

MAIN_METRIC = {BINARY: "auc", MULTICLASS: "accuracy"}
"""By task; regression's is rmse."""


def main_metric(task: str) -> str:
    """Returns the name of the task's main metric."""
    return MAIN_METRIC.get(task, "rmse")


def loss_and_metric(
    outputs: np.ndarray, targets: np.ndarray, label: LabelSpec, class_weights: Sequence[float] | None = None
) -> tuple[float, float]:
    """Compares a model's outputs with the targets.

    Args:
        outputs: [rows, units]: logits, or standardised values.
        targets: [rows], from `labels.targets`.
        label: The label.
        class_weights: Per class, as in the loss that is trained; None: all 1.

    Returns:
        The mean (weighted) loss, cross-entropy in nats or squared error of the standardised value, and the main metric:
        area under the ROC curve, accuracy, or root mean squared error in the label's unit.
    """
    outputs = outputs.astype(np.float64)
    if label.task == BINARY:
        logits = outputs[:, 0]
        losses = np.logaddexp(0, logits) - targets * logits
        return _mean(losses, targets, class_weights), area_under_roc(targets, logits)
    if label.task == MULTICLASS:
        highest = outputs.max(axis=1)
        normaliser = highest + np.log(np.exp(outputs - highest[:, None]).sum(axis=1))
        loss = _mean(normaliser - outputs[np.arange(len(targets)), targets], targets, class_weights)
        return loss, float(np.mean(outputs.argmax(axis=1) == targets))
    loss = float(np.mean((outputs[:, 0] - targets) ** 2))
    return loss, float(np.sqrt(loss) * label.deviation)


def _mean(losses: np.ndarray, targets: np.ndarray, class_weights: Sequence[float] | None) -> float:
    return float(np.mean(losses if class_weights is None else losses * np.array(class_weights)[targets.astype(int)]))


def area_under_roc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Returns the share of (positive, negative) pairs in the right order, ties counting half; NaN without both."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))
