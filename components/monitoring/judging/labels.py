"""Labels that come late, joined to what was predicted: by request id and row, or by columns that both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.monitoring.logs import traffic
from mainspring.components.monitoring.logs.traffic import literal, quoted

LABEL = "label"

MEBIBYTES, MEBIBYTES_A_COLUMN = 96, 3
"""What DuckDB may take for labels before it goes to disk: less fails where a table has many columns, however few its
rows."""

MEBIBYTES_FOR_SQL = 768
"""The least that it may take where a team's own SQL runs."""

KNOWN_KEYS = {"id": traffic.ID, "row": traffic.ROW_NUMBER}
"""Key columns that are not features: the request's id, and the row's place in it."""


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from."""

    uri: str
    """A Parquet or CSV file, or a pattern of such files."""
    query: str
    """SQL over the table `source`, giving the key columns and `label`; empty: the files have these columns."""
    key: tuple[str, ...]
    """`id` (and `row`, counted from 0), or features that tell a row from every other."""


@contextmanager
def loaded(
    source: LabelSource, windows: Mapping[str, Path], columns: Sequence[str], has_own_sql: bool, folder: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields a connection with the table `source` and a table for each window of served rows.

    From then on its SQL reaches no other file and no network.

    Args:
        source: Where labels come from.
        windows: Parquet files by table name.
        columns: Features that are taken along.
        has_own_sql: Whether SQL of the team's is to run on them.
        folder: For what does not fit into memory.

    Raises:
        UserError: The labels cannot be read.
    """
    reader = "read_csv" if source.uri.endswith((".csv", ".csv.gz")) else "read_parquet"
    taken = ", ".join(map(quoted, (*columns, traffic.PREDICTION, traffic.CLASS, traffic.ID, traffic.ROW_NUMBER)))
    given = f"FROM {reader}({literal(source.uri)})"
    with duckdb.connect() as connection:
        run = connection.execute
        run(f"SET threads = {traffic.THREADS}")
        run(f"SET temp_directory = {literal(folder / 'labels-spilled')}")
        run("SET preserve_insertion_order = false")
        try:
            widest = max(len(columns), len(run(f"DESCRIBE {given}").fetchall()))
            memory = max(MEBIBYTES + MEBIBYTES_A_COLUMN * widest, MEBIBYTES_FOR_SQL if has_own_sql else 0)
            run(f"SET memory_limit = '{memory}MiB'")
            run(f"CREATE TABLE source AS {given}")
        except duckdb.Error as error:
            raise UserError(f"labels={source.uri!r}: cannot be read: {_first_line(error)}") from error
        for name, path in windows.items():
            run(f"CREATE TABLE {quoted(name)} AS SELECT {taken} FROM read_parquet({literal(path)})")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")
        yield connection


def prepare(connection: duckdb.DuckDBPyConnection, source: LabelSource) -> int:
    """Makes the table `labels` from `source` and returns how many keys were left out because their labels differ."""
    keys = ", ".join(quoted(name) for name in source.key)
    query = source.query.strip().rstrip(";") or "FROM source"
    try:
        connection.execute(
            f"CREATE TABLE labels AS SELECT {keys}, min({LABEL}) AS {LABEL}, min({LABEL}) != max({LABEL}) AS differing"
            f" FROM ({query}) WHERE {LABEL} IS NOT NULL GROUP BY {keys}"
        )
        contradicting = traffic.one(connection, "SELECT count(*) FROM labels WHERE differing")[0]
        connection.execute("DELETE FROM labels WHERE differing")
    except duckdb.Error as error:
        raise UserError(
            f"labels_query: gives no table with {', '.join(source.key)} and {LABEL}: {_first_line(error)}"
        ) from error
    return int(contradicting)


def check_key(source: LabelSource, features: Sequence[str]) -> None:
    """Checks that each key column is known of the rows that were served.

    Raises:
        UserError: One is none of the model's features.
    """
    unknown = [name for name in source.key if name not in features and name not in KNOWN_KEYS]
    if unknown:
        raise UserError(f"label_key: {unknown[0]!r} is no feature of the model; use id, row or {', '.join(features)}")


def join(connection: duckdb.DuckDBPyConnection, source: LabelSource, window: str, columns: Sequence[str]) -> int:
    """Makes the table `labelled`: a window's predicted rows with their labels; returns how many there are.

    Args:
        connection: With the tables `labels`, and `window`.
        source: The key columns.
        window: The table of served rows.
        columns: Features that it has.
    """
    pairs = " AND ".join(
        f"w.{quoted(name if name in columns else KNOWN_KEYS[name])}::VARCHAR = l.{quoted(name)}::VARCHAR"
        for name in source.key
    )
    taken = "".join(f", w.{quoted(name)}" for name in columns)
    connection.execute("DROP TABLE IF EXISTS labelled")
    connection.execute(
        f"CREATE TABLE labelled AS SELECT w.{traffic.PREDICTION} AS prediction, w.{traffic.CLASS} AS class,"
        f" l.{LABEL} AS label{taken} FROM {quoted(window)} AS w JOIN labels AS l ON {pairs}"
        f" WHERE w.{traffic.PREDICTION} IS NOT NULL"
    )
    return int(traffic.one(connection, "SELECT count(*) FROM labelled")[0])


def business_value(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    """Returns the number that the team's SQL makes of the table `labelled`.

    Raises:
        UserError: The SQL is wrong, or gives no number.
    """
    try:
        row: Any = connection.execute(sql).fetchone()
    except duckdb.Error as error:
        raise UserError(f"policy: business: sql: {_first_line(error)}") from error
    try:
        return float(row[0])
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(f"policy: business: sql: expected one number, got {row!r}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
