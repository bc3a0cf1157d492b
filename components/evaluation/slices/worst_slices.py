"""The search for the slices where the model does worst: every feature's values, and every pair of them.

After Chung et al., Slice Finder: Automated Data Slicing for Model Validation (ICDE 2019): a slice is bad if its rows'
mean loss is above that of all other rows by more than chance explains. Losses add up, so one pass of `bincount` judges
all slices of a feature, or of a pair, at once.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.components.common.manifests import MULTICLASS, MULTILABEL, REGRESSION
from mainspring.components.evaluation.slices.slice_columns import SliceColumn

SIGNIFICANCE = 0.05
"""The chance of naming any slice at all where no slice is worse than the rest (Bonferroni over all that were tried)."""

MAX_VALUES = 100
"""Values of a feature that are tried: the most frequent ones."""

MAX_PAIRED = 16
"""Features that are crossed with each other: those whose own slices differ most."""

FEWEST_ROWS = 30
"""Below it the normal approximation of a mean says little."""

TINY = 1e-7
"""Probabilities are kept this far from 0 and 1, as Keras does: a sure and wrong prediction has a finite loss."""


@dataclass(frozen=True)
class BadSlice:
    """A slice on which the model does worse than elsewhere."""

    values: Mapping[str, str | None]
    rows: int
    loss: float
    """Mean loss of its rows: cross-entropy in classification, squared error in regression."""
    loss_elsewhere: float
    effect: float
    """The difference in standard deviations of the losses."""
    p_value: float
    """Of no difference, times the number of slices tried."""


@dataclass(frozen=True)
class Search:
    """What was found."""

    found: list[BadSlice]
    """The largest effect first."""
    tried: int
    """Slices with enough rows."""


@dataclass(frozen=True)
class _Sums:
    """Rows, losses and squared losses by slice."""

    rows: NDArray[np.float64]
    losses: NDArray[np.float64]
    squares: NDArray[np.float64]

    def minus(self, other: _Sums) -> _Sums:
        return _Sums(self.rows - other.rows, self.losses - other.losses, self.squares - other.squares)

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.losses / np.maximum(self.rows, 1)

    @property
    def variance(self) -> NDArray[np.float64]:
        return np.maximum(self.squares / np.maximum(self.rows, 1) - self.mean**2, 0)


@dataclass(frozen=True)
class _Single:
    """A feature, cut into the values that are tried; rows with another value have the code past them."""

    feature: str
    codes: NDArray[np.int64]
    names: list[str | None]
    sums: _Sums


def row_losses(labels: NDArray[np.float64], predictions: NDArray[Any], task: str) -> NDArray[np.float64]:
    """Returns each row's loss: cross-entropy in classification, squared error in regression."""
    if task == REGRESSION:
        return np.square(labels - predictions.astype(np.float64))
    if task == MULTICLASS:
        chosen = predictions[np.arange(len(labels)), labels.astype(np.int64)]
    else:
        chosen = np.where(labels == 1, predictions, 1 - predictions)
    losses = -np.log(np.clip(chosen.astype(np.float64), TINY, 1))
    return losses.mean(axis=1) if task == MULTILABEL else losses


