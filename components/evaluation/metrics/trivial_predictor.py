"""What a predictor that looks at no feature reaches: the least that a model must beat."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mainspring.components.evaluation.metrics import ranking_queries
from mainspring.components.evaluation.policy.metric_catalogue import NDCG_PLACES
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring.rows import Labels


def trivial_value(metric: Metric, labels: Labels) -> tuple[float, str]:
    """Returns a metric's value for the best constant prediction, and what that is in words.

    Args:
        metric: Of a class in `policy.TRIVIAL_METRICS`.
        labels: Of the rows, as `accumulators.Labels` has them.
    """
    name = metric.class_name
    if name == "NDCG":
        places = int(metric.settings.get("top_k_list", [NDCG_PLACES])[0])
        return ranking_queries.gains_in_random_order(labels, places), "a random order"
    if name == "Recall":
        return 0.0, "what a model that names no row positive finds"
    if name == "AUC":
        return 0.5, "a random order"
    if name == "AUCPrecisionRecall":
        several = labels.ndim == 1 and labels.max() > 1
        return float(1 / len(np.unique(labels)) if several else labels.mean()), "the share of positives"
    if name == "MeanSquaredError":
        return float(labels.var()), "the label's variance"
    if name == "RootMeanSquaredError":
        return float(labels.std()), "the label's standard deviation"
    if name == "MeanAbsoluteError":
        return float(np.abs(labels - np.median(labels)).mean()), "the label's mean distance from its median"
    shares = _shares(labels)
    if name in ("BinaryAccuracy", "SparseCategoricalAccuracy"):
        return float(shares.max(axis=0).mean()), "the largest class' share"
    if name in ("BinaryCrossEntropy", "BinaryCrossentropy", "SparseCategoricalCrossentropy"):
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(shares > 0, shares * np.log(shares), 0.0)
        return float(-terms.sum(axis=0).mean()), "the label's entropy"
    return math.nan, "unknown"


def _shares(labels: Labels) -> NDArray[np.float64]:
    """Returns the classes' shares [classes]; multi-label: [2, classes], of rows without and with each class."""
    if labels.ndim == 2:
        positive = labels.mean(axis=0)
        return np.stack([1 - positive, positive])
    return np.unique(labels, return_counts=True)[1] / len(labels)
