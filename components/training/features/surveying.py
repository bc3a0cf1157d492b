"""One pass over a split's rows, a part at a time: what preprocessing is learned from, in memory that does not grow.

Means, deviations, ranges and the counts of categories are exact. Bins (quantiles) and crosses come from a sample of the
rows, which is all of them in a table that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mainspring.components.training.features.columns import CATEGORICAL, NUMERIC, Feature
from mainspring.components.training.features.labels import LabelValues, labelled
from mainspring.components.training.features.preprocessing import TINY, RawColumns, Statistics, raw_columns
from mainspring.components.training.features.resolution import Resolution

RESIDENT_CELLS = 8_000_000
"""Tables of more rows times columns stay on disk; of those, a sample of so many cells is held in memory."""
MAX_WORDS = 1_000_000
"""Distinct values of a feature that are counted at once; beyond, the rarer half is forgotten."""
MAX_BINS, FEWEST_BINS, ROWS_PER_BIN = 64, 4, 50
SMALLEST_DEVIATION = 1e-30
"""Of a quantity; below, its differences are near the smallest numbers that float32 holds."""
MAX_VOCABULARY = 20_000
MIN_FREQUENCY = 5
"""Rarer categories count as unseen in tables of at least this many times `ROWS_PER_FREQUENCY` rows."""
ROWS_PER_FREQUENCY = 1_000


@dataclass
class Survey:
    """What has been seen of a split so far."""

    features: Sequence[Feature]
    label: str
    moments: Moments
    words: list[dict[str, int]]
    """Rows by value, per categorical feature."""
    labels: LabelValues = field(default_factory=LabelValues)
    rows: int = 0
    """All rows, those without a label too."""
    sample: list[pa.Table] = field(default_factory=list)
    """Rows with a label, in their order."""
    resolution: Resolution = field(default_factory=lambda: Resolution(()))
    """What float32 cannot hold of the quantities."""

    @property
    def labelled_rows(self) -> int:
        """How many rows have a label."""
        return self.labels.count


@dataclass
class Moments:
    """Per quantity, over its finite values."""

    count: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    """Sums of squared differences from the mean, float64."""
    lowest: np.ndarray
    highest: np.ndarray

    def add(self, numbers: np.ndarray) -> None:
        """Adds float32 [rows, quantities]; the update is that of `LabelValues.add`, a column at a time."""
        for place, column in enumerate(numbers.T):
            values = column[np.isfinite(column)]
            if not len(values):
                continue
            mean, squares = values.mean(dtype=np.float64), values.var(dtype=np.float64) * len(values)
            before, total = self.count[place], self.count[place] + len(values)
            shift = mean - self.mean[place]
            self.squares[place] += squares + shift**2 * before * len(values) / total
            self.mean[place] += shift * len(values) / total
            self.count[place] = total
            self.lowest[place] = min(self.lowest[place], values.min())
            self.highest[place] = max(self.highest[place], values.max())


def survey(
    batches: Iterable[pa.Table], features: Sequence[Feature], label: str, rows: int, sample_rows: int, seed: int
) -> Survey:
    """Looks at every row once.

    Args:
        batches: The rows, with the features' and the label's columns.
        features: The features.
        label: The label's column.
        rows: How many rows there will be.
        sample_rows: How many of them to keep; all where there are no more.
        seed: Of the sample.
    """
    quantities = sum(feature.kind == NUMERIC for feature in features)
    moments = Moments(
        count=np.zeros(quantities, np.int64),
        mean=np.zeros(quantities),
        squares=np.zeros(quantities),
        lowest=np.full(quantities, np.inf, np.float32),
        highest=np.full(quantities, -np.inf, np.float32),
    )
    seen = Survey(
        features,
        label,
        moments,
        [{} for feature in features if feature.kind == CATEGORICAL],
        resolution=Resolution(features),
    )
    chosen = sampled_rows(rows, sample_rows, seed)
    for batch in batches:
        part = chosen[np.searchsorted(chosen, seen.rows) : np.searchsorted(chosen, seen.rows + len(batch))] - seen.rows
        seen.rows += len(batch)
        has_label = labelled(batch[label])
        kept = batch.filter(has_label)
        columns = raw_columns(kept, features)
        seen.moments.add(columns.numbers)
        seen.resolution.add(kept)
        for words, column in zip(seen.words, columns.categories, strict=True):
            _count(words, column)
        seen.labels.add(kept[label])
        taken = kept if len(part) == len(batch) else batch.take(pa.array(part))
        seen.sample.append(taken.filter(labelled(taken[label])))
    return seen


def sampled_rows(rows: int, wanted: int, seed: int) -> np.ndarray:
    """Returns the numbers of the rows to keep, ascending: one from each of `wanted` equal stretches, or all."""
    if rows <= wanted:
        return np.arange(rows)
    random = np.random.default_rng(seed)
    return np.unique(((np.arange(wanted) + random.random(wanted)) * (rows / wanted)).astype(np.int64))


def statistics(seen: Survey, sample: RawColumns) -> Statistics:
    """Returns means, deviations, ranges, bins and vocabularies.

    Args:
        seen: A survey of train.
        sample: The survey's sample, as arrays.
    """
    moments = seen.moments
    deviation = np.sqrt(moments.squares / np.maximum(moments.count, 1))
    # Below float32's ordinary numbers, a processor may take them for zero: dividing by them gives no number.
    unusable = (moments.count == 0) | (moments.lowest == moments.highest) | (deviation < SMALLEST_DEVIATION)
    deviation = np.where(unusable, 1.0, deviation)
    is_partial = (moments.count > 0) & (moments.count < seen.labelled_rows)
    one_word = [len(words) <= 1 for words in seen.words]
    return Statistics(
        numeric=tuple(feature for feature in seen.features if feature.kind == NUMERIC),
        categorical=tuple(feature for feature in seen.features if feature.kind == CATEGORICAL),
        mean=moments.mean.astype(np.float32),
        deviation=deviation.astype(np.float32),
        lowest=np.where(moments.count > 0, moments.lowest, 0).astype(np.float32),
        highest=np.where(moments.count > 0, moments.highest, 0).astype(np.float32),
        edges=tuple(
            np.zeros(0, np.float32) if useless else _bin_edges(column[np.isfinite(column)])
            for column, useless in zip(sample.numbers.T, unusable, strict=True)
        ),
        vocabularies=tuple(_vocabulary(words, seen.labelled_rows) for words in seen.words),
        unusable=tuple(unusable.tolist()),
        may_be_missing=tuple(is_partial.tolist()),
        constant=(*(unusable & ~is_partial).tolist(), *one_word),
    )


def notes(seen: Survey, learned: Statistics) -> list[str]:
    """Returns what of the columns cannot be learned as it is, a line for each: what is lost, and what never varies.

    Args:
        seen: A survey of train.
        learned: Its statistics.
    """
    lines = seen.resolution.notes()
    told = seen.resolution.merged
    never = [name for name, is_constant in zip(learned.names, learned.constant, strict=True) if is_constant]
    moments, tiny = seen.moments, []
    for place, feature in enumerate(learned.numeric):
        varies = moments.lowest[place] != moments.highest[place] or feature.name in seen.resolution.tiny
        if learned.unusable[place] and moments.count[place] and varies:
            tiny.append(feature.name)
            lines.append(
                f"{feature.name}: its values differ by too little for float32 (deviation below "
                f"{SMALLEST_DEVIATION:g}), so they are not used: scale the column in the query, or exclude it"
            )
    never = [name for name in never if name not in tiny and name not in told]
    if never:
        lines.append(f"never vary in train, so another value changes no answer: {', '.join(never)}; exclude them")
    return lines


def _count(words: dict[str, int], column: pa.DictionaryArray) -> None:
    counts = np.bincount(column.indices.to_numpy(), minlength=len(column.dictionary)).tolist()
    for value, count in zip(column.dictionary.to_pylist(), counts, strict=True):
        words[value] = words.get(value, 0) + count
    if len(words) > MAX_WORDS:
        for value in sorted(words, key=words.__getitem__)[: MAX_WORDS // 2]:
            del words[value]


def _bin_edges(values: np.ndarray) -> np.ndarray:
    """Returns the borders of bins: one per distinct value where they are few, else quantiles.

    A value that fills a bin by itself, such as the zero of a mostly-zero column, has one of its own, and the others are
    cut as if it were not there.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= MAX_BINS:
        return _between(distinct[:-1], distinct[1:])
    frequent = np.flatnonzero(counts >= len(values) / MAX_BINS)
    rest = np.repeat(np.delete(distinct, frequent), np.delete(counts, frequent))
    most = MAX_BINS - len(frequent)
    if not len(frequent) or most < FEWEST_BINS:
        return _quantiles(values, MAX_BINS)
    around = np.concatenate([frequent[frequent > 0] - 1, frequent[frequent < len(distinct) - 1]])
    edges = _between(distinct[around], distinct[around + 1])
    return np.unique(np.concatenate([edges, _quantiles(rest, most)]))


def _quantiles(values: np.ndarray, most: int) -> np.ndarray:
    bins = int(np.clip(len(values) // ROWS_PER_BIN, FEWEST_BINS, most))
    borders = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]).astype(np.float32)
    return np.unique(np.where(np.abs(borders) < TINY, np.float32(0), borders))


def _between(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Returns float32 borders above each lower value and not above its upper one."""
    middle = ((upper.astype(np.float64) + lower) / 2).astype(np.float32)
    middle = np.where((np.abs(middle) < TINY) & (middle != 0), np.where(middle > 0, upper, np.float32(0)), middle)
    return np.where(middle > lower, middle, upper).astype(np.float32)


def _vocabulary(words: dict[str, int], rows: int) -> tuple[str, ...]:
    """Returns the frequent values, most frequent first, and by name where that leaves a tie."""
    least = int(np.clip(rows // ROWS_PER_FREQUENCY, 1, MIN_FREQUENCY))
    frequent = [(-count, value) for value, count in words.items() if value and count >= least]
    return tuple(value for _, value in sorted(frequent)[:MAX_VOCABULARY])
