"""Rows out of files, by DuckDB: a span's files as the table `source`, shaped by the user's query, typed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.spans import Span
from mainspring.components.ingestion.splitting import ROW_GROUP

WHOLE = "FROM source"
"""The query that keeps a span's rows as they are."""

_MISSING_WORDS = "'', 'NA', 'N/A', 'NaN', 'nan', 'NULL', 'null'"
"""What a CSV file writes for a missing value, as R, pandas and SQL do; one such word would turn a number column to text."""

MEMORY = "1GB"
"""What DuckDB may hold; a query that sorts or groups more goes through the disk."""

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "BOOLEAN"}
_DOUBLES = {"FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT", "DECIMAL"}
_STRINGS = {"VARCHAR", "UUID", "TIME", "INTERVAL", "ENUM"}
_MOMENTS = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
_PLAIN = _INTEGERS | _DOUBLES | _STRINGS | _MOMENTS
_UNKNOWN = "unknown"
"""The type of a column that is null in all rows of a span."""


def connect(readable: Sequence[Path], scratch: Path) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory database that can read the given files, write under `scratch`, and reach nothing else.

    The user's SQL runs in it: it must not read other files, write, install extensions or change these settings.
    """
    connection = duckdb.connect()
    files = ", ".join(_literal(name) for path in readable for name in {str(path): 0, _escaped(path): 0})
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute(f"SET allowed_directories = [{_literal(str(scratch))}]")
    connection.execute(f"SET temp_directory = {_literal(str(scratch / 'spill'))}")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


def check_query(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Returns the query, or the one that keeps the rows as they are.

    Raises:
        UserError: It does not parse, or is anything but one SELECT.
    """
    try:
        statements = connection.extract_statements(query or WHOLE)
    except duckdb.Error as error:
        raise UserError(f"query: {first_line(error)}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UserError("query: must be one SELECT (or FROM …) over the table `source`")
    return query or WHOLE


def shape(connection: duckdb.DuckDBPyConnection, span: Span, query: str) -> dict[str, str]:
    """Makes the span's files the table `source` and returns the query's columns: DuckDB's type by name.

    Raises:
        UserError: A file is unreadable, or the query is wrong.
    """
    if len(span.files) > 1:
        merge_columns({str(file): _columns(connection, file) for file in span.files})
    try:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW source AS {_reading(span.files)}")
    except duckdb.Error as error:
        where = _named_in(error, span) or f"span {span.name}"
        raise UserError(f"{where}: cannot be read: {first_line(error)}") from error
    try:
        described = connection.execute(f"DESCRIBE {query}").fetchall()
    except duckdb.Error as error:
        raise UserError(f"query: on span {span.name}: {first_line(error)}") from error
    _refuse_alike([name for name, *_ in described], f"query: the rows of span {span.name} have")
    return {name: str(kind) for name, kind, *_ in described}


def _columns(connection: duckdb.DuckDBPyConnection, file: Path) -> dict[str, str]:
    try:
        described = connection.execute(f"DESCRIBE {_reading([file])}").fetchall()
    except duckdb.Error as error:
        raise UserError(f"{file}: cannot be read: {first_line(error)}") from error
    return {name: str(kind) for name, kind, *_ in described if kind in _PLAIN}


def _reading(files: Sequence[Path]) -> str:
    is_parquet = files[0].name.lower().endswith(".parquet")
    reader, options = ("read_parquet", "") if is_parquet else ("read_csv", f", nullstr = [{_MISSING_WORDS}]")
    names = ", ".join(_literal(_escaped(file)) for file in files)
    return f"FROM {reader}([{names}], union_by_name = true{options})"


def _escaped(path: Path) -> str:
    """Returns the name with its own brackets, stars and question marks taken for what they are."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _refuse_alike(names: Sequence[str], what: str) -> None:
    by_lower: dict[str, str] = {}
    for name in names:
        if name.lower() in by_lower:
            raise UserError(
                f"{what} both a column {by_lower[name.lower()]} and a column {name}: names must differ in more than "
                "case; rename one of them in the query"
            )
        by_lower[name.lower()] = name


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
    _refuse_alike(list(merged), "the spans have")
    return {name: "string" if kind == _UNKNOWN else kind for name, kind in merged.items()}


def stream(
    connection: duckdb.DuckDBPyConnection, span: Span, query: str, columns: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Yields the span's rows in the given columns and types, in the order in which the query gives them.

    A column that this span lacks is null in all its rows: whether that may be is for validation to say.

    Raises:
        UserError: A file is unreadable, or a value cannot be converted.
    """
    present = shape(connection, span, query)
    typed = ", ".join(f"{_typed(name, present.get(name), kind)} AS {_quoted(name)}" for name, kind in columns.items())
    with _errors_named(span, query):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW shaped AS {query}")
        relation = connection.sql(f"SELECT {typed} FROM shaped")
        yield from relation.to_arrow_reader(ROW_GROUP)


@contextlib.contextmanager
def _errors_named(span: Span, query: str) -> Iterator[None]:
    """Turns DuckDB's errors into one line that names the file, or the query, or the span."""
    try:
        yield
    except (duckdb.Error, pa.ArrowInvalid) as error:  # Arrow reports what goes wrong while rows stream.
        whole = f"span {span.name}" if query == WHOLE else f"query: on span {span.name}"
        raise UserError(f"{_named_in(error, span) or whole}: {first_line(error)}") from error


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


def _named_in(error: Exception, span: Span) -> str:
    return next((str(file) for file in span.files if str(file) in str(error)), "")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
