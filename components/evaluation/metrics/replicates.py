"""A metric without each group of rows in turn, for the jackknife: all groups at once where the metric is made of sums.

Sums without a group are the sums of all rows minus the group's own, so one pass over the rows serves every group. Areas
under curves are sorted once. The metrics that tasks are judged by are of these two kinds; others are measured anew
without each group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.components.evaluation.metrics import areas, ranking_queries, row_values
from mainspring.components.evaluation.policy.policy import Metric
from mainspring.components.evaluation.scoring.rows import Labels, Predictions

GROUPS = 20
"""Groups left out in turn; TFMA's own jackknife uses as many."""

SEED = 20131
"""Of the rows' random grouping: the same rows give the same interval."""

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
    """Returns the function for a metric made of sums or of the rows' order, or None for any other."""
    curve = _AREAS.get(areas.curve_of(metric) or "")
    if curve:
        return _of_area(curve)
    of_row = row_values.of_metric(metric)
    if of_row is None:
        return None

    def means(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
        values, group = of_row(labels, predictions), groups_of(labels, predictions)
        total, count = (_without(np.bincount(group, weights, GROUPS)) for weights in (values, None))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(total / count) if row_values.is_root(metric) else total / count

    return means


def _without(by_group: NDArray[Any]) -> NDArray[Any]:
    return by_group.sum(axis=0) - by_group


def _of_area(without_each_group: Callable[..., NDArray[np.float64]]) -> WithoutEach:
    def area(labels: Labels, predictions: Predictions) -> NDArray[np.float64]:
        group = groups_of(labels, predictions)
        found = [
            without_each_group(positive, scores, group, GROUPS)
            for positive, scores in areas.each_class(labels, predictions)
        ]
        return np.asarray(np.mean(found, axis=0))

    return area


_AREAS = {areas.ROC: areas.under_roc_without_each, areas.PR: areas.average_precision_without_each}