def search(columns: Mapping[str, SliceColumn], losses: NDArray[np.float64], min_rows: int, most: int) -> Search:
    """Returns at most `most` slices that are significantly worse than all other rows.

    A pair is named only where it is also significantly worse than either of its features' slices without it: what one
    feature explains is said with one feature.

    Args:
        columns: By feature, its value in each row.
        losses: [rows].
        min_rows: Of a slice to be tried.
        most: Slices to return.
    """
    min_rows = max(min_rows, FEWEST_ROWS)
    total = _sums(np.zeros(len(losses), np.int64), losses, 1)
    singles = {}
    for feature, column in columns.items():
        codes, kept = _frequent(column, min_rows)
        if len(kept):
            names = [column.names[code] for code in kept]
            singles[feature] = _Single(feature, codes, names, _sums(codes, losses, len(kept) + 1))
    scores = {feature: _against(single.sums, total.minus(single.sums)) for feature, single in singles.items()}
    candidates = [
        _bad({feature: name}, single.sums, place, total, float(scores[feature][place]))
        for feature, single in singles.items()
        for place, name in enumerate(single.names)
        if scores[feature][place] > 0
    ]
    tried = sum(len(single.names) for single in singles.values())
    ranked = sorted(singles, key=lambda feature: -float(np.abs(scores[feature][:-1]).max()))
    for left, right in itertools.combinations(ranked[:MAX_PAIRED], 2):
        bad, enough = _pairs(singles[left], singles[right], losses, total, min_rows)
        candidates += bad
        tried += enough
    candidates = [dataclasses.replace(one, p_value=min(1.0, one.p_value * tried)) for one in candidates]
    found = sorted((one for one in candidates if one.p_value < SIGNIFICANCE), key=lambda one: -one.effect)
    return Search(found[:most], tried)


def _pairs(
    left: _Single, right: _Single, losses: NDArray[np.float64], total: _Sums, min_rows: int
) -> tuple[list[BadSlice], int]:
    """Returns the pairs' slices that are worse than elsewhere, and how many have enough rows."""
    width = len(right.names) + 1
    sums = _sums(left.codes * width + right.codes, losses, (len(left.names) + 1) * width)
    row, col = np.divmod(np.arange(len(sums.rows)), width)
    enough = (sums.rows >= min_rows) & (row < len(left.names)) & (col < len(right.names))
    parents = [total, _at(left.sums, row), _at(right.sums, col)]
    score = np.minimum.reduce([_against(sums, parent.minus(sums)) for parent in parents])
    bad = [
        _bad(
            {left.feature: left.names[row[place]], right.feature: right.names[col[place]]},
            sums,
            place,
            total,
            float(score[place]),
        )
        for place in np.flatnonzero(enough & (score > 0)).tolist()
    ]
    return bad, int(enough.sum())


def _frequent(column: SliceColumn, min_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns each row's value among those kept (all others share one number past them), and the kept codes."""
    counts = np.bincount(column.codes, minlength=len(column.names))
    kept = np.argsort(-counts, kind="stable")[:MAX_VALUES]
    kept = np.sort(kept[counts[kept] >= min_rows])
    table = np.full(len(column.names), len(kept), np.int64)
    table[kept] = np.arange(len(kept))
    return table[column.codes], kept


def _sums(codes: NDArray[np.int64], losses: NDArray[np.float64], size: int) -> _Sums:
    return _Sums(
        np.bincount(codes, minlength=size).astype(np.float64),
        np.bincount(codes, weights=losses, minlength=size).astype(np.float64),
        np.bincount(codes, weights=np.square(losses), minlength=size).astype(np.float64),
    )


def _at(sums: _Sums, index: NDArray[np.int64]) -> _Sums:
    return _Sums(sums.rows[index], sums.losses[index], sums.squares[index])


def _against(sums: _Sums, others: _Sums) -> NDArray[np.float64]:
    """Returns Welch's statistic of each slice's mean loss against the others'; 0 where there are too few of either."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(sums.variance / sums.rows + others.variance / others.rows)
        score = (sums.mean - others.mean) / error
    usable = (sums.rows >= FEWEST_ROWS) & (others.rows >= FEWEST_ROWS) & np.isfinite(score)
    return np.where(usable, score, 0.0)


def _bad(values: dict[str, str | None], sums: _Sums, place: int, total: _Sums, score: float) -> BadSlice:
    one = _at(sums, np.array([place]))
    rest = total.minus(one)
    deviation = math.sqrt((one.variance[0] + rest.variance[0]) / 2) or 1.0
    loss, elsewhere = float(one.mean[0]), float(rest.mean[0])
    p_value = math.erfc(score / math.sqrt(2)) / 2
    return BadSlice(values, int(one.rows[0]), loss, elsewhere, (loss - elsewhere) / deviation, p_value)
