"""The columns of JSON lines: every key of every row, and one type for it in all files.

DuckDB would look at the first rows only and leave out, without a word, what occurs for the first time below them. It
takes objects with hundreds of alike keys for a map. And it needs 32 MiB for each file whose types it has to find, all
at the same time: two dozen files and more of a span could not be read at all.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.column_types import literal
from mainspring.components.ingestion.sources.file import exactly

FOLDERS_ARE_NO_COLUMNS = "hive_partitioning = false"
"""DuckDB would take `late=1` in a path for a column, even where the file has one of that name."""

_LINES = "format = 'newline_delimited', records = true, dateformat = '%Y-%m-%d'"


def options(files: Sequence[Path]) -> str:
    """Returns the options by which DuckDB's `read_json` reads the files: among them, their columns.

    Raises:
        duckdb.Error: A file is no JSON lines.
        UserError: Two keys differ in their case only.
    """
    types: dict[str, dict[str, None]] = {}
    for file in files:
        for name, kind in _columns(file, file.stat().st_mtime_ns):
            types.setdefault(name, {})[kind] = None
    if not types:
        return f"{_LINES}"
    columns = ", ".join(f"{literal(name)}: {literal(_joined(tuple(kinds)))}" for name, kinds in types.items())
    return f"{_LINES}, columns = {{{columns}}}"


@functools.lru_cache(maxsize=1024)
def _columns(file: Path, _modified: int) -> tuple[tuple[str, str], ...]:
    whole = f"{_LINES}, {FOLDERS_ARE_NO_COLUMNS}, sample_size = -1, map_inference_threshold = -1"
    with duckdb.connect() as connection:
        found = connection.execute(f"DESCRIBE FROM read_json({literal(exactly(file))}, {whole})").fetchall()
    names = [str(name) for name, *_ in found]
    for name in names:
        # DuckDB has renamed the second of two keys that differ in their case only: `a` and `A_1`.
        stem = re.sub(r"_[0-9]+$", "", name)
        for other in names if stem != name else ():
            if other != stem and other.lower() == stem.lower():
                raise UserError(f"{file}: has both a key {other} and a key {stem}: names must differ in more than case")
    return tuple((str(name), str(kind)) for name, kind, *_ in found)


def _joined(kinds: Sequence[str]) -> str:
    """Returns the type that holds the values of all: DuckDB knows."""
    if len(kinds) == 1:
        return kinds[0]
    every = " UNION ALL ".join(f"SELECT NULL::{kind} AS value" for kind in kinds)
    with duckdb.connect() as connection:
        return str(connection.execute(f"DESCRIBE {every}").fetchall()[0][1])
