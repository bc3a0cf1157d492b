"""The eval split's rows, batch by batch: feeds for the models, labels as numbers, values to slice by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import REGRESSION, ModelManifest
from numpy.typing import NDArray

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
        try:
            with pq.ParquetFile(path) as file:
                missing = sorted(set(columns) - set(file.schema_arrow.names))
                if missing:
                    raise UserError(f"{path}: lacks the column {missing[0]!r}")
                yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: cannot be read as Parquet: {error}") from error


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
    """Returns a column as texts [rows], empty where missing; whole numbers are written without a point."""
    return np.asarray(pc.fill_null(texts(column), "").to_numpy(zero_copy_only=False), dtype=object)


def texts(column: pa.Array) -> pa.Array:
    """Returns a column as texts, null where missing; 1.0 becomes `1`, so that a label reads the same in any type."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        whole = pc.all(pc.equal(pc.round(column), column)).as_py()
        column = pc.cast(column, pa.int64()) if whole is not False else column
    return pc.cast(column, pa.string())


def label_numbers(column: pa.Array, model: ModelManifest) -> NDArray[np.float64]:
    """Returns the labels as float64 [rows]: the value in regression, else the class' index; NaN where missing.

    A label that is none of the model's classes becomes `UNKNOWN_CLASS`.
    """
    if model.task == REGRESSION:
        return numeric_feed(column).astype(np.float64) if pa.types.is_string(column.type) else _floats(column)
    known = pa.array(model.classes, pa.string())
    values = texts(column)
    indices = pc.fill_null(pc.cast(pc.index_in(values, value_set=known), pa.float64()), float(UNKNOWN_CLASS))
    return _floats(pc.if_else(pc.is_null(values), pa.scalar(None, pa.float64()), indices))


def _floats(column: pa.Array) -> NDArray[np.float64]:
    return pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
