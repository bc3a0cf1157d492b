"""Rows to predict that are no examples artifact: Parquet or CSV files, here or in a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq

from mainspring.components.common import found_files
from mainspring.components.common.errors import UserError
from mainspring.components.common.found_files import FoundFile
from mainspring.components.evaluation.scoring import rows

SUFFIXES = (".parquet", ".csv", ".csv.gz")

CSV_BLOCK_BYTES = 8 << 20
"""Read at once; the first block tells the types of columns that are no features."""


def files_of(source: str) -> list[FoundFile]:
    """Returns the files that a source names, sorted.

    Args:
        source: A file, a folder, or a pattern such as `gs://bucket/flights-*.parquet`.

    Raises:
        UserError: There are none, or the one named is neither Parquet nor CSV.
    """
    found = found_files.find(source, SUFFIXES)
    if found:
        return found
    endings = ", ".join(SUFFIXES)
    if any_kind := found_files.find(source, ("",)):
        raise UserError(f"source: {any_kind[0].uri}: neither Parquet nor CSV by its name ({endings})")
    raise UserError(f"source: {source}: no such file; give a file, a folder or a pattern of Parquet or CSV files")


def columns_of(path: Path) -> list[str]:
    """Returns a file's columns.

    Raises:
        UserError: It cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_schema(path).names)
        with pv.open_csv(path, read_options=pv.ReadOptions(block_size=CSV_BLOCK_BYTES)) as reader:
            return list(reader.schema.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"source: {path}: cannot be read: {error}") from error


def batches_of(path: Path, columns: Sequence[str], features: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Yields a file's rows, `rows.BATCH_ROWS` at most at a time.

    Args:
        path: The file.
        columns: Columns to read.
        features: `numeric` or `categorical` by feature: how a CSV file's columns are read.

    Raises:
        UserError: The file cannot be read, or lacks a column.
    """
    if path.suffix.lower() == ".parquet":
        yield from rows.read_batches_of(path, columns)
        return
    missing = sorted(set(columns) - set(columns_of(path)))
    if missing:
        raise UserError(f"source: {path}: lacks the column {missing[0]!r}")
    types = {name: pa.float64() if kind == "numeric" else pa.string() for name, kind in features.items()}
    options = pv.ConvertOptions(column_types=types, include_columns=list(columns), strings_can_be_null=True)
    try:
        with pv.open_csv(
            path, read_options=pv.ReadOptions(block_size=CSV_BLOCK_BYTES), convert_options=options
        ) as reader:
            for block in reader:
                for start in range(0, block.num_rows, rows.BATCH_ROWS):
                    yield block.slice(start, rows.BATCH_ROWS)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"source: {path}: cannot be read as CSV: {error}") from error
