"""Labels that come late, joined to what was predicted: by request id and row, or by columns that both have.

Every label is accounted for: those that join nothing, that join several rows, that contradict each other or are of no
class are counted, each with an example.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.monitoring.judging import class_words, label_files
from mainspring.components.monitoring.judging.label_files import first_line
from mainspring.components.monitoring.logs import traffic, typed_columns
from mainspring.components.monitoring.logs.traffic import literal, quoted

LABEL = "label"

MEBIBYTES, MEBIBYTES_A_COLUMN = 96, 3
"""What DuckDB may take for labels before it goes to disk: less fails where a table has many columns, however few its
rows."""

MEBIBYTES_FOR_SQL = 768
"""The least that it may take where a team's own SQL runs."""

KNOWN_KEYS = {"id": traffic.ID, "row": traffic.ROW_NUMBER}
"""Key columns that are not features: the request's id, and the row's place in it."""

_SPELLING = (
    "ltrim(regexp_replace(regexp_replace(lower(trim({0})), '\\.0+$', ''), '[^a-z0-9]+', '-', 'g'), '0')",
    "CASE WHEN regexp_full_match(regexp_replace({0}, '[-{{}}]', '', 'g'), '[0-9a-fA-F]{{32}}')"
    " THEN lower(regexp_replace({0}, '[-{{}}]', '', 'g')) END",
)


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from."""

    uri: str
    """A Parquet or CSV file, or a pattern of such files."""
    query: str
    """SQL over the table `source`, giving the key columns and `label`; empty: the files have these columns."""
    key: tuple[str, ...]
    """`id` (and `row`, counted from 0), or features that tell a row from every other."""


@dataclass
class Labels:
    """What became of the labels."""

    given: int
    """Labels that say something."""
    usable: int
    """Of these, one for each key, of a class."""
    counts: dict[str, int] = field(default_factory=dict)
    """By what is wrong with them; `Bad`."""
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, count: int, example: str) -> None:
        """Counts labels."""
        if count:
            self.counts[kind] = self.counts.get(kind, 0) + count
            self.examples.setdefault(kind, example)


EMPTY, NO_CLASS, CONTRADICTING = "empty", "of no class", "contradicting"
SEVERAL, UNJOINED, MISSPELLED = "of several rows", "without a row", "with another spelling of an id"


@contextmanager
def loaded(
    source: LabelSource,
    windows: Mapping[str, Path],
    columns: Sequence[str],
    kinds: Mapping[str, str],
    has_own_sql: bool,
    folder: Path,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields a connection with the table `source` and a table for each window of served rows.

    From then on its SQL reaches no other file and no network.

    Args:
        source: Where labels come from.
        windows: Parquet files by table name.
        columns: Features that are taken along.
        kinds: `typed_columns`' kind by feature.
        has_own_sql: Whether SQL of the team's is to run on them.
        folder: For what does not fit into memory.

    Raises:
        UserError: The labels cannot be read.
    """
    taken = ", ".join(map(quoted, (*columns, traffic.PREDICTION, traffic.CLASS, traffic.ID, traffic.ROW_NUMBER)))
    with duckdb.connect() as connection:
        run = connection.execute
        run(f"SET threads = {traffic.THREADS}")
        run(f"SET temp_directory = {literal(folder / 'labels-spilled')}")
        run("SET preserve_insertion_order = false")
        try:
            widest = max(len(columns), len(run(f"DESCRIBE FROM {label_files.reader(source.uri)}").fetchall()))
        except duckdb.Error as error:
            raise UserError(f"labels={source.uri!r}: cannot be read: {first_line(error)}") from error
        memory = max(MEBIBYTES + MEBIBYTES_A_COLUMN * widest, MEBIBYTES_FOR_SQL if has_own_sql else 0)
        run(f"SET memory_limit = '{memory}MiB'")
        label_files.load(connection, source.uri, [name for name in source.key if _is_text(name, kinds)])
        for name, path in windows.items():
            run(f"CREATE TABLE {quoted(name)} AS SELECT {taken} FROM read_parquet({literal(path)})")
        run("CREATE TABLE joined (__number BIGINT)")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")
        yield connection


