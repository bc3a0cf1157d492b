"""How much of a difference between two models is noise: the delete-a-group jackknife over the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np

from mainspring.components.evaluation.accumulators import Labels, Predictions
from mainspring.components.evaluation.measuring import Measure
from mainspring.components.evaluation.slices import random_parts

GROUPS = 20
"""Groups left out in turn; TFMA's own jackknife uses as many."""

T_95 = 2.093
"""97.5 % quantile of Student's t with `GROUPS` - 1 degrees of freedom: a two-sided interval of 95 %."""

SEED = 20131
"""Of the rows' random grouping: the same rows give the same interval."""

MIN_ROWS = 2 * GROUPS
"""With fewer rows there is no telling noise from loss."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def interval_of_difference(
    measure: Measure, name: str, labels: Labels, challenger: Predictions, champion: Predictions
) -> Interval | None:
    """Returns the interval of challenger minus champion, or None where the rows are too few to tell.

    Both models leave out the same rows each time, so what is hard for both cancels out. Variance: (G - 1) / G times the
    sum of squares of the G leave-one-out differences about their mean (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, section 11.5).

    Args:
        measure: Computes at least the metric `name`.
        name: Of the metric.
        labels: [rows].
        challenger: Its predictions on these rows.
        champion: Its predictions on the same rows.
    """
    if len(labels) < MIN_ROWS:
        return None
    differences = np.array(
        [
            measure(labels[kept], challenger[kept])[name] - measure(labels[kept], champion[kept])[name]
            for kept in random_parts(len(labels), GROUPS, SEED)
        ]
    )
    whole = measure(labels, challenger)[name] - measure(labels, champion)[name]
    error = math.sqrt((GROUPS - 1) / GROUPS * float(np.square(differences - differences.mean()).sum()))
    if not math.isfinite(whole) or not math.isfinite(error):
        return None
    return Interval(whole - T_95 * error, whole + T_95 * error)


def intervals(
    measure: Measure,
    labels: Labels,
    predictions: Predictions,
    whole: Mapping[str, float],
    counts: Set[str] = frozenset(),
) -> dict[str, Interval]:
    """Returns the interval of each metric's own value, by the same jackknife; only those that can be told.

    Args:
        measure: Computes the metrics.
        labels: [rows].
        predictions: On these rows.
        whole: The metrics' values over all these rows.
        counts: Those that count rows: they grow with the rows, so the jackknife tells nothing of them.
    """
    if len(labels) < MIN_ROWS:
        return {}
    parts = [measure(labels[kept], predictions[kept]) for kept in random_parts(len(labels), GROUPS, SEED)]
    found = {}
    for name in sorted(parts[0].keys() - counts):
        values = np.array([part[name] for part in parts])
        error = math.sqrt((GROUPS - 1) / GROUPS * float(np.square(values - values.mean()).sum()))
        if math.isfinite(error) and math.isfinite(whole[name]):
            found[name] = Interval(whole[name] - T_95 * error, whole[name] + T_95 * error)
    return found
