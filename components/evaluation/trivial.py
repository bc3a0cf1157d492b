"""What a predictor that looks at no feature reaches: the least that a model must beat."""

from __future__ import annotations

import math

import numpy as np

from mainspring.components.evaluation.accumulators import Labels


def trivial_value(class_name: str, labels: Labels) -> tuple[float, str]:
    """Returns a metric's value for the best constant prediction, and what that is in words.

    Args:
        class_name: One of `policy.TRIVIAL_METRICS`.
        labels: [rows]: values in regression, else class indices.
    """
    if class_name == "AUC":
        return 0.5, "a random order"
    if class_name == "AUCPrecisionRecall":
        return float(labels.mean()), "the share of positives"
    if class_name == "MeanSquaredError":
        return float(labels.var()), "the label's variance"
    if class_name == "RootMeanSquaredError":
        return float(labels.std()), "the label's standard deviation"
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    if class_name in ("BinaryAccuracy", "SparseCategoricalAccuracy"):
        return float(shares.max()), "the largest class' share"
    if class_name in ("BinaryCrossEntropy", "BinaryCrossentropy", "SparseCategoricalCrossentropy"):
        return float(-(shares * np.log(shares)).sum()), "the label's entropy"
    return math.nan, "unknown"
