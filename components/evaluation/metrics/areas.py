"""The areas under the ROC and the precision–recall curve, exactly, whatever the range of the scores.

Both are told by the order of the rows alone: one sort, then sums of whole numbers. They equal scikit-learn's
`roc_auc_score` and `average_precision_score`. TFMA counts scores in 10,000 equal buckets instead, which tells nothing
of scores that are all below 0.0001 or all above 0.9999.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

Area = Callable[[NDArray[np.bool_], Predictions], float]
"""From whether each row is positive, and its score, to an area; NaN where the rows are of one class."""


ROC, PR = "ROC", "PR"
"""The curves, as TFMA's setting `curve` calls them."""


@dataclass(frozen=True)
class _Steps:
    """What has been counted up to each distinct score, from the lowest on."""

    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]


def curve_of(metric: Metric) -> str | None:
    """Returns the curve whose area a metric is: `ROC` or `PR`; None for any other metric.

    One that names thresholds or a way to sum is TFMA's; how many thresholds there are matters no longer.
    """
    usual = {"AUC": ROC, "AUCPrecisionRecall": PR}.get(metric.class_name)
    if usual is None or metric.settings.keys() - {"name", "curve", "num_thresholds"}:
        return None
    curve = metric.settings.get("curve", usual)
    return curve if curve in (ROC, PR) else None


def of_metric(metric: Metric) -> Callable[[Labels, Predictions], float] | None:
    """Returns the function that computes a metric that is an area; None for any other metric."""
    area = {ROC: under_roc, PR: average_precision}.get(curve_of(metric) or "")
    return partial(of_classes, area) if area else None


def of_classes(area: Area, labels: Labels, predictions: Predictions) -> float:
    """Returns a binary classifier's area, or the mean over the classes, each against the rest."""
    return float(np.mean([area(positive, scores) for positive, scores in each_class(labels, predictions)]))


def each_class(labels: Labels, predictions: Predictions) -> Iterator[tuple[NDArray[np.bool_], Predictions]]:
    """Yields, for each class against the rest, which rows are positive and their scores; binary: the positive class."""
    if predictions.ndim == 1:
        yield labels == 1, predictions
        return
    for index in range(predictions.shape[1]):
        yield (labels[:, index] == 1 if labels.ndim == 2 else labels == index), predictions[:, index]


def under_roc(positive: NDArray[np.bool_], scores: Predictions) -> float:
    """Returns the share of (positive, negative) pairs in the right order; pairs of one score count half."""
    return _under_roc(_steps(np.sort(_packed(places(scores), positive))))


def average_precision(positive: NDArray[np.bool_], scores: Predictions) -> float:
    """Returns the mean precision over the positives: the sum of precisions, each times the recall that it adds."""
    return _average_precision(_steps(np.sort(_packed(places(scores), positive))))


def places(scores: Predictions) -> NDArray[np.uint32]:
    """Returns whole numbers below 2^31 in the order of the scores, equal where the scores are equal."""
    if scores.dtype == np.float32 and len(scores) and scores.min() >= 0:
        # Floats that are not negative are in the order of their bits; adding 0 makes -0 an ordinary zero.
        return (scores + np.float32(0)).view(np.uint32)
    return np.unique(scores, return_inverse=True)[1].astype(np.uint32)


def under_roc_without_each(
    positive: NDArray[np.bool_], scores: Predictions, group: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """Returns the area without each group of rows in turn, [groups].

    A group's rows are in the pairs of its positives with all negatives and of its negatives with all positives; those
    among themselves are counted in both.
    """
    packed = np.sort((_packed(places(scores), positive).astype(np.uint64) << 8) | group.astype(np.uint64))
    owner = (packed & 255).astype(np.intp)
    own = (packed >> 8).astype(np.uint32)
    is_positive = (own & 1).astype(bool)
    ends = _ends(own >> 1)
    steps = _steps(own)
    rows = np.diff(ends, prepend=-1)
    below, above = _before(steps.negatives), steps.positives[-1] - steps.positives
    # What each row adds to the right pairs: as a positive, or as a negative.
    as_positive = np.repeat((below + steps.negatives) / 2, rows)
    as_negative = np.repeat((above + steps.positives[-1] - _before(steps.positives)) / 2, rows)
    right_of = np.bincount(owner, np.where(is_positive, as_positive, as_negative), groups)
    own_right, own_positives, own_negatives = np.zeros(groups), np.zeros(groups), np.zeros(groups)
    by_group = np.split(own[np.argsort(owner.astype(np.uint8), kind="stable")], np.cumsum(np.bincount(owner)))
    for index, part in enumerate(by_group[:groups]):
        if len(part):
            within = _steps(part)
            own_right[index] = _right_pairs(within)
            own_positives[index], own_negatives[index] = within.positives[-1], within.negatives[-1]
    right = _right_pairs(steps) - right_of + own_right
    with np.errstate(divide="ignore", invalid="ignore"):
        return right / ((steps.positives[-1] - own_positives) * (steps.negatives[-1] - own_negatives))


def average_precision_without_each(
    positive: NDArray[np.bool_], scores: Predictions, group: NDArray[np.int64], groups: int
) -> NDArray[np.float64]:
    """Returns the average precision without each group of rows in turn, [groups]."""
    packed = np.sort((_packed(places(scores), positive).astype(np.uint64) << 8) | group.astype(np.uint64))
    owner, own = packed & 255, (packed >> 8).astype(np.uint32)
    return np.array([_average_precision(_steps(own[owner != index])) for index in range(groups)])


def _packed(place: NDArray[np.uint32], positive: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Returns place and label in one number: numbers sort many times as fast as rows do."""
    return (place << np.uint32(1)) | positive.astype(np.uint32)


def _steps(packed: NDArray[np.uint32]) -> _Steps:
    """Returns the counts up to each distinct score of sorted rows."""
    ends = _ends(packed >> 1)
    positives = np.cumsum(packed & 1, dtype=np.int64)[ends].astype(np.float64)
    return _Steps(positives, ends + 1.0 - positives)


def _ends(place: NDArray[Any]) -> NDArray[np.int64]:
    """Returns where the rows of each distinct score end."""
    return np.append(np.flatnonzero(place[1:] != place[:-1]), len(place) - 1)


def _before(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], counts[:-1]])


def _right_pairs(steps: _Steps) -> float:
    negatives = np.diff(steps.negatives, prepend=0.0)
    above = steps.positives[-1] - (steps.positives + _before(steps.positives)) / 2
    return float((negatives * above).sum())


def _under_roc(steps: _Steps) -> float:
    pairs = steps.positives[-1] * steps.negatives[-1]
    return _right_pairs(steps) / pairs if pairs else float("nan")


def _average_precision(steps: _Steps) -> float:
    if not steps.positives[-1]:
        return float("nan")
    found = steps.positives[-1] - _before(steps.positives)
    taken = found + steps.negatives[-1] - _before(steps.negatives)
    added: Any = np.diff(steps.positives, prepend=0.0)
    return float((added * found / taken).sum() / steps.positives[-1])
