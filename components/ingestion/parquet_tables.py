"""Parquet files as one table: a column has one type in all files of all spans, and what is no number is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.columns.column_types import (
    DOUBLES,
    INTEGERS,
    MOMENTS,
    STRINGS,
    WIDE,
    fails,
    literal,
    quoted,
    refuse_alike,
)
from mainspring.components.ingestion.columns.given_types import TYPES, Reading
from mainspring.components.ingestion.columns.learnt_types import as_read
from mainspring.components.ingestion.columns.text_values import (
    BOOLEAN,
    DATE,
    DOUBLE,
    EMPTY,
    INT64,
    SQL_TYPES,
    TEXT,
    TIMESTAMP,
    ZONED,
    Value,
    asked_cast,
    is_of_moments,
)
from mainspring.components.ingestion.portions import Portion, Said, first_line
from mainspring.components.ingestion.sources.file import exactly

NESTED, WIDE_WHOLE = "nested", "wide"


@dataclass
class _Group:
    """Files that follow one another and have the same columns of the same types."""

    files: list[Path]
    raw: dict[str, str]
    """DuckDB's type by column."""
    empty: set[str]
    """Columns without a type: of Arrow's null type, or all of them where there are no rows."""
    shown: dict[str, str] = field(default_factory=dict)
    """The name under which a column is read, by its name in these files."""

    @property
    def read(self) -> str:
        """SQL that reads the files as they are."""
        listed = ", ".join(literal(exactly(file)) for file in self.files)
        return f"read_parquet([{listed}], hive_partitioning = false)"

    def kind(self, name: str) -> str:
        """Returns what a column is by its type."""
        raw = self.raw[name]
        base = raw.split("(")[0]
        if name in self.empty:
            return EMPTY
        if base == "DECIMAL" and raw.endswith(",0)"):
            return WIDE_WHOLE
        if base in MOMENTS:
            return DATE if base == "DATE" else ZONED if "ZONE" in base else TIMESTAMP
        kinds = ((("BOOLEAN",), BOOLEAN), (INTEGERS, INT64), (WIDE, WIDE_WHOLE), (DOUBLES, DOUBLE), (STRINGS, TEXT))
        return next((kind for bases, kind in kinds if base in bases), NESTED)


def typed(
    connection: duckdb.DuckDBPyConnection, portions: Sequence[Portion], reading: Reading, said: Said
) -> list[Portion]:
    """Returns the portions with the SQL of their rows.

    Args:
        connection: That may read the files.
        portions: Of Parquet.
        reading: How values are read.
        said: What is to be told; added to.

    Raises:
        UserError: A file is faulty, or a column is nested in one file and plain in another.
    """
    groups = [_groups(connection, portion) for portion in portions]
    every = [group for of_portion in groups for group in of_portion]
    spellings: dict[str, dict[str, Path]] = {}
    for group in every:
        for name in group.raw:
            of_name = spellings.setdefault(name.lower(), {})
            of_name.setdefault(name, group.files[0])
            group.shown[name] = next(iter(of_name))
    several = {next(iter(of_name)): of_name for of_name in spellings.values() if len(of_name) > 1}
    names = list(dict.fromkeys(shown for group in every for shown in group.shown.values()))
    reading = _where_it_applies(reading, every, names)
    kinds = {name: _decided(connection, every, name, said, reading) for name in names}
    found = []
    for portion, of_portion in zip(portions, groups, strict=True):
        rows = " UNION ALL BY NAME ".join(
            f"(SELECT {_columns(group, kinds, reading)} FROM {group.read})" for group in of_portion
        )
        own = tuple(dict.fromkeys(shown for group in of_portion for shown in group.shown.values()))
        found.append(
            replace(
                portion,
                rows=rows,
                columns=own,
                spellings={name: of_name for name, of_name in several.items() if name in own},
                read_as=as_read({name: kinds[name] for name in own}, reading),
            )
        )
    return found


def _where_it_applies(reading: Reading, groups: Sequence[_Group], names: Sequence[str]) -> Reading:
    """Leaves out what is known of columns whose files say it better: times, truth values, lists, very wide numbers."""
    left = []
    for name in names:
        asked = reading.of(name)
        if not asked or asked.by == TYPES:
            continue
        kinds = {group.kind(own) for group in groups for own, shown in group.shown.items() if shown == name} - {EMPTY}
        times = bool(kinds) and all(map(is_of_moments, kinds))
        whole = asked.kind == INT64 and (times or kinds == {BOOLEAN} or WIDE_WHOLE in kinds)
        if whole or NESTED in kinds or (times and is_of_moments(asked.kind)):
            left.append(name)
    return reading.without(left)


def _groups(connection: duckdb.DuckDBPyConnection, portion: Portion) -> list[_Group]:
    described: dict[str, dict[str, str]] = {}
    files = []
    for file in portion.files:
        try:
            metadata = pq.read_metadata(file)
            schema = metadata.schema.to_arrow_schema()
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
        refuse_alike(schema.names, f"{file}: has", "rename one of them in the file")
        key = f"{schema.to_string(show_field_metadata=False, show_schema_metadata=False)}"
        if key not in described:
            try:
                rows = connection.execute(f"DESCRIBE FROM {_Group([file], {}, set()).read}").fetchall()
            except duckdb.Error as error:
                raise UserError(f"{file}: cannot be read: {first_line(error)}") from error
            described[key] = {str(name): str(kind) for name, kind, *_ in rows}
        empty = {one.name for one in schema if pa.types.is_null(one.type) or not metadata.num_rows}
        files.append((file, (key, frozenset(empty))))
    return [
        _Group([file for file, _ in run], dict(described[key]), set(empty))
        for (key, empty), run in ((key, list(run)) for key, run in groupby(files, key=lambda each: each[1]))
    ]


