"""Finds the pairs and triples of features that say more together than apart.

A network of embeddings learns sums of effects at once and interactions slowly. Crosses that matter (which day of which
month, which airport at which hour) are found beforehand, from what an additive model leaves unexplained: as in GA2M
(Lou et al., "Accurate Intelligible Models with Pairwise Interactions", KDD 2013), each candidate's gain is that of one
Newton step per cell. It is estimated on two thirds of the rows and judged on the rest, so that many cells alone win
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mainspring.components.common.manifests import BINARY, REGRESSION
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import Cross, cells_of

MIN_ROWS = 5_000
"""Smaller tables get no crosses: a held-out third says too little."""
MAX_ROWS = 300_000
MAX_CELLS = 16_384
MAX_COARSE_IDS = 34
MAX_CANDIDATES = 12
MAX_OUTPUTS = 4
"""Classes looked at in multi-class problems, the most frequent ones."""
SHRINKAGE = 10.0
"""Rows' worth of evidence that a cell has no effect of its own."""
ADDITIVE_PASSES = 3
NEWTON_STEPS = 3
"""What a chosen cross explains must be gone before the next is judged; one step leaves a part of large effects."""
MIN_GAIN = 2e-4
"""Smallest gain per row, relative to the loss of knowing nothing, that is worth a feature."""

Slopes = tuple[np.ndarray, np.ndarray]
"""The loss's negative gradient and its curvature by score, each [rows, outputs]."""


@dataclass(frozen=True)
class _Rows:
    """A part of train: ids, the outputs wanted and the scores so far."""

    ids: np.ndarray
    """[rows, features], a column after the other: they are read by column"""
    wanted: np.ndarray
    """float64 [rows, outputs]"""
    scores: np.ndarray
    """float64 [rows, outputs], changed in place."""
    squared_loss: bool

    def slopes(self) -> Slopes:
        """Returns them for the scores as they are now."""
        if self.squared_loss:
            return self.wanted - self.scores, np.ones_like(self.scores)
        odds = 1 / (1 + np.exp(-self.scores))
        return self.wanted - odds, odds * (1 - odds)


