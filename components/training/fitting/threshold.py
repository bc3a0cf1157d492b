"""From which probability on a row is of the positive class: as given, or chosen on held-out rows of train.

One half is right where both classes are common. Of a rare class hardly any row reaches it, and a model that tells the
classes apart well would still name the common one for every row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mainspring.components.common.manifests import BINARY
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.fitting.threshold_rule import FALSE_NEGATIVE, FALSE_POSITIVE, Rule

HALF = 0.5
FEWEST = 2
"""Held-out rows of each class, below which they say nothing."""
COUNTED = 200
"""Held-out rows of the rarer class from which errors are counted. With fewer, which of them lie where is chance: errors
are then expected from probabilities, which all rows' scores tell."""
NEWTON_STEPS = 25
RIDGE = 0.01


@dataclass(frozen=True)
class Threshold:
    """A threshold, and how it was found."""

    value: float = HALF
    """Exact in float32, in which probabilities are served."""
    by: str = "one half"


def without_rows(rule: Rule, label: LabelSpec) -> Threshold | None:
    """Returns the threshold that takes no rows to find; None where the label has none."""
    if label.task != BINARY:
        return None
    if rule.given is not None:
        return Threshold(float(np.float32(rule.given)), "given")
    return Threshold()


def chosen(rule: Rule, logits: np.ndarray, positive: np.ndarray, label: LabelSpec) -> Threshold:
    """Chooses the threshold by which held-out rows are told apart best.

    Args:
        rule: Says what is best.
        logits: The model's for these rows.
        positive: [rows], 1 for the positive class.
        label: The label, of two classes.
    """
    scores, rows = _probabilities(logits), len(logits)
    is_positive = positive.astype(bool)
    counts = int((~is_positive).sum()), int(is_positive.sum())
    rarer = int(counts[1] <= counts[0])
    if min(counts) < FEWEST or len(np.unique(scores)) < 2:
        few = f"{counts[rarer]:,} of {rows:,} held-out rows of train are of {label.classes[rarer]!r}"
        return Threshold(by=f"one half: {few}, too few to choose by")
    likely = is_positive.astype(np.float64)
    if counts[rarer] < COUNTED:
        likely = _calibrated(logits.astype(np.float64), likely)
    what = f"F1 of {label.classes[rarer]!r}"
    if rule.cost:
        of_each = " and ".join(f"{value:g} for a {name.replace('_', ' ')}" for name, value in rule.cost.items())
        what = f"cost ({of_each})"
    return Threshold(_best(rule, scores, likely, rarer), f"{what} on {rows:,} held-out rows of train")


def _probabilities(logits: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def _calibrated(logits: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Returns each row's probability by a logistic curve over the logits, fitted to these rows.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines" (1999).
    """
    spread = float(logits.std()) or 1.0
    design = np.column_stack([np.ones(len(logits)), (logits - logits.mean()) / spread])
    share = positive.mean()
    weights = np.array([np.log(share / (1 - share)), 0.0])
    for _ in range(NEWTON_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(design @ weights, -50, 50)))
        slope = design.T @ (positive - likely) - RIDGE * np.array([0.0, weights[1]])
        curvature = (design.T * (likely * (1 - likely))) @ design + RIDGE * np.eye(2)
        weights += np.clip(np.linalg.solve(curvature, slope), -2, 2)
    return np.asarray(1 / (1 + np.exp(-np.clip(design @ weights, -50, 50))))


def _best(rule: Rule, scores: np.ndarray, likely: np.ndarray, rarer: int) -> float:
    """Returns the border between two scores that is best for these rows.

    Args:
        rule: Says what is best.
        scores: [rows], float32 probabilities as they are served, not all alike.
        likely: [rows], how likely each row is positive: 0 or 1 where it is known.
        rarer: The class whose F1 counts.
    """
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(likely[order])
    # A border lies between two different scores: above it are so many rows.
    above = np.flatnonzero(scores[:-1] > scores[1:]) + 1
    positives, rows = found[-1], len(scores)
    right = found[above - 1]
    false_positives, false_negatives = above - right, positives - right
    if rule.cost:
        worth = -(rule.cost[FALSE_POSITIVE] * false_positives + rule.cost[FALSE_NEGATIVE] * false_negatives)
    else:
        hits = right if rarer else rows - positives - false_positives
        worth = 2 * hits / (2 * hits + false_positives + false_negatives)
    place = above[int(np.argmax(worth))]
    upper, lower = scores[place - 1], scores[place]
    middle = np.float32((float(upper) + float(lower)) / 2)
    return float(middle if lower < middle <= upper else upper)