def prepare(
    connection: duckdb.DuckDBPyConnection, source: LabelSource, kinds: Mapping[str, str], classes: Sequence[str]
) -> Labels:
    """Makes the table `labels` from `source`: a number, the keys, `label`, and `truth`, a number or a class's index.

    Args:
        connection: From `loaded`.
        source: The query and the key columns.
        kinds: `typed_columns`' kind by feature.
        classes: The model's; empty for regression.
    """
    keys = ", ".join(f"{_comparable(quoted(name), name, kinds)} AS {quoted(name)}" for name in source.key)
    names = ", ".join(map(quoted, source.key))
    example = _example(source.key)
    query = source.query.strip().rstrip(";") or "FROM source"
    class_words.declare(connection, classes)
    try:
        connection.execute(
            f"CREATE TABLE given AS SELECT {keys}, {LABEL}, trim({LABEL}::VARCHAR) AS __text,"
            f" {class_words.index_of('__text', classes)} AS __truth FROM ({query}) WHERE trim({LABEL}::VARCHAR) != ''"
        )
    except duckdb.Error as error:
        raise UserError(
            f"labels_query: gives no table with {', '.join(source.key)} and {LABEL}: {first_line(error)}"
        ) from error
    connection.execute(
        f"CREATE TABLE labels AS SELECT row_number() OVER () AS __number, * FROM (SELECT {names},"
        f" any_value({LABEL}) AS {LABEL}, any_value(__truth) AS __truth, min(__truth) != max(__truth) AS __differing,"
        f" count(*) AS __times FROM given WHERE __truth IS NOT NULL GROUP BY {names})"
    )
    total = traffic.one(connection, "SELECT count(*) FROM given")[0]
    found = Labels(int(total), 0)
    unknown = traffic.one(connection, "SELECT count(*), min(__text) FROM given WHERE __truth IS NULL")
    found.add(NO_CLASS, int(unknown[0]), repr(unknown[1]))
    differing = traffic.one(connection, f"SELECT sum(__times), min({example}) FROM labels WHERE __differing")
    found.add(CONTRADICTING, int(differing[0] or 0), str(differing[1]))
    connection.execute("DELETE FROM labels WHERE __differing")
    found.usable = int(traffic.one(connection, "SELECT count(*) FROM labels")[0])
    return found


def check_key(source: LabelSource, features: Sequence[str]) -> None:
    """Checks that each key column is known of the rows that were served.

    Raises:
        UserError: One is none of the model's features.
    """
    unknown = [name for name in source.key if name not in features and name not in KNOWN_KEYS]
    if unknown:
        raise UserError(f"label_key: {unknown[0]!r} is no feature of the model; use id, row or {', '.join(features)}")


def join(
    connection: duckdb.DuckDBPyConnection,
    source: LabelSource,
    window: str,
    columns: Sequence[str],
    kinds: Mapping[str, str],
    found: Labels,
) -> int:
    """Makes the table `labelled`: a window's predicted rows with their labels; returns how many there are.

    A label that has several rows in the window is left out: which of them it is of cannot be told.

    Args:
        connection: With the tables `labels`, and `window`.
        source: The key columns.
        window: The table of served rows.
        columns: Features that it has.
        kinds: `typed_columns`' kind by feature.
        found: Where such labels are counted.
    """
    run, pairs = connection.execute, " AND ".join(_pair(name, kinds) for name in source.key)
    taken = "".join(f", w.{quoted(name)}" for name in columns)
    run(
        f"CREATE OR REPLACE TABLE places AS SELECT l.__number, w.rowid AS place FROM {quoted(window)} AS w"
        f" JOIN labels AS l ON {pairs}"
    )
    run("INSERT INTO joined SELECT DISTINCT __number FROM places")
    run(
        "CREATE OR REPLACE TABLE several AS SELECT __number, count(*) AS __rows FROM places GROUP BY __number"
        " HAVING count(*) > 1"
    )
    several = traffic.one(
        connection,
        f"SELECT count(*), min({_example(source.key)} || ', which has ' || __rows || ' rows')"
        " FROM several JOIN labels USING (__number)",
    )
    found.add(SEVERAL, int(several[0]), str(several[1]))
    run(
        f"CREATE OR REPLACE TABLE labelled AS SELECT w.{traffic.PREDICTION} AS prediction, w.{traffic.CLASS} AS class,"
        f" l.{LABEL} AS label, l.__truth{taken} FROM places ANTI JOIN several USING (__number)"
        f" JOIN labels AS l USING (__number) JOIN {quoted(window)} AS w ON w.rowid = places.place"
        f" WHERE w.{traffic.PREDICTION} IS NOT NULL"
    )
    return int(traffic.one(connection, "SELECT count(*) FROM labelled")[0])


