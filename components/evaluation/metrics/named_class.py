"""The class that a model of two classes names: what precision, recall and the confusion matrix are about.

A model's threshold is part of it: training chose it, the endpoint's `label` follows it, and so does what is measured. A
model without one is measured as TFMA does it, from above one half on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.components.common.manifests import BINARY, ModelManifest
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

HALF = 0.5


def is_positive(predictions: Predictions, threshold: float | None) -> NDArray[np.bool_]:
    """Returns the rows that a model names positive.

    Args:
        predictions: [rows], probabilities of the positive class.
        threshold: The model's; None: it has none.
    """
    return predictions > HALF if threshold is None else predictions >= threshold


def at_threshold(
    metric: Metric, function: Callable[[Labels, Predictions], Any], model: ModelManifest
) -> Callable[[Labels, Predictions], Any]:
    """Returns the function for a metric, which is given 0 and 1 where the metric is about the class that is named."""
    threshold = model.threshold
    if threshold is None or model.task != BINARY or not metric.judges_named_class:
        return function
    return lambda labels, predictions: function(labels, is_positive(predictions, threshold).astype(np.float32))
