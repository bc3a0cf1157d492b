"""Small source files and the examples made of them, for the tests of ingestion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

_ARROW = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "VARCHAR": pa.string()}
_CONNECTION = duckdb.connect()
"""Kept open: to connect costs more than what most tests do."""


def write_file(path: Path, rows: str, options: str = "") -> Path:
    """Writes the rows of a SELECT to a file of the kind that its ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = str(path).replace("'", "''")
    _CONNECTION.execute(f"COPY ({rows}) TO '{name}' {options}")
    return path


def write_values(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], types: Sequence[str]) -> Path:
    """Writes Python values, typed, to a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(of_column, _ARROW[kind]) for of_column, kind in zip(values, types, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, list(columns)), path)
    return path


def read_split(examples: Path, split: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """Returns the rows of a split, in the order of its files."""
    pattern = str(examples / split / "*.parquet").replace("'", "''")
    return _CONNECTION.execute(f"SELECT {columns} FROM read_parquet('{pattern}')").fetchall()


def types_of(examples: Path, split: str = "train") -> dict[str, str]:
    """Returns DuckDB's type of each column of a split's files."""
    pattern = str(examples / split / "*.parquet").replace("'", "''")
    described = _CONNECTION.execute(f"DESCRIBE FROM read_parquet('{pattern}')").fetchall()
    return {name: kind for name, kind, *_ in described}


def left_over(folder: Path) -> list[str]:
    """Returns the names of everything in a folder, hidden names too."""
    return sorted(path.name for path in folder.iterdir())
