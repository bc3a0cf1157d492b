"""From raw values to what a model eats: statistics of train, and the TensorFlow graph that applies them.

Training and serving run the same graph, so there is no skew between them. Every feature becomes a number (an id) that
an embedding looks up: a category's place in the vocabulary, a quantity's bin, a cross's cell. Quantities are
standardised as well, with an indicator of missing values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from mainspring.components.training.features.columns import CATEGORICAL, NUMERIC, Feature

MISSING = 0
"""The id of a missing value, in every feature."""
UNSEEN = 1
"""The id of a category that the vocabulary does not hold."""
RESERVED = 2
ONLY = 1
"""The id of every value of a feature that is constant in train."""

TINY = float(np.finfo(np.float32).tiny)
"""Numbers nearer to zero are zero: processors, and even threads of one process, differ in what they do with them."""

MAX_DEVIATIONS = 10.0
"""Standardised values are cut off here, so that one absurd value cannot dominate."""
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Cross:
    """Two or three columns of ids taken together, as one feature with an id per cell."""

    columns: tuple[int, ...]
    """Places in the encoder's order of features."""
    coarse: tuple[int, ...]
    """How many neighbouring ids make one, per column; 1 for categories."""
    sizes: tuple[int, ...]
    """Ids per column after that."""

    @property
    def cells(self) -> int:
        """How many ids the cross has."""
        return int(np.prod(self.sizes))


@dataclass(frozen=True)
class Statistics:
    """What train says about the features. Quantities come first, then categories."""

    numeric: tuple[Feature, ...]
    categorical: tuple[Feature, ...]
    mean: np.ndarray
    """Per quantity, over its finite values."""
    deviation: np.ndarray
    lowest: np.ndarray
    """Per quantity, its smallest finite value in train."""
    highest: np.ndarray
    edges: tuple[np.ndarray, ...]
    """Per quantity, the float32 borders between its bins."""
    vocabularies: tuple[tuple[str, ...], ...]
    """Per categorical feature."""
    unusable: tuple[bool, ...] = ()
    """Per quantity, whether its values say nothing: they never vary, or too little for float32. Empty: none."""
    may_be_missing: tuple[bool, ...] = ()
    """Per quantity, whether train has rows with and rows without a value. Empty: all."""
    constant: tuple[bool, ...] = ()
    """Per feature, in the encoder's order, whether all of train is one value or none. Empty: none."""

    @property
    def names(self) -> list[str]:
        """The features' names in the encoder's order."""
        return [feature.name for feature in (*self.numeric, *self.categorical)]

    @property
    def sizes(self) -> list[int]:
        """Ids per feature, in the encoder's order."""
        return [len(edges) + RESERVED for edges in self.edges] + [
            len(vocabulary) + RESERVED for vocabulary in self.vocabularies
        ]


@dataclass(frozen=True)
class RawColumns:
    """A split's features as arrays, in the encoder's order."""

    numbers: np.ndarray
    """float32 [rows, quantities], each without its feature's offset; NaN where there is none."""
    categories: tuple[pa.DictionaryArray, ...]
    """Per categorical feature; null and "" are missing."""


def raw_columns(table: pa.Table, features: Sequence[Feature]) -> RawColumns:
    """Takes the features' columns out of a table."""
    numeric = [feature for feature in features if feature.kind == NUMERIC]
    numbers = np.empty((table.num_rows, len(numeric)), np.float32)
    for place, feature in enumerate(numeric):
        numbers[:, place] = without_offset(table[feature.name], feature)
    numbers[np.abs(numbers) < TINY] = 0
    categories = [
        pc.dictionary_encode(pc.fill_null(table[feature.name].cast(pa.string()), "")).combine_chunks()
        for feature in features
        if feature.kind == CATEGORICAL
    ]
    return RawColumns(numbers, tuple(_one_array(column) for column in categories))


