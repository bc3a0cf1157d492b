"""JSON lines as DuckDB reads them: every key of every row is a column, every value stays as it is written.

Left to itself, DuckDB would look at the first rows only and leave out, without a word, what occurs for the first time
below them; and it would rename the second of two keys that differ in their case.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from mainspring.components.ingestion.columns.column_types import literal
from mainspring.components.ingestion.formats import faults
from mainspring.components.ingestion.sources.file import exactly

_LINES = "format = 'newline_delimited', hive_partitioning = false"
_FIRST = 1_000
"""Rows whose keys come in the order in which they stand there; those that occur later follow by name."""


def names_of(connection: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    """Returns every key of a file's rows, as spelled.

    Raises:
        UserError: A line is no JSON object.
        duckdb.Error: The file cannot be read.
    """
    objects = f"read_json_objects({literal(exactly(file))}, {_LINES})"
    try:
        first = connection.execute(f"SELECT json_keys(json) FROM {objects} LIMIT {_FIRST}").fetchall()
        every = connection.execute(f"SELECT DISTINCT unnest(json_keys(json)) FROM {objects}").fetchall()
        odd = connection.execute(f"SELECT count(*) FROM {objects} WHERE json_type(json) <> 'OBJECT'").fetchall()
        if odd[0][0]:
            faults.refuse_json_lines(file)
    except duckdb.Error:
        faults.refuse_json_lines(file)
        raise
    names = dict.fromkeys(str(name) for (keys,) in first for name in keys or ())
    return [*names, *sorted(str(name) for (name,) in every if str(name) not in names)]


def reading(files: Sequence[Path], names: Sequence[str]) -> str:
    """Returns the SQL that reads files; a key that a row lacks is null.

    Args:
        files: In UTF-8, plain or gzip.
        names: The keys to read.
    """
    columns = ", ".join(f"{literal(name)}: 'JSON'" for name in names)
    listed = ", ".join(literal(exactly(file)) for file in files)
    return f"read_json([{listed}], {_LINES}, records = true, columns = {{{columns}}})"