def _decided(
    connection: duckdb.DuckDBPyConnection, groups: Sequence[_Group], name: str, said: Said, reading: Reading
) -> str:
    """Returns the kind that holds the column of every file."""
    having = [(group, own) for group in groups for own, shown in group.shown.items() if shown == name]
    kinds = {group.kind(own) for group, own in having} - {EMPTY}
    if asked := reading.of(name):
        return TEXT if asked.by == TYPES else asked.kind
    if WIDE_WHOLE in kinds:
        fits = all(_fits(connection, group, own) for group, own in having if group.kind(own) == WIDE_WHOLE)
        if not fits:
            said.add(f"column {name} holds whole numbers that no int64 holds, and is text")
        kinds = kinds - {WIDE_WHOLE} | {INT64 if fits else TEXT}
    if len(kinds) > 1:
        having = [(group, own) for group, own in having if not _is_empty(connection, group, own)]
        kinds = {INT64 if (kind := group.kind(own)) == WIDE_WHOLE else kind for group, own in having} - {EMPTY} | (
            kinds & {TEXT}
        )
    if len(kinds) < 2:
        return next(iter(kinds), EMPTY)
    if NESTED in kinds:
        group, own = next((group, own) for group, own in having if group.kind(own) == NESTED)
        raise UserError(f"{group.files[0]}: column {name} is {group.raw[own]}, but not in every file; make them alike")
    if kinds <= {INT64, DOUBLE}:
        return DOUBLE
    if kinds <= {DATE, TIMESTAMP, ZONED}:
        return ZONED if ZONED in kinds else TIMESTAMP
    first = {group.kind(own): group.files[0] for group, own in reversed(having)}
    parts = " and ".join(f"{kind} in {file}" for kind, file in list(first.items())[:2])
    said.add(f"column {name} is {parts}: it is read as text; types: {{{name}: …}} says otherwise")
    return TEXT


def _fits(connection: duckdb.DuckDBPyConnection, group: _Group, name: str) -> bool:
    column = quoted(name)
    low, high = _run(connection, group, f"SELECT min({column}), max({column}) FROM {group.read}")
    return low is None or (int(low) >= -(2**63) and int(high) < 2**63)


def _is_empty(connection: duckdb.DuckDBPyConnection, group: _Group, name: str) -> bool:
    if group.kind(name) == EMPTY:
        return True
    column = quoted(name)
    value = (
        f"CASE WHEN isfinite({column}) OR isinf({column}) THEN 1 END"
        if group.raw[name] in ("FLOAT", "DOUBLE")
        else column
    )
    return not _run(connection, group, f"SELECT count({value}) FROM {group.read}")[0]


def _run(connection: duckdb.DuckDBPyConnection, group: _Group, sql: str) -> tuple:  # type: ignore[type-arg]
    try:
        return connection.execute(sql).fetchall()[0]
    except duckdb.Error as error:
        where = next((file for file in group.files if str(file) in str(error)), group.files[0])
        raise UserError(f"{where}: cannot be read: {first_line(error)}") from error


def _columns(group: _Group, kinds: dict[str, str], reading: Reading) -> str:
    return ", ".join(
        f"{_column(group, own, kinds[shown], reading)} AS {quoted(shown)}" for own, shown in group.shown.items()
    )


def _column(group: _Group, name: str, kind: str, reading: Reading) -> str:
    """Returns the SQL of a column in its kind; null where its value is not a number or a word for missing."""
    column, own, shown = quoted(name), group.kind(name), group.shown[name]
    asked = reading.of(shown)
    if group.raw[name] in ("FLOAT", "DOUBLE"):
        column = f"CASE WHEN isfinite({column}) OR isinf({column}) THEN {column} END"
    if reading.missing and own != EMPTY:
        listed = ", ".join(literal(word) for word in reading.missing)
        column = f"CASE WHEN {column}::VARCHAR NOT IN ({listed}) THEN {column} END"
    if asked and asked.by == TYPES:
        if own == asked.kind and group.raw[name] in SQL_TYPES.values():
            return column
        return asked_cast(Value(f"({column})::VARCHAR"), asked, reading.words, shown)
    if asked and own not in (EMPTY, kind) and not (own in (INT64, WIDE_WHOLE) and kind == DOUBLE):
        return asked_cast(Value(f"({column})::VARCHAR"), asked, reading.words, shown)
    if own == EMPTY:
        return "NULL" if kind in (EMPTY, NESTED) else f"NULL::{SQL_TYPES[kind]}"
    if own in (kind, NESTED):
        return column
    if own in (INT64, WIDE_WHOLE) and kind == DOUBLE:
        exact = f"({column})::DOUBLE::HUGEINT = ({column})::HUGEINT"
        whens = f"WHEN {column} IS NULL THEN NULL WHEN {exact} THEN ({column})::DOUBLE"
        return f"CASE {whens} ELSE {fails(f'({column})::VARCHAR', shown, 'inexact')}::DOUBLE END"
    return f"({column})::{SQL_TYPES[kind]}"