def select_crosses(
    ids: np.ndarray, sizes: Sequence[int], quantities: int, targets: np.ndarray, label: LabelSpec, most: int, seed: int
) -> list[Cross]:
    """Chooses crosses that lower the held-out loss of an additive model.

    Args:
        ids: int32 [rows, features] of train, the quantities first.
        sizes: Ids per feature.
        quantities: How many of the features are quantities, whose neighbouring ids may be put together.
        targets: [rows], from `labels.targets`.
        label: The label.
        most: How many crosses to choose at most.
        seed: Of the rows held out.

    Returns:
        The crosses, the most useful first; none for small tables.
    """
    if len(ids) < MIN_ROWS or not most:
        return []
    order = np.random.default_rng(seed).permutation(len(ids))[:MAX_ROWS]
    wanted = _wanted(targets, label)
    parts = np.split(order, [len(order) * 2 // 3])
    fit, held_out = (
        _Rows(
            np.asfortranarray(ids[part]), wanted[part], np.zeros((len(part), wanted.shape[1])), label.task == REGRESSION
        )
        for part in parts
    )
    scale = _fit_additively(fit, held_out, sizes)
    factors = [_factor(column, size, column < quantities) for column, size in enumerate(sizes)]
    pairs = [cross for pair in combinations(factors, 2) if (cross := _joined(pair)) is not None]
    gains = _gains(pairs, fit, held_out)
    ranked = sorted(((gain, index) for index, gain in enumerate(gains)), reverse=True)
    candidates = [pairs[index] for gain, index in ranked[:MAX_CANDIDATES] if gain > 0]
    return _pick_greedily(candidates, factors, fit, held_out, most, MIN_GAIN * scale * len(held_out.ids))


def _wanted(targets: np.ndarray, label: LabelSpec) -> np.ndarray:
    if label.task in (BINARY, REGRESSION):
        return targets[:, None].astype(np.float64)
    frequent = np.argsort(-np.bincount(targets, minlength=len(label.classes)), kind="stable")[:MAX_OUTPUTS]
    return (targets[:, None] == frequent).astype(np.float64)


def _fit_additively(fit: _Rows, held_out: _Rows, sizes: Sequence[int]) -> float:
    """Fits a sum of one effect per feature into both parts' scores; returns the loss per row of knowing nothing."""
    base = fit.wanted.mean(axis=0)
    if fit.squared_loss:
        scale = float(fit.wanted.var())
    else:
        base = np.clip(base, 1e-6, 1 - 1e-6)
        scale = float(-(base * np.log(base) + (1 - base) * np.log(1 - base)).sum())
        base = np.log(base / (1 - base))
    for rows in (fit, held_out):
        rows.scores[:] = base
    for _ in range(ADDITIVE_PASSES):
        for column, size in enumerate(sizes):
            _add_effect(Cross((column,), (1,), (size,)), fit, held_out, 1)
    return scale


def _add_effect(cross: Cross, fit: _Rows, held_out: _Rows, steps: int) -> None:
    """Adds one effect per cell, fitted on one part, to both parts' scores."""
    for _ in range(steps):
        step = _step(cross, fit, fit.slopes())
        for rows in (fit, held_out):
            rows.scores[:] += step[cells_of(cross, rows.ids)]


def _pick_greedily(
    candidates: list[Cross], factors: list[Cross], fit: _Rows, held_out: _Rows, most: int, least: float
) -> list[Cross]:
    """Takes the best candidate, lets the scores know it, offers its extensions to triples, and so on."""
    picked: list[Cross] = []
    while candidates and len(picked) < most:
        gains = _gains(candidates, fit, held_out)
        best = max(range(len(gains)), key=gains.__getitem__)
        if gains[best] < least:
            break
        cross = candidates.pop(best)
        _add_effect(cross, fit, held_out, NEWTON_STEPS)
        picked.append(cross)
        if len(cross.columns) == 2:
            known = {frozenset(other.columns) for other in (*candidates, *picked)}
            extended = [_joined((cross, factor)) for factor in factors if factor.columns[0] not in cross.columns]
            candidates += [new for new in extended if new is not None and frozenset(new.columns) not in known]
    return picked


def _gains(crosses: Sequence[Cross], fit: _Rows, held_out: _Rows) -> list[float]:
    """Returns how much a Newton step per cell of each cross, fitted on one part, lowers the other's loss."""
    fitted, judged = fit.slopes(), held_out.slopes()
    gains = []
    for cross in crosses:
        step = _step(cross, fit, fitted)
        gradient, curvature = _sums(cross, held_out, judged)
        gains.append(float((gradient * step - curvature * step**2 / 2).sum()))
    return gains


def _step(cross: Cross, fit: _Rows, slopes: Slopes) -> np.ndarray:
    gradient, curvature = _sums(cross, fit, slopes)
    shrinkage = SHRINKAGE * curvature.sum() / (len(fit.ids) * fit.scores.shape[1])
    return gradient / (curvature + shrinkage)


def _sums(cross: Cross, rows: _Rows, slopes: Slopes) -> tuple[np.ndarray, np.ndarray]:
    cells = cells_of(cross, rows.ids)
    by_cell = [np.stack([np.bincount(cells, values, cross.cells) for values in slope.T], axis=1) for slope in slopes]
    return by_cell[0], by_cell[1]


def _factor(column: int, size: int, is_quantity: bool) -> Cross:
    """Returns a feature as it enters crosses: a quantity of many bins with neighbours put together."""
    coarse = -(-(size - 1) // (MAX_COARSE_IDS - 1)) if is_quantity else 1
    return Cross((column,), (coarse,), (-(-(size - 1) // coarse) + 1,))


def _joined(parts: Sequence[Cross]) -> Cross | None:
    """Returns the parts' cross, or None where it has too many cells."""
    cross = Cross(
        tuple(column for part in parts for column in part.columns),
        tuple(coarse for part in parts for coarse in part.coarse),
        tuple(size for part in parts for size in part.sizes),
    )
    return cross if cross.cells <= MAX_CELLS else None
