"""Files of text as Parquet: all rows of all files decide what a column is, then every value is read as that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.columns.column_types import FAILED, literal, quoted, refuse_alike
from mainspring.components.ingestion.columns.given_types import TYPES, Reading, contradicted
from mainspring.components.ingestion.columns.learnt_types import SCHEMA, as_read
from mainspring.components.ingestion.columns.text_values import (
    BOOLEAN,
    EMPTY,
    TEXT,
    Evidence,
    Value,
    asked_cast,
    cast,
    evidence,
    is_of_moments,
    looks_like_day_first,
    looks_like_decimal_comma,
)
from mainspring.components.ingestion.formats import csv_table, faults, json_lines
from mainspring.components.ingestion.portions import Portion, Said, first_line

SAMPLE = 2_000
"""Rows of a file from which kinds are guessed; a value of another kind, wherever it stands, ends the guess."""

_SAMPLED_VALUES, _FEWEST = 200_000, 100
"""Of a file with many columns so many values are sampled, and rows at least."""

_SAMPLED = 8
"""So many files are sampled, spread over all."""

_AT_A_TIME = 25
"""Columns whose evidence one query counts: it takes some megabytes for each, in each thread."""

_MOST_CASTS = 1_000
"""So many columns, times threads, are read at once: each takes half a megabyte while it is read."""

_LEAST_MEBIBYTES = 954
"""What DuckDB may hold; with more than a thousand columns, a megabyte for each."""

_PER_COLUMN = 11
"""Figures of `evidence`."""


@dataclass
class _Group:
    """Files that follow one another and have the same columns in the same order."""

    files: list[Path]
    names: list[str]
    form: str
    headed: bool
    lenient: bool = False
    """Whether rows end in several ways; found out when the files are read."""
    shown: dict[str, str] = field(default_factory=dict)
    """The name under which a column is read, by its name in these files."""
    words: Mapping[Path, Path] = field(default_factory=dict)
    """Of JSON lines: a Parquet file of each file's values as they are written."""

    def alone(self, file: Path) -> _Group:
        """Returns the group of one of its files."""
        return replace(self, files=[file])

    @property
    def rows(self) -> str:
        """SQL of the files' rows: by column its text `t0`, for JSON whether it is a string `q0` or nested `n0`."""
        if self.form == "csv":
            read = csv_table.reading(self.files, self.names, self.headed, self.lenient)
            columns = ", ".join(f"{quoted(name)} AS t{place}" for place, name in enumerate(self.names))
            return f"SELECT {columns} FROM {read}"
        words = ", ".join(literal(str(self.words[file])) for file in self.files)
        return f"SELECT * FROM read_parquet([{words}], hive_partitioning = false)"

    def value(self, name: str, reading: Reading) -> Value:
        """Returns a column's value in `rows`."""
        place = self.names.index(name)
        text = f"t{place}"
        if reading.missing:
            text = f"CASE WHEN t{place} NOT IN ({', '.join(map(literal, reading.missing))}) THEN t{place} END"
        return Value(text, f"q{place}", f"n{place}") if self.form == "jsonl" else Value(text)


def to_parquet(
    connection: duckdb.DuckDBPyConnection, portions: Sequence[Portion], scratch: Path, reading: Reading, said: Said
) -> list[Portion]:
    """Returns the portions with their rows as Parquet; their columns have the same types in all of them.

    Args:
        connection: That may read the files and write into `scratch`; its threads are set.
        portions: Of CSV or JSON lines.
        scratch: A folder for the Parquet files.
        reading: How values are read.
        said: What is to be told; added to.

    Raises:
        UserError: A file is faulty, or holds what it was said not to.
    """
    scratch.mkdir()
    groups = [_groups(connection, portion, scratch / f"words-{n}", said) for n, portion in enumerate(portions)]
    every = [group for of_portion in groups for group in of_portion]
    spellings = _one_spelling(every)
    widest = max((len(group.names) for group in every), default=1)
    threads = connection.execute("SELECT current_setting('threads')").fetchall()[0][0]
    connection.execute(f"SET threads = {max(1, min(threads, _MOST_CASTS // widest))}")
    connection.execute(f"SET memory_limit = '{max(_LEAST_MEBIBYTES, widest)}MiB'")
    kinds = _guessed(connection, every, reading)
    reading = _where_a_schema_speaks(reading, kinds)
    try:
        written = _write_all(connection, groups, kinds, _told_apart_from(kinds, reading), scratch / "guessed")
    except _OtherwiseError:
        found = {name: kind for name, kind in kinds.items() if kind == TEXT}
        kinds |= {name: one.kind for name, one in _evidence(connection, every, reading, set(found)).items()}
        written = _write_all(connection, groups, kinds, reading, scratch / "decided")
    _say_what_was_widened(connection, every, kinds, reading, said)
    return [
        _converted(portion, of_portion, files, kinds, spellings, reading)
        for portion, of_portion, files in zip(portions, groups, written, strict=True)
    ]


