"""The eval split's rows, batch by batch: feeds for the models, labels as numbers, values to slice by."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BOOLEANS, MULTILABEL, RANKING, REGRESSION, ModelManifest

BATCH_ROWS = 16_384
"""Rows read and predicted at once: large enough that calls cost nothing, small enough for any machine's memory."""

UNKNOWN_CLASS = -1
"""The index given to a label that is none of the model's classes."""

CLASS_SEPARATOR = "|"
"""Between a multi-label row's classes, where the label is a text and no list."""

Labels = NDArray[Any]
"""[rows]: values, or class indices. Multi-label: [rows, classes], 0 or 1. Ranking: [rows, 2], relevance and query."""

Predictions = NDArray[Any]
"""[rows], or [rows, classes]: float32, or float64 where a regression serves doubles."""


def files(folder: Path) -> list[Path]:
    """Returns the Parquet files of a split, in order."""
    return sorted(folder.glob("*.parquet"))


def read_batches(folder: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of all Parquet files in `folder`, `BATCH_ROWS` at most at a time.

    Raises:
        UserError: A file is no Parquet, or lacks a column.
    """
    for path in files(folder):
        yield from read_batches_of(path, columns)


def read_batches_of(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of one Parquet file, `BATCH_ROWS` at most at a time.

    Raises:
        UserError: It is no Parquet, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                raise UserError(f"{path}: lacks the column {missing[0]!r}")
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: cannot be read as Parquet: {error}") from error


def count(folder: Path) -> int:
    """Returns the number of rows of all Parquet files in `folder`; a file that cannot be read counts none."""
    total = 0
    for path in files(folder):
        with contextlib.suppress(pa.ArrowInvalid, OSError):
            total += pq.read_metadata(path).num_rows
    return total


def sample(folder: Path, columns: Sequence[str], count: int) -> pa.RecordBatch:
    """Returns about `count` rows, evenly from the first rows of each file.

    Raises:
        UserError: A file cannot be read.
    """
    paths = files(folder)
    parts = []
    for path in paths:
        for batch in read_batches_of(path, columns):
            step = max(1, batch.num_rows * len(paths) // count)
            parts.append(batch.take(pa.array(np.arange(0, batch.num_rows, step))))
            break
    return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]


def numeric_feed(column: pa.Array) -> NDArray[np.float64]:
    """Returns a column's numbers [rows], NaN where missing; whole numbers beyond 2^53 as the nearest double.

    Raises:
        UserError: A value is no number.
    """
    try:
        return np.asarray(doubles(column), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f"the model takes a number where the examples have {column.type}: {error}") from error


def doubles(column: pa.Array) -> NDArray[np.float64]:
    """Returns a column of numbers, or of texts that are numbers, as doubles; NaN where missing.

    Raises:
        ArrowInvalid: A value is no number.
    """
    # "Safe" would refuse whole numbers beyond 2^53, which are numbers all the same.
    return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def categorical_feed(column: pa.Array) -> NDArray[Any]:
    """Returns a column as texts [rows], empty where missing, cast as training casts them."""
    return np.asarray(pc.fill_null(texts(column), "").to_numpy(zero_copy_only=False), dtype=object)


def texts(column: pa.Array) -> pa.Array:
    """Returns a column as texts, null where missing."""
    return pc.cast(column, pa.string())


def label_numbers(batch: pa.RecordBatch, model: ModelManifest, queries: dict[str | None, int]) -> NDArray[np.float64]:
    """Returns the labels, NaN where one is missing.

    [rows]: the value in regression, else the class' index. Multi-label: [rows, classes], 1 for each of the row's
    classes and 0 for the others. Ranking: [rows, 2], relevance and the query's number. A label that is none of the
    model's classes becomes `UNKNOWN_CLASS`; a number that is not finite is a missing label.

    Args:
        batch: Rows with the label's column, and in ranking the query's.
        model: Says which columns they are.
        queries: The queries' numbers so far; grows.

    Raises:
        UserError: A regression's or a ranking's label is no number.
    """
    column = batch.column(model.label)
    if model.task == MULTILABEL:
        return _memberships(column, model.classes)
    if model.task not in (REGRESSION, RANKING):
        return _class_numbers(column, model.classes)
    try:
        values = np.asarray(doubles(column), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f"examples: the label {model.label!r} is no number: {error}") from error
    values = np.where(np.isfinite(values), values, np.nan)
    if model.task == REGRESSION:
        return values
    encoded = texts(batch.column(model.query)).dictionary_encode()
    numbers = [float(queries.setdefault(name, len(queries))) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    return np.column_stack([values, np.array([*numbers, np.nan])[codes]])


def _class_numbers(column: pa.Array, classes: Sequence[str]) -> NDArray[np.float64]:
    encoded = column.dictionary_encode()
    known = {name: float(index) for index, name in enumerate(classes)}
    if tuple(classes) == BOOLEANS:  # As the examples hold them.
        known |= {"0": 0.0, "1": 1.0}
    numbers = [_class_number(value, known) for value in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    return np.array([*numbers, np.nan])[codes]


def _memberships(column: pa.Array, classes: Sequence[str]) -> NDArray[np.float64]:
    listed = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    lists = column if listed else pc.split_pattern(texts(column), CLASS_SEPARATOR)
    each, row = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    if not listed:  # An empty text is a row of no class, not one class without a name.
        named = pc.not_equal(each, "").to_numpy(zero_copy_only=False)
        each, row = each.filter(pa.array(named)), row[named]
    number = _class_numbers(each, classes)
    members = np.zeros((len(column), len(classes)))
    known = number >= 0
    members[row[known], number[known].astype(np.int64)] = 1
    members[row[number == UNKNOWN_CLASS]] = UNKNOWN_CLASS
    members[~column.is_valid().to_numpy(zero_copy_only=False)] = np.nan
    return members


def _class_number(value: str | float | None, known: Mapping[str, float]) -> float:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return math.nan
    # Training names classes the same way: 1.0 and 1 are one class.
    name = str(int(value)) if isinstance(value, bool | float) and float(value).is_integer() else str(value)
    return known.get(name, float(UNKNOWN_CLASS))
