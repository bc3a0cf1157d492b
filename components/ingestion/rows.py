"""Rows out of files, by DuckDB: a span's files as the table `source`, shaped by the user's query, typed, hashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.spans import Span

WHOLE = "FROM source"
"""The query that keeps a span's rows as they are."""

_MISSING_WORDS = "'', 'NA', 'N/A', 'NaN', 'nan', 'NULL', 'null'"
"""What a CSV file writes for a missing value, as R, pandas and SQL do; one such word would turn a number column to text."""

BUCKETS = 10_000
"""Steps in which the split can be set: an eval fraction is rounded to one hundredth of a percent."""

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "BOOLEAN"}
_DOUBLES = {"FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT", "DECIMAL"}
_STRINGS = {"VARCHAR", "UUID", "TIME", "INTERVAL", "ENUM"}
_MOMENTS = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
_UNKNOWN = "unknown"
"""The type of a column that is null in all rows of a span."""


def connect(readable: Sequence[Path], scratch: Path) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory database that can read the given files, write under `scratch`, and reach nothing else.

    The user's SQL runs in it: it must not read other files, write, install extensions or change these settings.
    """
    connection = duckdb.connect()
    files = ", ".join(_literal(str(path)) for path in readable)
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute(f"SET allowed_directories = [{_literal(str(scratch))}]")
    connection.execute(f"SET temp_directory = {_literal(str(scratch / '.spill'))}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


def check_query(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Returns the query without a closing semicolon.

    Raises:
        UserError: It does not parse, or is anything but one SELECT.
    """
    try:
        statements = connection.extract_statements(query or WHOLE)
    except duckdb.Error as error:
        raise UserError(f"query: {first_line(error)}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UserError("query: must be one SELECT (or FROM …) over the table `source`")
    return (query or WHOLE).strip().rstrip(";")


def shape(connection: duckdb.DuckDBPyConnection, span: Span, query: str) -> dict[str, str]:
    """Makes the span's files the table `source` and returns the query's columns: DuckDB's type by name.

    Raises:
        UserError: A file is unreadable, or the query is wrong.
    """
    is_parquet = span.files[0].name.lower().endswith(".parquet")
    reader, options = ("read_parquet", "") if is_parquet else ("read_csv", f", nullstr = [{_MISSING_WORDS}]")
    files = ", ".join(_literal(str(file)) for file in span.files)
    try:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW source AS FROM {reader}([{files}], union_by_name = true{options})")
    except duckdb.Error as error:
        raise UserError(f"{_named_in(error, span)}: cannot be read: {first_line(error)}") from error
    try:
        described = connection.execute(f"DESCRIBE {query}").fetchall()
    except duckdb.Error as error:
        raise UserError(f"query: on span {span.name}: {first_line(error)}") from error
    return {name: str(kind) for name, kind, *_ in described}


def merge_columns(of_spans: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Returns the columns of all spans together: `int64`, `double` or `string` by name.

    Args:
        of_spans: DuckDB's types by column, by span, oldest first.

    Raises:
        UserError: A column has a type that no model takes, or is text in one span and a number in another.
    """
    merged: dict[str, str] = {}
    first_seen: dict[str, str] = {}
    for span, columns in of_spans.items():
        for name, raw in columns.items():
            kind, known = _plain_type(name, raw), merged.get(name, _UNKNOWN)
            if _UNKNOWN not in (kind, known) and ("string" in (kind, known)) and kind != known:
                raise UserError(
                    f"column {name} is {known} in span {first_seen[name]} but {kind} in span {span}; "
                    "cast it in the query"
                )
            if kind != _UNKNOWN and known == _UNKNOWN:
                merged[name], first_seen[name] = kind, span
            else:
                merged[name] = "double" if {kind, known} == {"int64", "double"} else known
    return {name: "string" if kind == _UNKNOWN else kind for name, kind in merged.items()}


def materialise(
    connection: duckdb.DuckDBPyConnection, span: Span, query: str, columns: dict[str, str], split_columns: Sequence[str]
) -> int:
    """Makes the table `shaped`: the span's rows in the given columns and types, with their hash and split bucket.

    A column that this span lacks is null in all its rows: whether that may be is for validation to say.

    Returns:
        The number of rows.

    Raises:
        UserError: A file is unreadable, or a value cannot be converted.
    """
    present = shape(connection, span, query)
    typed = [f"{_typed(name, present.get(name), kind)} AS {_quoted(name)}" for name, kind in columns.items()]
    row_hash = _hash_of(list(columns))
    bucket = f"{_hash_of(list(split_columns)) if split_columns else '__row_hash'} % {BUCKETS}"
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE shaped AS SELECT *, {bucket} AS __bucket FROM "
            f"(SELECT *, {row_hash} AS __row_hash FROM (SELECT {', '.join(typed)} FROM ({query})))"
        )
        return connection.execute("SELECT count(*) FROM shaped").fetchall()[0][0]
    except duckdb.Error as error:
        raise UserError(f"{_named_in(error, span)}: {first_line(error)}") from error


def write_split(connection: duckdb.DuckDBPyConnection, condition: str, target: Path) -> tuple[int, int, int]:
    """Writes the rows of `shaped` that meet the condition to a Parquet file.

    Returns:
        The number of rows, and the sum and the exclusive or of their hashes: equal for equal rows in any order.

    Raises:
        UserError: The file cannot be written.
    """
    kept = f"FROM shaped WHERE {condition}"
    try:
        connection.execute(
            f"COPY (SELECT * EXCLUDE (__row_hash, __bucket) {kept}) TO {_literal(str(target))} (FORMAT parquet)"
        )
    except duckdb.Error as error:
        raise UserError(f"{target}: cannot be written: {first_line(error)}") from error
    return connection.execute(
        f"SELECT count(*), coalesce(sum(__row_hash::HUGEINT), 0), coalesce(bit_xor(__row_hash), 0) {kept}"
    ).fetchall()[0]


def first_line(error: Exception) -> str:
    """Returns what DuckDB says, without its drawing of where."""
    return str(error).strip().split("\n")[0]


def _plain_type(name: str, raw: str) -> str:
    base = raw.split("(")[0]
    if base in _INTEGERS or base in _MOMENTS:
        return "int64"
    if base in _DOUBLES:
        return "double"
    if base in _STRINGS:
        return "string"
    if base == '"NULL"':
        return _UNKNOWN
    raise UserError(f"column {name} is {raw}; turn it into numbers or strings in the query")


def _typed(name: str, raw: str | None, kind: str) -> str:
    target = {"int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}[kind]
    if raw is None:
        return f"NULL::{target}"
    if raw.split("(")[0] in _MOMENTS:  # Seconds since 1970, UTC.
        return f"epoch({_quoted(name)}::TIMESTAMP)::{target}"
    return f"{_quoted(name)}::{target}"


def _hash_of(columns: list[str]) -> str:
    values = ", ".join(f"coalesce({_quoted(name)}::VARCHAR, chr(30))" for name in columns)
    return f"md5_number_lower(concat_ws(chr(31), {values}))"


def _named_in(error: Exception, span: Span) -> str:
    text = str(error)
    return next((str(file) for file in span.files if str(file) in text), f"span {span.name}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
