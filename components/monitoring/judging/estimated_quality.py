"""What a classifier's quality would be by its own scores, while labels are late or never come.

Confidence-based performance estimation (Białek et al., Estimating Model Performance Under Covariate Shift Without
Labels, arXiv:2401.08348): where scores are calibrated, a row of score p is positive with probability p. Each row then
adds its expected part to a metric: p to the true positives of every threshold below its score and 1 - p to the false
ones, max(p, 1 - p) to accuracy, the entropy of p to the cross-entropy. It holds while scores stay calibrated: it sees
a change of the features, and none of what the label depends on (concept drift).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.components.common.manifests import BINARY, MULTICLASS
from mainspring.components.monitoring import policy
from mainspring.components.monitoring.judging.findings import Finding
from mainspring.components.monitoring.judging.live_metrics import CLIPPED, CONFIDENCE
from mainspring.components.monitoring.judging.quality import Baseline
from mainspring.components.monitoring.policy import Policy

BINS = 500
"""Scores are taken together in so many groups of equal size: AUC then needs no sorting of pairs."""

DRAWS = 200
"""Sets of labels that are drawn by the scores; the metric's spread over them is the estimate's error."""

SEED = 0

DEVIATIONS = 3.0
"""An estimate held where the truth was at most so many standard errors away from it, or the policy's `max_loss`."""

HIGHER_IS_BETTER = {"auc": True, "binary_accuracy": True, "binary_crossentropy": False}


@dataclass(frozen=True)
class Estimate:
    """A metric as the scores promise it."""

    metric: str
    rows: int
    value: float
    error: float
    """How far the metric would be from `value` by chance, were the scores right."""


def estimate(task: str, metric: str, scores: NDArray[np.float64], threshold: float | None = None) -> Estimate | None:
    """Returns a window's estimate; None where the metric or the scores allow none.

    Args:
        task: The model's.
        metric: As evaluation names it.
        scores: The positive class's probability; of several classes, the chosen one's. Finite.
        threshold: Of a model of two classes; None: one half.
    """
    if not len(scores) or scores.min() < 0 or scores.max() > 1:
        return None
    if task == MULTICLASS and metric == "sparse_categorical_accuracy":
        return Estimate(metric, len(scores), float(scores.mean()), _error_of_mean(scores * (1 - scores)))
    if task != BINARY or metric not in HIGHER_IS_BETTER:
        return None
    if metric == "binary_accuracy":
        right = np.where(scores >= (threshold or 0.5), scores, 1 - scores)
        return Estimate(metric, len(scores), float(right.mean()), _error_of_mean(right * (1 - right)))
    if metric == "binary_crossentropy":
        p = np.clip(scores, CLIPPED, 1 - CLIPPED)
        odds = np.log(p / (1 - p))
        entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
        return Estimate(metric, len(scores), float(entropy.mean()), _error_of_mean(p * (1 - p) * odds**2))
    return _of_auc(scores)


def cannot(task: str, metric: str) -> Finding:
    """Returns what is said where nothing can be estimated."""
    why = (
        "a regression model gives no probabilities"
        if task not in (BINARY, MULTICLASS)
        else "the predictions are no probabilities, or the metric is none of them"
    )
    return Finding(policy.ESTIMATE, "", False, f"{metric} cannot be estimated without labels: {why}")


def judge(
    found: Estimate, baseline: Baseline, asked: Policy, earlier: Sequence[Mapping[str, Any]], is_labelled: bool
) -> Finding:
    """Returns what the estimate says.

    It is an alarm only where nothing better is known (no labels), and where the newest labelled window of the version
    has shown that its estimates hold.

    Args:
        found: This window's.
        baseline: What evaluation promised.
        asked: `max_loss`.
        earlier: Findings of the version's windows before, oldest first, with the quality that labels gave them since.
        is_labelled: Whether this window's quality is judged by labels.
    """
    told = (
        f"{found.metric} is estimated at {found.value:.4f} ± {CONFIDENCE * found.error:.4f} without labels, "
        f"from {found.rows:,} scores"
    )
    checked = [
        (window["estimate"], window["quality"]["overall"]) for window in earlier if holds_both(window, found.metric)
    ]
    if not checked:
        return Finding(
            policy.ESTIMATE,
            "",
            False,
            f"{told}; no labelled window has shown yet that this model's scores are calibrated",
        )
    before, truth = checked[-1]
    if not held(before, truth, asked):
        said = (
            f"; of the newest labelled window it was {before['value']:.4f} and the truth was {truth['live']:.4f}: "
            "scores are not calibrated (any more), or what the label depends on has changed; this counts for nothing"
        )
        return Finding(policy.ESTIMATE, "", False, told + said, found.value)
    loss = (baseline.value - found.value) * (1 if HIGHER_IS_BETTER.get(found.metric, True) else -1)
    spread = CONFIDENCE * math.hypot(found.error, baseline.error, truth["error"] or 0.0)
    alarm = not is_labelled and loss > asked.quality.max_loss and loss > spread
    return Finding(
        policy.ESTIMATE,
        "",
        bool(alarm),
        f"{told}; evaluation promised {baseline.value:.4f}",
        found.value,
        baseline.value,
    )


def holds_both(window: Mapping[str, Any], metric: str) -> bool:
    """Returns whether a window has an estimate of a metric, and the truth that labels gave later."""
    guess, quality = window.get("estimate"), window.get("quality")
    return bool(
        guess
        and quality
        and quality.get("judged", True)
        and guess["metric"] == quality["metric"] == metric
        and quality["overall"]["live"] is not None
    )


def held(before: Mapping[str, Any], truth: Mapping[str, Any], asked: Policy) -> bool:
    """Returns whether a window's estimate was right, once its labels had come."""
    chance = DEVIATIONS * math.hypot(before["error"] or 0.0, truth["error"] or 0.0)
    return bool(abs(before["value"] - truth["live"]) <= max(chance, asked.quality.max_loss))


def _error_of_mean(variances: NDArray[np.float64]) -> float:
    return float(math.sqrt(variances.sum()) / len(variances))


def _of_auc(scores: NDArray[np.float64]) -> Estimate | None:
    ordered = np.sort(scores)
    edges = np.unique(np.linspace(0, len(ordered), min(BINS, len(ordered)) + 1).astype(int))
    sums = np.add.reduceat(ordered, edges[:-1])
    sizes = np.diff(edges)
    chances = sums / sizes
    value = _auc(sums[None, :], (sizes - sums)[None, :])[0]
    if not math.isfinite(value):
        return None
    drawn = np.random.default_rng(SEED).binomial(sizes, np.clip(chances, 0, 1), (DRAWS, len(sizes))).astype(float)
    return Estimate("auc", len(scores), float(value), float(np.nanstd(_auc(drawn, sizes - drawn))))


def _auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the area under the ROC curve of each line: positives and negatives of groups in ascending order."""
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area = (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))
    return np.asarray(area, float)
