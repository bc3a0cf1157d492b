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

MEMORY = "144MB"
"""What DuckDB may take for pairing before it goes to disk. A million requests need not: they take 350 MB without this
limit, and a third more processor time with it. With 96 MB a join ran out of it once, on a machine with much else to do:
what the threads hold at a time cannot go to disk."""

THREADS = 2
"""Each holds parts of the files that it reads and writes, beside that memory."""

ROWS_PER_GROUP = 32_768
"""DuckDB keeps a row group in memory while it writes it."""

LATER = 1 << 50
"""Added to a record's number, it comes after every record's."""

STEPS = 24
"""The window is cut into so many parts for the pictures."""


@dataclass(frozen=True)
class Step:
    """A part of the window."""

    start: float
    """Seconds since the epoch."""
    requests: int
    errors: int
    """Requests without an answer that can be used."""


@dataclass(frozen=True)
class Volume:
    """How much there was, and what became of it."""

    requests: int
    """Ids for which a request was logged."""
    answered: int
    """Requests with an answer that can be read, one prediction for each row."""
    unanswered: int
    """Requests without a logged response: KServe logs only those of status 200."""
    errors: int
    """Requests whose logged answer is an error, whatever its body."""
    unreadable: int
    """Requests whose logged answer cannot be read, or has another number of predictions than they have rows."""
    unclear: int
    """Requests whose id was used again, so that no answer is known to be theirs."""
    responses: int
    """Ids for which a response was logged, requested or not."""
    repeated: int
    """Records beyond the first of an id and type."""
    rows: int
    """Rows that were asked for, in readable requests."""
    other_versions: int
    """Rows that another version than the champion answered; they are not judged."""
    predicted: int
    """Rows of the champion's usable answers."""
    unusable: int
    """Those of them whose prediction is null, absent or no number."""
    first: float
    last: float
    """Times of the first and the last request; 0 without one."""
    steps: list[Step]

    @property
    def failed(self) -> int:
        """Requests without an answer that can be used, each once."""
        return self.unanswered + self.errors + self.unreadable


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
    # Of several answers the first is taken that is none of an error and can be read.
    run(
        "CREATE TABLE ids AS SELECT id, min(seq) FILTER (kind = 'request') AS asked,"
        f" min(seq + if(readable AND NOT error, 0, {LATER})) FILTER (kind = 'response') % {LATER} AS answer,"
        " count(*) FILTER (kind = 'request') AS requests, count(*) FILTER (kind = 'response') AS responses,"
        " coalesce(min(digest) FILTER (kind = 'request') != max(digest) FILTER (kind = 'request'), false) AS differ,"
        " coalesce(min(digest) FILTER (kind = 'response') != max(digest) FILTER (kind = 'response'), false)"
        " AS answers_differ FROM records GROUP BY id"
    )
    run(
        "CREATE TABLE pairs AS SELECT ids.id, q.seq, q.time, q.rows, q.readable, a.seq AS answer,"
        " a.rows AS answered_rows,"
        " coalesce(a.error, false) AS error,"
        " ids.responses > 0 AND (differ OR (answers_differ AND responses > requests)) AS unclear,"
        " coalesce(a.readable AND (NOT q.readable OR q.rows = a.rows), false) AS usable"
        f", coalesce(nullif(q.version, ''), a.version, '') IN ('', {literal(version)}) AS version_fits"
        " FROM ids JOIN records AS q ON q.seq = ids.asked LEFT JOIN records AS a ON a.seq = ids.answer"
    )
    _count_faults(connection, folder, window, counted)
    rows, predicted = literal(folder / "rows.parquet"), literal(folder / "predicted.parquet")
    run(
        f"COPY (SELECT r.file_row_number AS {served_rows.PLACE}, p.prediction AS {PREDICTION}, p.class AS {CLASS},"
        f" q.id AS {ID}, r.{ROW} AS {ROW_NUMBER}, q.time AS {TIME} FROM read_parquet({rows}, file_row_number = true)"
        f" AS r JOIN (SELECT seq, id, time, if(usable AND NOT unclear, answer, NULL) AS answer FROM pairs"
        f" WHERE readable AND version_fits) AS q ON r.{SEQ} = q.seq"
        f" LEFT JOIN read_parquet({predicted}) AS p ON p.seq = q.answer AND p.row = r.{ROW}"
        f" ORDER BY {served_rows.PLACE})"
        f" TO {literal(folder / 'places.parquet')} (FORMAT parquet, ROW_GROUP_SIZE {ROWS_PER_GROUP})"
    )
    served_rows.write(folder, served)
    return _volume(connection, folder)


