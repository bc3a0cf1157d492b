"""Rows out of files, by DuckDB: a span's files as the table `source`, shaped by the user's query, typed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.column_types import (
    PLAIN,
    TYPES,
    literal,
    merge_columns,
    quoted,
    refuse_alike,
    typed,
)
from mainspring.components.ingestion.formats import json_columns
from mainspring.components.ingestion.formats.csv_separator import separator
from mainspring.components.ingestion.formats.json_columns import FOLDERS_ARE_NO_COLUMNS
from mainspring.components.ingestion.sources.file import exactly
from mainspring.components.ingestion.splitting import ROW_GROUP

WHOLE = "FROM source"
"""The query that keeps a span's rows as they are."""

SAMPLE = 200_000
"""Rows of a text file from which its columns' types are taken; a later value of another type is refused."""

_MISSING_WORDS = "'', 'NA', 'N/A', 'NaN', 'nan', 'NULL', 'null'"
"""What a CSV file writes for a missing value, as R, pandas and SQL do; one would turn a number column to text."""

_AS_IT_LIES = "quote = '\"', skip = 0, comment = ''"
"""DuckDB would leave out rows above the first that it finds regular, and those that it takes for comments."""

_ISO_8601 = "dateformat = '%Y-%m-%d', timestampformat = 'iso'"
"""01/02/2026 is the first of February to some and the second of January to others. DuckDB would take what fits a file's
values, so that two files may differ; so only what ISO 8601 writes is a date, and anything else stays text."""

_CSV_FAULTS = ("Error when converting", "Maximum line size", "Invalid unicode", "Expected Number of Columns")
"""How the line begins with which DuckDB says what is wrong in a row, below the one that says which row."""

MEMORY = "1GB"
"""What DuckDB may hold; a query that sorts or groups more goes through the disk."""


@dataclass(frozen=True)
class Portion:
    """Files that make one table."""

    name: str
    """The span, or the table that is joined."""
    files: tuple[Path, ...]
    format: str
    """`parquet`, `csv` or `jsonl`."""
    csv_columns: tuple[str, ...] = ()
    """Names for CSV files without a header; empty: their first line is the header."""


def connect(readable: Sequence[Path], scratch: Path) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory database that can read the given files, write under `scratch`, and reach nothing else.

    The user's SQL runs in it: it must not read other files, write, install extensions or change these settings.
    """
    connection = duckdb.connect()
    files = ", ".join(literal(name) for path in readable for name in {str(path): 0, exactly(path): 0})
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute(f"SET allowed_directories = [{literal(str(scratch))}]")
    connection.execute(f"SET temp_directory = {literal(str(scratch / 'spill'))}")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET autoinstall_known_extensions = false")  # A query that names one would have it downloaded.
    connection.execute("SET autoload_known_extensions = false")
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


def add_table(connection: duckdb.DuckDBPyConnection, portion: Portion, name: str = "source") -> None:
    """Makes the files the table of that name.

    Raises:
        UserError: A file is unreadable, or a column is text in one file and a number in another.
    """
    if len(portion.files) > 1:
        merge_columns({str(file): _columns(connection, portion, file) for file in portion.files}, "file")
    try:
        reading = _reading(portion, portion.files)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {reading}")
    except duckdb.Error as error:
        where = _named_in(error, portion) or f"span {portion.name}"
        raise UserError(f"{where}: cannot be read: {first_line(error)}") from error
    described = connection.execute(f"DESCRIBE {quoted(name)}").fetchall() if portion.csv_columns else []
    if len(described) != len(portion.csv_columns):
        said = f"csv_columns names {len(portion.csv_columns)} columns, {portion.files[0]} has {len(described)}"
        raise UserError(f"{said}; name each of them")


def shape(connection: duckdb.DuckDBPyConnection, portion: Portion, query: str) -> dict[str, str]:
    """Makes the files the table `source` and returns the query's columns: DuckDB's type by name.

    Raises:
        UserError: A file is unreadable, or the query is wrong.
    """
    add_table(connection, portion)
    try:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW shaped AS {query}")
        described = connection.execute(f"DESCRIBE {query}").fetchall()
    except duckdb.Error as error:
        raise UserError(f"query: on span {portion.name}: {first_line(error)}") from error
    refuse_alike([name for name, *_ in described], f"query: the rows of span {portion.name} have")
    return {name: str(kind) for name, kind, *_ in described}


def _columns(connection: duckdb.DuckDBPyConnection, portion: Portion, file: Path) -> dict[str, str]:
    try:
        described = connection.execute(f"DESCRIBE {_reading(portion, [file])}").fetchall()
    except duckdb.Error as error:
        raise UserError(f"{file}: cannot be read: {first_line(error)}") from error
    return {name: str(kind) for name, kind, *_ in described if str(kind).split("(")[0] in PLAIN}


def _reading(portion: Portion, files: Sequence[Path]) -> str:
    names = ", ".join(literal(exactly(file)) for file in files)
    options = f"union_by_name = true, {FOLDERS_ARE_NO_COLUMNS}"
    if portion.format == "parquet":
        return f"FROM read_parquet([{names}], {options})"
    if portion.format == "jsonl":
        return f"FROM read_json([{names}], {options}, {json_columns.options(files)})"
    options += f", sample_size = {SAMPLE}, {_ISO_8601}"
    options += f", nullstr = [{_MISSING_WORDS}], header = {str(not portion.csv_columns).lower()}, {_AS_IT_LIES}"
    options += f", delim = {literal(separator(files, len(portion.csv_columns)))}"
    if portion.csv_columns:
        options += f", names = [{', '.join(map(literal, portion.csv_columns))}]"
    return f"FROM read_csv([{names}], {options})"


def stream(
    connection: duckdb.DuckDBPyConnection, portion: Portion, query: str, columns: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Yields the span's rows in the given columns and types, in the order in which the query gives them.

    A column that this span lacks is null in all its rows: whether that may be is for validation to say.

    Raises:
        UserError: A file is unreadable, or a value cannot be converted.
    """
    present = shape(connection, portion, query)
    selected = ", ".join(f"{typed(name, present.get(name), kind)} AS {quoted(name)}" for name, kind in columns.items())
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


def first_line(error: Exception) -> str:
    """Returns what DuckDB says, without its drawing of where, and with the column that could not be converted."""
    lines = [line.strip() for line in str(error).strip().split("\n")]
    if "Error when sniffing file" in lines[0]:
        return "its rows have not all as many values as its first line, or a quote is not closed, or it is not in UTF-8"
    return ". ".join([lines[0].rstrip("."), *(line for line in lines[1:] if line.startswith(_CSV_FAULTS))])


def _refuse_infinite(batch: pa.RecordBatch, portion: Portion) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_float64(column.type) and pc.any(pc.is_inf(column)).as_py():
            raise UserError(
                f"column {name} holds infinity in span {portion.name}; no statistic or model can use that: "
                f"leave such rows out in the query, or make the value null"
            )


def _named_in(error: Exception, portion: Portion) -> str:
    return next((str(file) for file in portion.files if str(file) in str(error)), "")
