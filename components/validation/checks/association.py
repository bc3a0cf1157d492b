"""How well one feature predicts the label by itself: one that does so almost perfectly gives the label away.

The measure is the share of the trivial predictor's error that the feature does away with, on rows that it was not
learnt from: Goodman and Kruskal's lambda (1954) for a label of a few values, where the error is the share of wrong
guesses and the guess is the most frequent label of the feature's value; the squared correlation ratio (Pearson's eta
squared) for a number, where the error is the squared distance from the mean. Numbers are cut into equally frequent
bins, missing values are a value of their own, and what is learnt from every other row is measured on the rest, so
that a running number, which is different in every row, predicts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS_READ = 40_000
"""Rows that are looked at, from all over the files: enough to tell 0.98 from 0.97."""

BINS = 256
CLASSES = 50
"""A number with more values than this is a quantity, not a class."""

Codes = npt.NDArray[np.int64]


def with_label(paths: Sequence[Path], label: str, exclude: Sequence[str]) -> dict[str, float]:
    """Returns the association of each other column with the label, 0 to 1; empty if the label cannot be told.

    Args:
        paths: Parquet files.
        label: The label's column.
        exclude: Columns that are not looked at.
    """
    table = _sample(paths, [*exclude])
    if label not in table.column_names:
        return {}
    table = table.filter(pc.is_valid(table[label]))
    if table.num_rows < 2:
        return {}
    target = _array(table[label])
    numeric = pa.types.is_integer(target.type) or pa.types.is_floating(target.type)
    is_quantity = numeric and (pa.types.is_floating(target.type) or pc.count_distinct(target).as_py() > CLASSES)
    columns = {name: _codes(_array(table[name])) for name in table.column_names if name != label}
    if is_quantity:
        numbers = target.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        numbers = np.where(np.isfinite(numbers), numbers, 0.0)
        return {name: _eta_squared(codes, numbers) for name, codes in columns.items()}
    classes = _dense(target)
    return {name: _lambda(codes, classes) for name, codes in columns.items()}


def _sample(paths: Sequence[Path], exclude: Sequence[str]) -> pa.Table:
    """Reads whole row groups of each file, as many as its share of the rows asks for, and thins them out evenly."""
    tables = []
    share = max(1, ROWS_READ // max(1, len(paths)))
    for path in paths:
        file = pq.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name not in exclude]
        size = max(1, file.metadata.num_rows // max(1, file.num_row_groups))
        wanted = min(file.num_row_groups, -(-share // size))
        groups = sorted({int(group) for group in np.linspace(0, file.num_row_groups - 1, max(1, wanted))})
        table = file.read_row_groups(groups, columns=names) if file.num_row_groups else file.read(columns=names)
        if table.num_rows > share:
            table = table.take(pa.array(np.linspace(0, table.num_rows - 1, share).astype(np.int64)))
        tables.append(table)
    return pa.concat_tables(tables)


def _array(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _codes(values: pa.Array) -> Codes:
    """Returns a number for each row's value or bin."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        there = numbers[np.isfinite(numbers)]
        edges = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1), method="nearest")) if len(there) else there
        return np.where(np.isfinite(numbers), np.searchsorted(edges, numbers), len(edges) + 1).astype(np.int64)
    return _dense(values)


def _dense(values: pa.Array) -> Codes:
    encoded = values.dictionary_encode()
    codes: Codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _lambda(codes: Codes, classes: Codes) -> float:
    count = int(classes.max()) + 1
    table = np.bincount(codes[::2] * count + classes[::2], minlength=(int(codes.max()) + 1) * count)
    counts = table.reshape(-1, count)
    usual = int(counts.sum(axis=0).argmax())
    guesses = np.where(counts.any(axis=1), counts.argmax(axis=1), usual)
    trivial = int(np.count_nonzero(classes[1::2] != usual))
    return _removed(int(np.count_nonzero(classes[1::2] != guesses[codes[1::2]])), trivial)


def _eta_squared(codes: Codes, numbers: npt.NDArray[np.float64]) -> float:
    size = int(codes.max()) + 1
    rows = np.bincount(codes[::2], minlength=size)
    mean = float(numbers[::2].mean())
    means = np.where(rows > 0, np.bincount(codes[::2], numbers[::2], size) / np.maximum(rows, 1), mean)
    rest = numbers[1::2]
    return _removed(float(((rest - means[codes[1::2]]) ** 2).sum()), float(((rest - mean) ** 2).sum()))


def _removed(error: float, trivial: float) -> float:
    return max(0.0, 1 - error / trivial) if trivial > 0 else 0.0
