"""The eval split's rows, batch by batch: feeds for the models, labels as numbers, values to slice by."""

from __future__ import annotations

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
from mainspring.components.common.manifests import REGRESSION, ModelManifest

BATCH_ROWS = 16_384
"""Rows read and predicted at once: large enough that calls cost nothing, small enough for any machine's memory."""

UNKNOWN_CLASS = -1
"""The index given to a label that is none of the model's classes."""


def read_batches(folder: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of all Parquet files in `folder`, `BATCH_ROWS` at most at a time.

    Raises:
        UserError: A file is no Parquet, or lacks a column.
    """
    for path in sorted(folder.glob("*.parquet")):
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


def sample(folder: Path, columns: Sequence[str], count: int) -> pa.RecordBatch:
    """Returns about `count` rows, evenly from the first rows of each file.

    Raises:
        UserError: A file cannot be read.
    """
    paths = sorted(folder.glob("*.parquet"))
    parts = []
    for path in paths:
        for batch in read_batches_of(path, columns):
            step = max(1, batch.num_rows * len(paths) // count)
            parts.append(batch.take(pa.array(np.arange(0, batch.num_rows, step))))
            break
    return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]


def numeric_feed(column: pa.Array) -> NDArray[np.float32]:
    """Returns a column as float32 [rows], NaN where missing.

    Raises:
        UserError: A value is no number.
    """
    try:
        values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        raise UserError(f"the model takes a number where the examples have {column.type}: {error}") from error
    return values.astype(np.float32)


def categorical_feed(column: pa.Array) -> NDArray[Any]:
    """Returns a column as texts [rows], empty where missing, cast as training casts them."""
    return np.asarray(pc.fill_null(texts(column), "").to_numpy(zero_copy_only=False), dtype=object)


def texts(column: pa.Array) -> pa.Array:
    """Returns a column as texts, null where missing."""
    return pc.cast(column, pa.string())


def label_numbers(column: pa.Array, model: ModelManifest) -> NDArray[np.float64]:
    """Returns the labels as float64 [rows]: the value in regression, else the class' index; NaN where missing.

    A label that is none of the model's classes becomes `UNKNOWN_CLASS`; a number that is not finite is a missing label.

    Raises:
        UserError: A regression's label is no number.
    """
    if model.task == REGRESSION:
        try:
            values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        except pa.ArrowInvalid as error:
            raise UserError(f"examples: the label {model.label!r} is no number: {error}") from error
        return np.where(np.isfinite(values), values, np.nan)
    encoded = column.dictionary_encode()
    known = {name: float(index) for index, name in enumerate(model.classes)}
    numbers = [_class_number(value, known) for value in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    return np.array([*numbers, np.nan])[codes]


def _class_number(value: str | float | None, known: Mapping[str, float]) -> float:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return math.nan
    # Training names classes the same way: 1.0 and 1 are one class.
    name = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return known.get(name, float(UNKNOWN_CLASS))
