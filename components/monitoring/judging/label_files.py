"""Files of labels as a table, every value as it is spelled: nothing becomes a number or a time and loses letters."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.monitoring.logs.traffic import literal, quoted

WHOLE, NUMBER, DATE, TIME, TEXT = "BIGINT", "DOUBLE", "DATE", "TIMESTAMP", "VARCHAR"

_DECIMAL = r"[+-]?(0|[1-9]\d{0,14}|(0|[1-9]\d*)?\.\d+|[1-9]\d*\.)([eE][+-]\d+)?"
"""A number: no code such as 00123, none of more digits than a double holds, and no id such as 7e12."""

_FITS = {
    WHOLE: "try_cast({0} AS BIGINT)::VARCHAR IS NOT DISTINCT FROM {0}",
    NUMBER: "regexp_full_match({0}, '" + _DECIMAL + "') AND isfinite(try_cast({0} AS DOUBLE))",
    DATE: "try_cast({0} AS DATE)::VARCHAR IS NOT DISTINCT FROM {0}",
    TIME: "try_cast({0} AS TIMESTAMP)::VARCHAR IS NOT DISTINCT FROM {0}",
}
"""A column of a CSV file has the first of these types by which all its values are written, and is text otherwise. There
is none for truth values: yes and no are words."""


def is_csv(uri: str) -> bool:
    """Returns whether labels are read as CSV: by the file's name."""
    return uri.endswith((".csv", ".csv.gz"))


def reader(uri: str) -> str:
    """Returns SQL that reads the files; of CSV, every column as text."""
    return (
        f"read_csv({literal(uri)}, all_varchar = true, header = true)"
        if is_csv(uri)
        else f"read_parquet({literal(uri)})"
    )


def load(connection: duckdb.DuckDBPyConnection, uri: str, texts: Sequence[str]) -> None:
    """Makes the table `source` of the files.

    Args:
        connection: Where.
        uri: Parquet or CSV files.
        texts: Columns that stay text whatever they hold, such as ids.

    Raises:
        UserError: They cannot be read.
    """
    try:
        columns = [row[0] for row in connection.execute(f"DESCRIBE FROM {reader(uri)}").fetchall()]
        types = _types(connection, uri, [name for name in columns if name not in texts]) if is_csv(uri) else {}
        selected = ", ".join(
            f"{quoted(name)}::{types[name]} AS {quoted(name)}" if name in types else quoted(name) for name in columns
        )
        connection.execute(f"CREATE TABLE source AS SELECT {selected} FROM {reader(uri)}")
    except duckdb.Error as error:
        raise UserError(f"labels={uri!r}: cannot be read: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Returns the first line of what DuckDB says."""
    return str(error).strip().splitlines()[0]


def _types(connection: duckdb.DuckDBPyConnection, uri: str, columns: Sequence[str]) -> dict[str, str]:
    """Returns the type of each column that is not text: all its values decide."""
    if not columns:
        return {}
    whether = [
        f"bool_and(CASE WHEN {quoted(name)} IS NOT NULL THEN {fits.replace('{0}', quoted(name))} END)"
        for name in columns
        for fits in _FITS.values()
    ]
    found = connection.execute(f"SELECT {', '.join(whether)} FROM {reader(uri)}").fetchone() or ()
    answers = iter(found)
    types = {}
    for name in columns:
        fitting = [kind for kind in _FITS if next(answers)]
        if fitting:
            types[name] = fitting[0]
    return types
