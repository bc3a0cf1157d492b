"""Rows out of files, by DuckDB: a span's files as the table `source`, shaped by the user's query, typed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion import row_identity
from mainspring.components.ingestion.columns.column_types import FAILED, TYPES, literal, quoted, refuse_alike, typed
from mainspring.components.ingestion.columns.given_types import contradicted
from mainspring.components.ingestion.portions import Portion, first_line
from mainspring.components.ingestion.sources.file import exactly
from mainspring.components.ingestion.splitting import ROW_GROUP

WHOLE = "FROM source"
"""The query that keeps a span's rows as they are."""

MEMORY = "1GB"
"""What DuckDB may hold; a query that sorts or groups more goes through the disk."""


def connect(readable: Sequence[Path], scratch: Path, one_thread: bool = False) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory database that can read the given files, write under `scratch`, and reach nothing else.

    The user's SQL runs in it: it must not read other files, write, install extensions or change these settings.
    """
    connection = connect_freely(scratch)
    if one_thread:
        connection.execute("SET threads = 1")
    files = ", ".join(literal(name) for path in readable for name in {str(path): 0, exactly(path): 0})
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute(f"SET allowed_directories = [{literal(str(scratch))}]")
    # It takes isnan() for false where a Parquet file's statistics, which leave NaN out, say that there is none.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def connect_freely(scratch: Path) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory database for our own SQL, whose memory is bounded."""
    connection = duckdb.connect()
    connection.execute(f"SET temp_directory = {literal(str(scratch / 'spill'))}")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute("SET autoinstall_known_extensions = false")  # A query that names one would have it downloaded.
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")
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


def add_table(connection: duckdb.DuckDBPyConnection, portion: Portion, name: str = "source") -> None:
    """Makes a portion the table of that name.

    Raises:
        UserError: A file is unreadable.
    """
    try:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {portion.rows}")
    except duckdb.Error as error:
        where = _named_in(error, portion) or f"span {portion.name}"
        raise UserError(f"{where}: cannot be read: {first_line(error)}") from error


def shape(connection: duckdb.DuckDBPyConnection, portion: Portion, query: str) -> dict[str, str]:
    """Makes the files the table `source` and returns the query's columns: DuckDB's type by name.

    Raises:
        UserError: A file is unreadable, the query is wrong, or it leaves open how a column is spelled.
    """
    add_table(connection, portion)
    columns = _described(connection, portion, query)
    for name, files in portion.spellings.items():
        for other, file in files.items():
            if other != name:
                _refuse_spelling(connection, portion, query, list(columns), (name, files[name]), (other, file))
    with _errors_named(portion, query):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW shaped AS {query}")
    return columns


def _described(connection: duckdb.DuckDBPyConnection, portion: Portion, query: str) -> dict[str, str]:
    try:
        described = connection.execute(f"DESCRIBE {query}").fetchall()
    except duckdb.Error as error:
        raise UserError(f"query: on span {portion.name}: {first_line(error)}") from error
    refuse_alike([name for name, *_ in described], f"query: the rows of span {portion.name} have")
    return {str(name): str(kind) for name, kind, *_ in described}


def _refuse_spelling(
    connection: duckdb.DuckDBPyConnection,
    portion: Portion,
    query: str,
    columns: list[str],
    one: tuple[str, Path],
    other: tuple[str, Path],
) -> None:
    """Refuses names that differ in their case, unless the query gives the same columns under either of them."""
    renamed = ", ".join(f"{quoted(name)} AS {quoted(other[0] if name == one[0] else name)}" for name in portion.columns)
    try:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW source AS SELECT {renamed} FROM ({portion.rows})")
        again = list(_described(connection, portion, query))
    finally:
        add_table(connection, portion)
    if again != columns:
        raise UserError(
            f"{other[1]} has a column {other[0]} where {one[1]} has {one[0]}: names that differ in their case are one "
            f"column; name it in the query: SELECT * EXCLUDE ({one[0]}), {one[0]} AS {one[0]} FROM source"
        )


def identity(connection: duckdb.DuckDBPyConnection, portion: Portion, query: str, columns: Collection[str]) -> str:
    """Returns the query with its rows' source rows beside them, as `row_identity.identified` has it; empty: none."""
    add_table(connection, portion)
    return row_identity.identified(connection, query, columns)


