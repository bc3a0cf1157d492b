"""A window of live traffic: requests paired with their responses, on disk, by DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from mainspring.components.monitoring.logs import record_faults, served_rows
from mainspring.components.monitoring.logs.gathering import EDGE_SECONDS, ROW, SEQ, Served, Window
from mainspring.components.monitoring.logs.record_faults import Faults

PREDICTION = "__prediction"
"""Column of a served row beside its features: the prediction, null where there is none."""

CLASS, ID, TIME, ROW_NUMBER = "__class", "__id", "__time", "__row_number"

MEMORY = "96MB"
"""What DuckDB may take for pairing before it goes to disk. A million requests need not: they take 350 MB without this
limit, and a third more processor time with it."""

THREADS = 2
"""Each holds parts of the files that it reads and writes, beside that memory."""

ROWS_PER_GROUP = 32_768
"""DuckDB keeps a row group in memory while it writes it."""

STEPS = 24
"""The window is cut into so many parts for the pictures."""


@dataclass(frozen=True)
class Step:
    """A part of the window."""

    start: float
    """Seconds since the epoch."""
    requests: int
    errors: int


@dataclass(frozen=True)
class Volume:
    """How much there was, and what became of it."""

    requests: int
    answered: int
    unanswered: int
    """Requests without a logged response: KServe logs only those of status 200."""
    rows: int
    """Rows that were asked for, in readable requests."""
    other_versions: int
    """Rows that another version than the champion answered; they are not judged."""
    first: float
    last: float
    """Times of the first and the last request; 0 without one."""
    steps: list[Step]


@contextmanager
def database(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields a connection that spills into a folder."""
    with duckdb.connect(str(folder / "traffic.duckdb")) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET threads = {THREADS}")
        connection.execute(f"SET temp_directory = {literal(folder / 'spilled')}")
        connection.execute("SET preserve_insertion_order = false")
        yield connection


def pair(
    connection: duckdb.DuckDBPyConnection, folder: Path, served: Served, version: str, window: Window, counted: Faults
) -> Volume:
    """Pairs what was gathered in a folder, counts what does not fit, and writes `served.parquet`.

    That file has a row for each row that was asked for, of readable requests, each id once: the features, and
    `__prediction`, `__class`, `__id`, `__row_number` and `__time`. `features.parquet` beside it has the features alone.

    Args:
        connection: From `database`.
        folder: Where the gatherer wrote.
        served: What the model takes.
        version: The champion's number; rows that say they were answered by another are left out.
        window: Responses at its edges may have lost their requests.
        counted: Where duplicates, orphans and answers of another length are counted.
    """
    run = connection.execute
    run(f"CREATE VIEW records AS FROM read_parquet({literal(folder / 'records.parquet')})")
    run("CREATE TABLE firsts AS SELECT min(seq) AS seq, count(*) AS times FROM records GROUP BY id, kind")
    run("CREATE TABLE kept AS SELECT records.* FROM records SEMI JOIN firsts USING (seq)")
    run(
        "CREATE TABLE pairs AS SELECT q.seq, q.id, q.time, q.version, q.rows, q.readable, a.seq AS answer,"
        " a.rows AS answered_rows, a.readable AS answer_readable FROM (FROM kept WHERE kind = 'request') AS q"
        " LEFT JOIN (FROM kept WHERE kind = 'response') AS a USING (id)"
    )
    _count_faults(connection, window, counted)
    fitting = "readable AND version IN ('', ?)"
    rows, predicted = literal(folder / "rows.parquet"), literal(folder / "predicted.parquet")
    run(
        f"COPY (SELECT r.file_row_number AS {served_rows.PLACE}, p.prediction AS {PREDICTION}, p.class AS {CLASS},"
        f" q.id AS {ID}, r.{ROW} AS {ROW_NUMBER}, q.time AS {TIME} FROM read_parquet({rows}, file_row_number = true)"
        f" AS r JOIN (FROM pairs WHERE {fitting}) AS q ON r.{SEQ} = q.seq"
        f" LEFT JOIN read_parquet({predicted}) AS p ON p.seq = q.answer AND p.row = r.{ROW}"
        f" AND q.rows = q.answered_rows ORDER BY {served_rows.PLACE})"
        f" TO {literal(folder / 'places.parquet')} (FORMAT parquet, ROW_GROUP_SIZE {ROWS_PER_GROUP})",
        [version],
    )
    served_rows.write(folder, served)
    return _volume(connection, version)


def _count_faults(connection: duckdb.DuckDBPyConnection, window: Window, counted: Faults) -> None:
    for kind, query in (
        (
            record_faults.DUPLICATE,
            "SELECT sum(times - 1), 'an id and type that came ' || max(times) || ' times' FROM firsts",
        ),
        (
            record_faults.ORPHAN,
            "SELECT count(*), 'id ' || any_value(id) FROM (FROM kept WHERE kind = 'response') AS a"
            " ANTI JOIN (FROM kept WHERE kind = 'request') AS q USING (id)"
            f" WHERE time >= '{window.since + EDGE_SECONDS}'::DOUBLE AND time < '{window.until}'::DOUBLE",
        ),
        (
            record_faults.MALFORMED_RESPONSE,
            "SELECT count(*), 'id ' || any_value(id) || ': ' || any_value(answered_rows) || ' predictions for '"
            " || any_value(rows) || ' rows' FROM pairs WHERE readable AND answer_readable AND rows != answered_rows",
        ),
    ):
        count, sample = one(connection, query)
        if count:
            counted.add(kind, sample, int(count))


def _volume(connection: duckdb.DuckDBPyConnection, version: str) -> Volume:
    requests, answered, rows, others, first, last = one(
        connection,
        "SELECT count(*), count(answer), coalesce(sum(rows), 0),"
        " coalesce(sum(rows) FILTER (version NOT IN ('', ?)), 0), coalesce(min(time), 0), coalesce(max(time), 0)"
        " FROM pairs",
        [version],
    )
    width = max((last - first) / STEPS, 1e-3)
    steps = connection.execute(
        "SELECT least(floor((time - $1) / $2), $3)::INTEGER AS step, count(*), count(*) - count(answer) FROM pairs"
        " GROUP BY step ORDER BY step",
        [first, width, STEPS - 1],
    ).fetchall()
    return Volume(
        requests=requests,
        answered=answered,
        unanswered=requests - answered,
        rows=int(rows),
        other_versions=int(others),
        first=first,
        last=last,
        steps=[Step(first + step * width, count, errors) for step, count, errors in steps],
    )


def one(connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> tuple[Any, ...]:
    """Returns the first row of a query that gives one."""
    row = connection.execute(query, parameters or []).fetchone()
    assert row is not None
    return tuple(row)


def literal(value: str | Path) -> str:
    """Returns a text as SQL."""
    return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Returns a column's name as SQL."""
    return '"' + name.replace('"', '""') + '"'
