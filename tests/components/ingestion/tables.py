"""Small source files and the examples made of them, for the tests of ingestion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb


def write_file(path: Path, rows: str, options: str = "") -> Path:
    """Writes the rows of a SELECT to a file of the kind that its ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = str(path).replace("'", "''")
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({rows}) TO '{name}' {options}")
    return path


def write_values(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], types: Sequence[str]) -> Path:
    """Writes Python values, typed, to a file of the kind that its ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quoted = ['"' + column.replace('"', '""') + '"' for column in columns]
    with duckdb.connect() as connection:
        fields = ", ".join(f"{name} {kind}" for name, kind in zip(quoted, types, strict=True))
        connection.execute(f"CREATE TABLE t ({fields})")
        for row in rows:
            connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(quoted))})", list(row))
        connection.execute(f"COPY t TO '{str(path).replace(chr(39), chr(39) * 2)}'")
    return path


def read_split(examples: Path, split: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """Returns the rows of a split, in the order of its files."""
    pattern = str(examples / split / "*.parquet").replace("'", "''")
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM read_parquet('{pattern}')").fetchall()


def types_of(examples: Path, split: str = "train") -> dict[str, str]:
    """Returns DuckDB's type of each column of a split's files."""
    pattern = str(examples / split / "*.parquet").replace("'", "''")
    with duckdb.connect() as connection:
        described = connection.execute(f"DESCRIBE FROM read_parquet('{pattern}')").fetchall()
    return {name: kind for name, kind, *_ in described}


def left_over(folder: Path) -> list[str]:
    """Returns the names of everything in a folder, hidden names too."""
    return sorted(path.name for path in folder.iterdir())
