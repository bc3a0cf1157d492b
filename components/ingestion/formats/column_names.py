"""What a file itself calls its columns: DuckDB renames the second of two that are alike, and says nothing."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.ingestion.formats.csv_separator import HEAD, separator


def own_names(file: Path, file_format: str) -> list[str]:
    """Returns the columns' names as the file has them: of CSV, what stands in the first line.

    Of JSON lines, and of a file that cannot be read, there are none: who reads it says what is wrong.

    Args:
        file: In UTF-8, plain or gzip.
        file_format: `parquet`, `csv` or `jsonl`.
    """
    try:
        if file_format == "parquet":
            return list(pq.read_schema(file).names)
        return _header(file) if file_format == "csv" else []
    except (pa.ArrowException, OSError, EOFError, zlib.error, csv.Error):
        return []


def _header(file: Path) -> list[str]:
    with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as opened:
        head = opened.read(HEAD).decode(errors="replace").removeprefix("\ufeff")
    rows = csv.reader(io.StringIO(head, newline=""), delimiter=separator([file]))
    return next(rows, [])