def without_offset(column: pa.ChunkedArray, feature: Feature) -> np.ndarray:
    """Returns a quantity's values [rows] in a precision that keeps what is left without the offset."""
    values = column.to_numpy()
    if not feature.offset:
        return values
    if values.dtype == np.int64:  # Whole numbers first: doubles lose some beyond 2^53.
        return values - np.int64(feature.offset)
    return values - feature.offset


class Encoder(tf.Module):
    """The graph from raw features to ids and standardised numbers. A tf.Module: a SavedModel carries its tables."""

    def __init__(self, statistics: Statistics, crosses: Sequence[Cross] = (), known: Sequence[np.ndarray] = ()) -> None:
        """Builds the lookup tables.

        Args:
            statistics: From `surveying.statistics`.
            crosses: From `select_crosses`.
            known: Per cross, bool [cells]: whether train has enough rows in the cell to say something of it.
        """
        super().__init__(name="encoder")
        self.statistics = statistics
        self.crosses = tuple(crosses)
        self.tables = [_lookup_table(vocabulary) for vocabulary in statistics.vocabularies]
        width = max([len(edges) for edges in statistics.edges], default=0)
        self._edges = np.full((len(statistics.edges), width), np.inf, np.float32)
        for row, edges in enumerate(statistics.edges):
            self._edges[row, : len(edges)] = edges
        self.known = np.concatenate([np.ones(0, bool), *known])

    @property
    def sizes(self) -> list[int]:
        """Ids per column of `ids`."""
        return self.statistics.sizes + [cross.cells for cross in self.crosses]

    @property
    def names(self) -> list[str]:
        """What each column of `ids` is."""
        names = self.statistics.names
        return names + [" × ".join(names[column] for column in cross.columns) for cross in self.crosses]

    def look_up(self, place: int, values: tf.Tensor) -> tf.Tensor:
        """Returns the ids (int32) of a categorical feature's values; `place` counts the categorical features."""
        return self.tables[place].lookup(values)

    def assemble(self, numbers: tf.Tensor, categories: tf.Tensor) -> dict[str, tf.Tensor]:
        """Puts everything together.

        Args:
            numbers: float32 [rows, quantities]; what is not finite is missing.
            categories: int32 [rows, categorical features], from `look_up`.

        Returns:
            `ids`: int32 [rows, features + crosses]; `numbers`: float32 [rows, 2 × quantities], the standardised values,
            then 1.0 where one is missing.
        """
        statistics = self.statistics
        numbers = tf.where(tf.abs(numbers) < TINY, tf.zeros_like(numbers), numbers)
        finite = tf.math.is_finite(numbers)
        filled = tf.where(finite, numbers, statistics.mean)
        columns = [categories]
        if statistics.numeric:
            bins = tf.transpose(tf.searchsorted(self._edges, tf.transpose(filled), side="right"))
            columns.insert(0, tf.where(finite, bins + 1, MISSING))
        ids = tf.concat(columns, axis=1)
        if any(statistics.constant):
            # What training never saw vary has weights that it never touched: it must not move an answer.
            ids = tf.where(np.array(statistics.constant), ONLY, ids)
        standardised = tf.clip_by_value(
            (filled - statistics.mean) / statistics.deviation, -MAX_DEVIATIONS, MAX_DEVIATIONS
        )
        if any(statistics.unusable):
            standardised = tf.where(np.array(statistics.unusable), np.float32(0), standardised)
        missing = tf.cast(~finite, tf.float32)
        if not all(statistics.may_be_missing):
            missing *= np.array(statistics.may_be_missing, np.float32)
        return {
            "ids": tf.concat([ids, self._cross_ids(ids, numbers)], axis=1) if self.crosses else ids,
            "numbers": tf.concat([standardised, missing], axis=1),
        }

    def _cross_ids(self, ids: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Returns int32 [rows, crosses]: mixed-radix numbers of the crossed columns' (coarse) ids; 0: an unknown cell.

        A quantity outside its range in train makes the cell unknown: what held on the last known day says nothing of
        the next one.
        """
        inside = (numbers >= self.statistics.lowest) & (numbers <= self.statistics.highest)
        if any(self.statistics.unusable):
            inside |= np.array(self.statistics.unusable)
        quantities = len(self.statistics.numeric)
        ids = tf.concat([tf.where(inside, ids[:, :quantities], MISSING), ids[:, quantities:]], axis=1)
        factors = len(max((cross.columns for cross in self.crosses), key=len))
        pad = [(0, 1, 1)] * factors
        parts = [
            [*zip(cross.columns, cross.coarse, cross.sizes, strict=True), *pad][:factors] for cross in self.crosses
        ]
        cells = tf.zeros([1, len(parts)], tf.int32)
        for factor in range(factors):
            column, coarse, size = (np.array([part[factor][axis] for part in parts], np.int32) for axis in range(3))
            # Rounded up, so that the id of a missing value stays its own; a padding factor has the one id 0.
            part_ids = (tf.gather(ids, column, axis=1) + (coarse - 1)) // coarse
            cells = cells * size + tf.minimum(part_ids, size - 1)
        counts = np.array([cross.cells for cross in self.crosses])
        starts = (np.cumsum(counts) - counts).astype(np.int32)
        return tf.where(tf.gather(self.known, cells + starts), cells, MISSING)


def encoding(encoder: Encoder) -> Callable[[RawColumns], dict[str, np.ndarray]]:
    """Returns a function that encodes a part of a split with the encoder's own graph.

    Each distinct category of the part is looked up once. The graph is given few rows at a time: what it holds between
    its operations is several times as large as what comes out.
    """
    assemble = tf.function(
        encoder.assemble,
        input_signature=[
            tf.TensorSpec([None, len(encoder.statistics.numeric)], tf.float32),
            tf.TensorSpec([None, len(encoder.statistics.categorical)], tf.int32),
        ],
        autograph=False,
    )

    def encode(columns: RawColumns) -> dict[str, np.ndarray]:
        categories = np.empty((len(columns.numbers), len(columns.categories)), np.int32)
        for place, column in enumerate(columns.categories):
            values = tf.constant(column.dictionary.to_pylist() or [""])
            categories[:, place] = encoder.look_up(place, values).numpy()[column.indices.to_numpy()]
        ids = np.empty((len(categories), len(encoder.sizes)), np.int32)
        numbers = np.empty((len(categories), 2 * len(encoder.statistics.numeric)), np.float32)
        for start in range(0, len(categories), ROWS_AT_ONCE):
            some = slice(start, start + ROWS_AT_ONCE)
            encoded = assemble(tf.constant(columns.numbers[some]), tf.constant(categories[some]))
            ids[some], numbers[some] = encoded["ids"].numpy(), encoded["numbers"].numpy()
        return {"ids": ids, "numbers": numbers}

    return encode


def coarse_ids(ids: np.ndarray, coarse: int) -> np.ndarray:
    """Returns ids with `coarse` neighbours made one, the missing value apart; what `Encoder` does in its graph."""
    return ids if coarse == 1 else (ids + (coarse - 1)) // coarse


def cells_of(cross: Cross, ids: np.ndarray) -> np.ndarray:
    """Returns int64 [rows]: the cross's cells, whether known or not."""
    cells = np.zeros(len(ids), np.int64)
    for column, coarse, size in zip(cross.columns, cross.coarse, cross.sizes, strict=True):
        cells = cells * size + coarse_ids(ids[:, column], coarse)
    return cells


def _lookup_table(vocabulary: Sequence[str]) -> tf.lookup.StaticHashTable:
    keys = tf.constant(["", *vocabulary])
    values = tf.constant([MISSING, *range(RESERVED, RESERVED + len(vocabulary))], tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default_value=UNSEEN)


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