def _where_a_schema_speaks(reading: Reading, kinds: Mapping[str, str]) -> Reading:
    """Leaves out what a schema calls whole numbers and the file has as times or truth values: they become those."""
    held = [name for name, kind in kinds.items() if is_of_moments(kind) or kind == BOOLEAN]
    return reading.without([name for name in held if (asked := reading.of(name)) and asked.by == SCHEMA])


def _told_apart_from(kinds: Mapping[str, str], reading: Reading) -> Reading:
    """Leaves out what is known to be what it was guessed to be: a guess is read faster, and ends at any other value."""
    asked = {name: one for name in kinds if (one := reading.of(name)) and one.by != TYPES and not one.form}
    return reading.without([name for name, one in asked.items() if one.kind == kinds[name]])


class _OtherwiseError(Exception):
    """A value is of another kind than was guessed."""


def _groups(connection: duckdb.DuckDBPyConnection, portion: Portion, folder: Path, said: Said) -> list[_Group]:
    folder.mkdir()
    found = []
    words = {}
    for number, file in enumerate(portion.files):
        if portion.format == "csv":
            names = csv_table.names_of(file, portion.csv_columns)
            empty = not file.stat().st_size
        else:
            names = json_lines.names_of(connection, file)
            empty = not names
        if empty:
            said.add(f"{file} is empty: it has neither columns nor rows")
            continue
        refuse_alike(names, f"{file}: has", "rename one of them in the file")
        found.append((file, names))
        if portion.format == "jsonl":
            words[file] = folder / f"{number}.parquet"
            _write_words(connection, file, names, words[file])
    return [
        _Group([file for file, _ in run], names, portion.format, not portion.csv_columns, words=words)
        for names, run in ((names, list(run)) for names, run in groupby(found, key=lambda each: each[1]))
    ]


def _write_words(connection: duckdb.DuckDBPyConnection, file: Path, names: Sequence[str], target: Path) -> None:
    """Writes the values of JSON lines as they are written: each of DuckDB's JSON functions takes much memory."""
    columns = ", ".join(
        f"{quoted(name)}->>'$' AS t{place}, json_type({quoted(name)}) = 'VARCHAR' AS q{place}, "
        f"json_type({quoted(name)}) IN ('OBJECT', 'ARRAY') AS n{place}"
        for place, name in enumerate(names)
    )
    try:
        read = json_lines.reading([file], names)
        connection.execute(f"COPY (SELECT {columns} FROM {read}) TO {literal(str(target))}")
    except duckdb.Error as error:
        faults.refuse_json_lines(file)
        raise UserError(f"{file}: cannot be read: {first_line(error)}") from error


def _one_spelling(groups: Sequence[_Group]) -> dict[str, dict[str, Path]]:
    """Gives each column the name that it has first; returns the files by spelling, where there are several."""
    spellings: dict[str, dict[str, Path]] = {}
    for group in groups:
        for name in group.names:
            of_name = spellings.setdefault(name.lower(), {})
            of_name.setdefault(name, group.files[0])
            group.shown[name] = next(iter(of_name))
    return {next(iter(of_name)): of_name for of_name in spellings.values() if len(of_name) > 1}