def stream(
    connection: duckdb.DuckDBPyConnection, portion: Portion, query: str, columns: Mapping[str, str], identity: str = ""
) -> Iterator[pa.RecordBatch]:
    """Yields the span's rows in the given columns and types, in the order in which the query gives them.

    A column that this span lacks is null in all its rows: whether that may be is for validation to say. With an
    identity, `row_identity.COLUMN` is the last column.

    Raises:
        UserError: A file is unreadable, or a value cannot be converted.
    """
    present = shape(connection, portion, query)
    if identity:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW shaped AS {identity}")
    selected = ", ".join(f"{typed(name, present.get(name), kind)} AS {quoted(name)}" for name, kind in columns.items())
    if identity:
        selected += f", {quoted(row_identity.COLUMN)}"
    with _errors_named(portion, query):
        for batch in connection.sql(f"SELECT {selected} FROM shaped").to_arrow_reader(ROW_GROUP):
            _refuse_infinite(batch, portion)
            yield batch


@contextlib.contextmanager
def _errors_named(portion: Portion, query: str) -> Iterator[None]:
    """Turns DuckDB's errors into one line that names the file, or the query, or the span."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow reports what goes wrong while rows stream.
        if failed := FAILED.search(str(error)):
            raise UserError(_misfit(portion, failed[1], failed[2], failed[3].strip())) from error
        whole = f"span {portion.name}" if query == WHOLE else f"query: on span {portion.name}"
        raise UserError(f"{_named_in(error, portion) or whole}: {first_line(error)}") from error


def time_cut(
    connection: duckdb.DuckDBPyConnection,
    portions: Sequence[Portion],
    query: str,
    columns: Mapping[str, str],
    time_column: str,
    eval_fraction: float,
) -> int | float | str:
    """Returns the earliest time that belongs to eval, so that eval is the newest share of all rows.

    Rows of one time stay together: eval may be a little larger than asked.

    Raises:
        UserError: A row has no time, or all have the same.
    """
    connection.execute(f"CREATE TEMP TABLE moments (moment {TYPES[columns[time_column]]}, n BIGINT)")
    for portion in portions:
        raw = shape(connection, portion, query).get(time_column)
        at = typed(time_column, raw, columns[time_column])
        with _errors_named(portion, query):
            connection.execute(f"INSERT INTO moments SELECT {at}, count(*) FROM shaped GROUP BY ALL")
    nameless = connection.execute("SELECT sum(n) FROM moments WHERE moment IS NULL").fetchall()[0][0]
    if nameless:
        raise UserError(f"time_column {time_column}: {nameless:,} rows have no time; leave them out in the query")
    cut = connection.execute(
        "SELECT max(moment), (SELECT min(moment) FROM moments) FROM "
        "(SELECT moment, sum(sum(n)) OVER (ORDER BY moment DESC) AS newer "
        f"FROM moments GROUP BY moment) WHERE newer >= {eval_fraction} * (SELECT sum(n) FROM moments)"
    ).fetchall()[0]
    if cut[0] == cut[1]:
        raise UserError(
            f"time_column {time_column}: so many rows are of {cut[1]} that none would be left for train; "
            "take a finer time, more spans, or a smaller eval_fraction"
        )
    return cut[0]


_CAUSES = {
    "wide": "which no int64 holds; cast it in the query ({name}::VARCHAR or {name}::DOUBLE)",
    "inexact": "which a double cannot hold, beside fractions elsewhere; say types: {{{name}: string}}, or cast it to "
    "VARCHAR or DOUBLE in the query",
}


def _misfit(portion: Portion, name: str, kind: str, value: str) -> str:
    """Returns what to say of a value that cannot be read as its column."""
    shown = bytes.fromhex(name).decode(errors="surrogateescape")
    if kind in _CAUSES:
        return f"column {shown} of span {portion.name} holds {value}, {_CAUSES[kind].format(name=shown)}"
    kind, _, by = kind.partition("|")
    where = f"{portion.files[0]}: " if len(portion.files) == 1 else ""
    return f"{where}column {shown} of span {portion.name} holds {value!r}, but {contradicted(shown, kind, by)}"


def _refuse_infinite(batch: pa.RecordBatch, portion: Portion) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_float64(column.type) and pc.any(pc.is_inf(column)).as_py():
            raise UserError(
                f"column {name} holds infinity in span {portion.name}; no statistic or model can use that: "
                f"leave such rows out in the query, or make the value null"
            )


def _named_in(error: Exception, portion: Portion) -> str:
    return next((str(file) for file in portion.files if str(file) in str(error)), "")
