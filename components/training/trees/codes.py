"""From raw values to codes, small integers that trees are grown on and served on: the same integers, the same leaves.

A quantity's code is the number of borders at or below it, counted in double precision. A category's code is its place
among the feature's values. Where a feature has more values than a learner takes as categories, a value's code is the
bin of its mean label, which training computes without the row itself being counted (out of fold).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mainspring.components.training.features.columns import CATEGORICAL, NUMERIC, Feature
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import TINY, RawColumns
from mainspring.components.training.trees.table_rows import TableRows

MISSING = 255
"""The code of a missing value, and of a category that train does not have."""
MOST_BORDERS = 253
MOST_CATEGORIES = 254
MOST_HEAVY = 80
"""So many frequent values of a quantity have a bin of their own."""
MOST_VALUES = 100_000
"""Of a feature with more values, the rarer ones count as missing."""
SMOOTHING = 10.0
"""Rows' worth of the overall mean in a category's mean label."""
FOLDS = 5


@dataclass(frozen=True)
class Codes:
    """How raw values become codes. Categories come first, then quantities."""

    categorical: tuple[Feature, ...]
    numeric: tuple[Feature, ...]
    borders: tuple[np.ndarray, ...]
    """Per quantity, ascending float64."""
    values: tuple[tuple[str, ...], ...]
    """Per categorical feature, its values."""
    codes_of_values: tuple[np.ndarray, ...]
    """Per categorical feature, int32: the code of each value."""
    is_native: tuple[bool, ...]
    """Per categorical feature, whether the learner sees categories; else numbers in an order that means something."""

    @property
    def names(self) -> list[str]:
        """The columns' names in order."""
        return [feature.name for feature in (*self.categorical, *self.numeric)]

    def apply(self, columns: RawColumns) -> np.ndarray:
        """Returns int32 [rows, features]."""
        coded = np.empty((len(columns.numbers), len(self.names)), np.int32)
        for place, (column, known) in enumerate(zip(columns.categories, self.values, strict=True)):
            places = _places(column, known)
            coded[:, place] = np.append(self.codes_of_values[place], MISSING)[places]
        for place, borders in enumerate(self.borders):
            coded[:, len(self.categorical) + place] = bin_codes(columns.numbers[:, place], borders)
        return coded


def learn_codes(features: Sequence[Feature], table: TableRows, label: LabelSpec, seed: int) -> tuple[Codes, np.ndarray]:
    """Learns the codes from train's rows.

    Args:
        features: The features.
        table: Train's rows.
        label: The label.
        seed: Of the folds of mean labels.

    Returns:
        The codes, and those of the rows to grow trees on, int32 [rows, features].
    """
    numeric = tuple(feature for feature in features if feature.kind == NUMERIC)
    categorical = tuple(feature for feature in features if feature.kind == CATEGORICAL)
    values = tuple(_values(column) for column in table.columns.categories)
    borders = tuple(borders_of(column) for column in table.columns.numbers.T)
    native = tuple(len(known) <= MOST_CATEGORIES for known in values)
    random, grown = np.random.default_rng(seed), {}
    codes_of_values = []
    for place, (column, known) in enumerate(zip(table.columns.categories, values, strict=True)):
        if native[place]:
            codes_of_values.append(np.arange(len(known), dtype=np.int32))
            continue
        places, wanted = _places(column, known), _outcome(table.targets, label)
        means = _smoothed_means(places, wanted, len(known))
        ordered = borders_of(means)
        codes_of_values.append(bin_codes(means, ordered))
        grown[place] = _out_of_fold(places, wanted, len(known), ordered, random)
    codes = Codes(categorical, numeric, borders, values, tuple(codes_of_values), native)
    coded = codes.apply(table.columns)
    for place, column in grown.items():
        coded[:, place] = column
    return codes, coded


def bin_codes(values: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Returns int32 [rows]: how many borders each value reaches; `MISSING` where it is not finite."""
    numbers = _numbers(values)
    return np.where(np.isfinite(numbers), np.searchsorted(borders, numbers, side="right"), MISSING).astype(np.int32)


def borders_of(values: np.ndarray) -> np.ndarray:
    """Returns the borders of a quantity's bins: one between any two values where they are few, else by frequency."""
    numbers = _numbers(values)
    distinct, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    upper = np.arange(1, len(distinct))
    if len(upper) > MOST_BORDERS:
        share = counts.sum() / MOST_BORDERS
        heavy = np.argsort(-counts, kind="stable")[:MOST_HEAVY]
        heavy = heavy[counts[heavy] > share]
        left = MOST_BORDERS - 2 * len(heavy)
        steps = np.linspace(0, counts.sum(), left + 2)[1:-1]
        even = np.searchsorted(np.cumsum(counts), steps) + 1
        upper = np.unique(np.concatenate([heavy, heavy + 1, even]))
        upper = upper[(upper > 0) & (upper < len(distinct))]
    below, above = distinct[upper - 1], distinct[upper]
    middle = below / 2 + above / 2
    return np.where((middle > below) & (middle <= above), middle, above)  # Neighbouring doubles have no middle.


def _numbers(values: np.ndarray) -> np.ndarray:
    numbers = np.asarray(values, np.float64)
    return np.where(np.abs(numbers) < TINY, 0.0, numbers)


def _values(column: pa.DictionaryArray) -> tuple[str, ...]:
    """Returns a feature's values, the most frequent ones first."""
    words = column.dictionary.to_pylist()
    counts = np.bincount(column.indices.to_numpy(), minlength=len(words)).tolist()
    frequent = sorted((-count, word) for word, count in zip(words, counts, strict=True) if word and count)
    return tuple(word for _, word in frequent[:MOST_VALUES])


def _places(column: pa.DictionaryArray, known: Sequence[str]) -> np.ndarray:
    """Returns each row's place among the known values; their number where it is none of them."""
    found = pc.index_in(column.dictionary, value_set=pa.array(known, pa.string()))
    places = found.fill_null(len(known)).to_numpy(zero_copy_only=False)
    return places[column.indices.to_numpy()] if len(places) else np.full(len(column), len(known))


def _outcome(targets: np.ndarray, label: LabelSpec) -> np.ndarray:
    """Returns what a category's mean is taken of: the target, or whether the row is of the most frequent class."""
    if len(label.classes) > 2:
        return (targets == np.bincount(targets).argmax()).astype(np.float64)
    return targets.astype(np.float64)


def _smoothed_means(places: np.ndarray, wanted: np.ndarray, count: int) -> np.ndarray:
    """Returns the mean per category, drawn towards that of all; a place without rows has that of all."""
    overall = wanted.mean() if len(wanted) else 0.0
    rows = np.bincount(places, minlength=count + 1)[:count]
    sums = np.bincount(places, weights=wanted, minlength=count + 1)[:count]
    return (sums + SMOOTHING * overall) / (rows + SMOOTHING)


def _out_of_fold(
    places: np.ndarray, wanted: np.ndarray, count: int, borders: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    fold = random.integers(0, FOLDS, len(places))
    codes = np.full(len(places), MISSING, np.int32)
    for number in range(FOLDS):
        others, own = fold != number, fold == number
        means = _smoothed_means(places[others], wanted[others], count)
        known = own & (places < count)
        codes[known] = bin_codes(means, borders)[places[known]]
    return codes