def _guessed(connection: duckdb.DuckDBPyConnection, groups: Sequence[_Group], reading: Reading) -> dict[str, str]:
    singles = [group.alone(file) for group in groups for file in {group.files[0]: 0, group.files[-1]: 0}]
    step = max(1, len(singles) // _SAMPLED)
    names = dict.fromkeys(shown for group in groups for shown in group.shown.values())
    found = _evidence(connection, singles[::step], reading, set(), SAMPLE)
    return {name: found[name].kind if name in found else EMPTY for name in names}


def _evidence(
    connection: duckdb.DuckDBPyConnection,
    groups: Sequence[_Group],
    reading: Reading,
    known: set[str],
    rows: int | None = None,
) -> dict[str, Evidence]:
    """Returns the evidence by column, but for those that are known, over all rows or the first ones of each group."""
    found: dict[str, Evidence] = {}
    for group in groups:
        names = [name for name in group.names if group.shown[name] not in known]
        for start in range(0, len(names), _AT_A_TIME):
            chosen = names[start : start + _AT_A_TIME]
            aggregates = [one for name in chosen for one in evidence(group.value(name, reading), reading.words)]
            limit = "" if rows is None else f" LIMIT {max(_FEWEST, min(rows, _SAMPLED_VALUES // len(group.names)))}"
            counts = _run(connection, group, f"SELECT {', '.join(aggregates)} FROM ({{rows}}{limit})")[0]
            for place, name in enumerate(chosen):
                figures = Evidence(*counts[place * _PER_COLUMN : (place + 1) * _PER_COLUMN])
                found[group.shown[name]] = found.get(group.shown[name], Evidence()) + figures
    return found


def _write_all(
    connection: duckdb.DuckDBPyConnection,
    groups: Sequence[Sequence[_Group]],
    kinds: dict[str, str],
    reading: Reading,
    folder: Path,
) -> list[list[Path]]:
    """Writes a Parquet file for each group, in the portions' order.

    Raises:
        _OtherwiseError: A value is of another kind than its column.
        UserError: A value is not what somebody said that it is.
    """
    folder.mkdir()
    written = []
    for number, of_portion in enumerate(groups):
        written.append([folder / f"{number}-{place}.parquet" for place, _ in enumerate(of_portion)])
        for group, target in zip(of_portion, written[-1], strict=True):
            casts = []
            for name in group.names:
                shown, value = group.shown[name], group.value(name, reading)
                asked = reading.of(shown)
                sql = (
                    asked_cast(value, asked, reading.words, shown)
                    if asked
                    else cast(value, kinds[shown], reading.words, shown)
                )
                casts.append(f"{sql} AS {quoted(shown)}")
            _run(
                connection,
                group,
                f"COPY (SELECT {', '.join(casts)} FROM ({{rows}})) TO {literal(str(target))}",
                reading,
            )
    return written


def _run(
    connection: duckdb.DuckDBPyConnection, group: _Group, sql: str, reading: Reading | None = None
) -> list[tuple[Any, ...]]:
    """Runs SQL over a group's rows, which stand in it as `{rows}`; says what is wrong where it fails."""
    try:
        return connection.execute(sql.replace("{rows}", group.rows)).fetchall()
    except duckdb.Error as error:
        if failed := FAILED.search(str(error)):
            name, kind, value = bytes.fromhex(failed[1]).decode(errors="surrogateescape"), failed[2], failed[3]
            asked = reading.of(name) if reading else None
            if asked or kind == "nested":
                kind = asked.kind if asked else kind
                raise UserError(_misfit(connection, group, name, kind, value, asked.by if asked else "")) from error
            raise _OtherwiseError from error
        for file in group.files:
            if group.form == "csv":
                faults.refuse_csv(file, group.names, group.headed)
            else:
                faults.refuse_json_lines(file)
        if group.form == "csv" and not group.lenient:
            group.lenient = True
            return _run(connection, group, sql, reading)
        raise UserError(f"{_named(error, group.files)}: cannot be read: {first_line(error)}") from error


def _misfit(connection: duckdb.DuckDBPyConnection, group: _Group, shown: str, kind: str, value: str, by: str) -> str:
    """Returns where a value stands that is not what its column is to be, and what to do."""
    name = next(name for name in group.names if group.shown[name] == shown)
    for file in group.files:
        alone = group.alone(file)
        numbered = f"SELECT row_number() OVER () AS n, {group.value(name, Reading()).text} AS v FROM ({alone.rows})"
        row = connection.execute(f"SELECT min(n) FROM ({numbered}) WHERE v = {literal(value)}").fetchall()[0][0]
        if row:
            line = row if group.form == "jsonl" else faults.line_of_row(file, group.names, group.headed, row)
            if kind == "nested":
                said = f"column {shown} holds a list or an object ({value}); make numbers or text of it"
                return f"{file}: line {line:,}: {said} in the file, or leave the key out"
            return f"{file}: line {line:,}: column {shown} holds {value!r}, but {contradicted(shown, kind, by)}"
    return f"{group.files[0]}: column {shown} holds {value!r}, which is not {kind}"


def _named(error: Exception, files: Sequence[Path]) -> str:
    return next((str(file) for file in files if str(file) in str(error)), str(files[0]))


def _converted(
    portion: Portion,
    groups: Sequence[_Group],
    files: Sequence[Path],
    kinds: dict[str, str],
    spellings: dict[str, dict[str, Path]],
    reading: Reading,
) -> Portion:
    names = list(dict.fromkeys(group.shown[name] for group in groups for name in group.names))
    if not names:
        raise UserError(f"{portion.files[0]}: has no rows, and no columns either")
    columns = ", ".join(f"NULL AS {quoted(n)}" if kinds[n] == EMPTY and not reading.of(n) else quoted(n) for n in names)
    listed = ", ".join(literal(str(file)) for file in files)
    rows = f"SELECT {columns} FROM read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    own = {name: of_name for name, of_name in spellings.items() if name in names}
    read_as = as_read({name: kinds[name] for name in names}, reading)
    return Portion(
        portion.name, tuple(files), "parquet", rows=rows, columns=tuple(names), spellings=own, read_as=read_as
    )


def _say_what_was_widened(
    connection: duckdb.DuckDBPyConnection,
    groups: Sequence[_Group],
    kinds: dict[str, str],
    reading: Reading,
    said: Said,
) -> None:
    """Tells of columns of text that look like numbers or dates, by their first rows."""
    for name in (name for name, kind in kinds.items() if kind == TEXT and not reading.of(name)):
        group = next(group for group in groups if name in group.shown.values())
        own = next(own for own, shown in group.shown.items() if shown == name)
        value = group.value(own, reading)
        number = f"{value.text} IS NULL OR {looks_like_decimal_comma(value.text)}"
        day = f"{value.text} IS NULL OR {looks_like_day_first(value.text)}"
        commas, days, some = _run(
            connection,
            group,
            f"SELECT bool_and({number}) AND bool_or(contains({value.text}, ',')), bool_and({day}), min({value.text}) "
            f"FROM ({{rows}} LIMIT {SAMPLE})",
        )[0]
        if commas:
            said.add(
                f"column {name} looks like numbers with a decimal comma ({some}) and is text; "
                f"types: {{{name}: double comma}} reads them"
            )
        elif days:
            said.add(
                f"column {name} looks like dates that are no ISO 8601 ({some}) and is text; types: "
                f"{{{name}: 'date %d/%m/%Y'}} (day first) or 'date %m/%d/%Y' reads them"
            )
        else:
            _say_why_text(connection, groups, name, reading, said)


def _say_why_text(
    connection: duckdb.DuckDBPyConnection, groups: Sequence[_Group], name: str, reading: Reading, said: Said
) -> None:
    """Tells where a column of text is numbers in a file: the files disagree, or one value made text of it."""
    firsts = {group.files[0]: group for group in groups if name in group.shown.values()}
    for file, group in list(firsts.items())[:_SAMPLED]:
        alone = group.alone(file)
        others = set(group.shown.values()) - {name}
        kind = _evidence(connection, [alone], reading, others, SAMPLE)[name].kind
        if kind not in (TEXT, EMPTY):
            said.add(
                f"column {name} is text, though it begins as {kind} in {file}: another value does not fit; "
                f"types: {{{name}: {kind.split()[-1]}}} would refuse that value by its line"
            )
            return