def _count_faults(connection: duckdb.DuckDBPyConnection, folder: Path, window: Window, counted: Faults) -> None:
    predicted = literal(folder / "predicted.parquet")
    for kind, query in (
        (
            record_faults.DUPLICATE,
            "SELECT sum(greatest(requests - 1, 0) + greatest(responses - 1, 0)),"
            " 'an id and type that came ' || max(greatest(requests, responses)) || ' times'"
            " FROM ids ANTI JOIN (FROM pairs WHERE unclear) AS u USING (id)",
        ),
        (
            record_faults.REUSED_ID,
            "SELECT count(*), 'id ' || any_value(id) || ', for different requests or answers' FROM pairs WHERE unclear",
        ),
        (
            record_faults.ORPHAN,
            "SELECT count(*), 'id ' || any_value(ids.id) FROM ids JOIN records AS a ON a.seq = ids.answer"
            f" WHERE ids.asked IS NULL AND time >= '{window.since + EDGE_SECONDS}'::DOUBLE"
            f" AND time < '{window.until}'::DOUBLE",
        ),
        (
            record_faults.MALFORMED_RESPONSE,
            "SELECT count(*), 'id ' || any_value(id) || ': ' || any_value(answered_rows) || ' predictions for '"
            " || any_value(rows) || ' rows' FROM pairs"
            " WHERE readable AND NOT usable AND NOT error AND NOT unclear AND answered_rows > 0",
        ),
        (
            record_faults.UNUSABLE,
            "SELECT count(*), 'id ' || any_value(id) || ', row ' || any_value(p.row)"
            f" FROM read_parquet({predicted}) AS p JOIN pairs ON p.seq = pairs.answer"
            " WHERE prediction IS NULL AND version_fits AND usable AND NOT unclear",
        ),
    ):
        count, sample = one(connection, query)
        if count:
            counted.add(kind, sample, int(count))


def _volume(connection: duckdb.DuckDBPyConnection, folder: Path) -> Volume:
    state = (
        "CASE WHEN answer IS NULL THEN 'unanswered' WHEN unclear THEN 'unclear' WHEN error THEN 'errors'"
        " WHEN usable THEN 'answered' ELSE 'unreadable' END"
    )
    told = dict(connection.execute(f"SELECT {state} AS state, count(*) FROM pairs GROUP BY state").fetchall())
    rows, others, first, last = one(
        connection,
        "SELECT coalesce(sum(rows), 0), coalesce(sum(rows) FILTER (NOT version_fits), 0), coalesce(min(time), 0),"
        " coalesce(max(time), 0) FROM pairs",
    )
    responses, repeated = one(
        connection,
        "SELECT count(*) FILTER (responses > 0),"
        " coalesce(sum(greatest(requests - 1, 0) + greatest(responses - 1, 0)), 0) FROM ids",
    )
    predicted, unusable = one(
        connection,
        "SELECT count(*), count(*) FILTER (prediction IS NULL)"
        f" FROM read_parquet({literal(folder / 'predicted.parquet')}) AS p JOIN pairs ON p.seq = pairs.answer"
        " WHERE version_fits AND usable AND NOT unclear",
    )
    width = max((last - first) / STEPS, 1e-3)
    steps = connection.execute(
        "SELECT least(floor((time - $1) / $2), $3)::INTEGER AS step, count(*), count(*) FILTER"
        f" ({state} NOT IN ('answered', 'unclear')) FROM pairs GROUP BY step ORDER BY step",
        [first, width, STEPS - 1],
    ).fetchall()
    return Volume(
        requests=sum(told.values()),
        **{name: told.get(name, 0) for name in ("answered", "unanswered", "errors", "unreadable", "unclear")},
        responses=int(responses),
        repeated=int(repeated),
        rows=int(rows),
        other_versions=int(others),
        predicted=int(predicted),
        unusable=int(unusable),
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