def count_unjoined(
    connection: duckdb.DuckDBPyConnection, source: LabelSource, windows: Sequence[str], found: Labels
) -> None:
    """Counts the labels that joined no row of any window, and those of them whose id a row has in another spelling."""
    run, example = connection.execute, _example(source.key)
    run("CREATE TABLE unjoined AS FROM labels WHERE __number NOT IN (SELECT __number FROM joined)")
    unjoined = traffic.one(connection, f"SELECT count(*), min({example}) FROM unjoined")
    found.add(UNJOINED, int(unjoined[0]), str(unjoined[1]))
    if not unjoined[0] or "id" not in source.key:
        return
    ids = " UNION ".join(f"SELECT {traffic.ID} AS id FROM {quoted(window)}" for window in windows)
    run(
        f"CREATE TABLE spelled AS SELECT {_spelling('id')} AS spelling, min(id) AS other FROM ({ids}) GROUP BY spelling"
    )
    near = traffic.one(
        connection,
        "SELECT count(*), min('id ' || u.id || ', where a request has ' || s.other) FROM unjoined AS u"
        f" JOIN spelled AS s ON s.spelling = {_spelling('u.id')} AND s.other != u.id",
    )
    found.add(MISSPELLED, int(near[0]), str(near[1]))


def business_value(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    """Returns the number that the team's SQL makes of the table `labelled`.

    Raises:
        UserError: The SQL is wrong, or gives no number.
    """
    try:
        row: Any = connection.execute(sql).fetchone()
    except duckdb.Error as error:
        raise UserError(f"policy: business: sql: {first_line(error)}") from error
    try:
        return float(row[0])
    except (TypeError, ValueError, IndexError) as error:
        raise UserError(f"policy: business: sql: expected one number, got {row!r}") from error


def _is_text(name: str, kinds: Mapping[str, str]) -> bool:
    return kinds[name] == typed_columns.TEXT if name in kinds else name != "row"


def _comparable(value: str, name: str, kinds: Mapping[str, str]) -> str:
    """Returns SQL for a key as it is compared: ids and texts as they are spelled, numbers as numbers."""
    if _is_text(name, kinds):
        return f"{value}::VARCHAR"
    if kinds.get(name) == typed_columns.NUMBER:
        return f"try_cast({value} AS DOUBLE)"
    whole = f"try_cast({value} AS DOUBLE)"
    return f"CASE WHEN {whole} = floor({whole}) THEN try_cast({value} AS BIGINT) END"


def _pair(name: str, kinds: Mapping[str, str]) -> str:
    column = name if name in kinds else KNOWN_KEYS[name]
    return f"w.{quoted(column)} = l.{quoted(name)}"


def _example(keys: Sequence[str]) -> str:
    return " || ', ' || ".join(f"{literal(name + ' ')} || coalesce({quoted(name)}::VARCHAR, '(none)')" for name in keys)


def _spelling(value: str) -> str:
    loose, uuid = (part.format(value) for part in _SPELLING)
    return f"coalesce({uuid}, {loose})"
