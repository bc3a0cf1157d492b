"""The types of columns: DuckDB's many, and the examples' three."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from mainspring.components.common.errors import UserError

INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
WIDE = {"UBIGINT", "HUGEINT", "UHUGEINT"}
"""Whole numbers that may be more than int64 holds."""
DOUBLES = {"FLOAT", "DOUBLE", "DECIMAL"}
STRINGS = {"VARCHAR", "UUID", "TIME", "TIME WITH TIME ZONE", "INTERVAL", "ENUM"}
MOMENTS = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
TYPES = {"int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}
MARK = "mainspring-cannot-read"
FAILED = re.compile(rf"{MARK}:([0-9a-f]*):([^:]*):(.*)", re.DOTALL)
"""What DuckDB says where a value is not what it was to be: the column's name in hexadecimal, the kind, the value."""

_UNKNOWN = "unknown"
"""The type of a column that is null in all rows of a span."""
_MOMENT = "a date or time"


def merge_columns(
    of_spans: Mapping[str, Mapping[str, str]],
    said: Callable[[str], None] = print,
    known_as: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Returns the columns of all spans together: `int64`, `double` or `string` by name.

    A column that is text in one span, or a time in one and a number in another, is text in all.

    Args:
        of_spans: DuckDB's types by column, by span, oldest first.
        said: Takes what is told of columns that became wider.
        known_as: What columns were before: where these rows have no value, or whole numbers only, they still are.

    Raises:
        UserError: A column has a type that no model takes, or two names differ in their case only.
    """
    merged: dict[str, str] = {}
    first_seen: dict[str, str] = {}
    for span, columns in of_spans.items():
        for name, raw in columns.items():
            kind, known = _plain_type(name, raw), merged.get(name, _UNKNOWN)
            if known == _UNKNOWN:
                merged[name], first_seen[name] = kind, span
            elif kind not in (_UNKNOWN, known):
                merged[name] = "double" if {kind, known} == {"int64", "double"} else "string"
                if merged[name] == "string":
                    said(f"column {name} is {known} in span {first_seen[name]} and {kind} in span {span}: it is text")
    refuse_alike(list(merged), "the spans have")
    for name, kind in (known_as or {}).items():
        if merged.get(name) == _UNKNOWN or (merged.get(name), kind) == ("int64", "double"):
            merged[name] = kind
    plain = {_UNKNOWN: "string", _MOMENT: "int64"}
    return {name: plain.get(kind, kind) for name, kind in merged.items()}


def moments(of_spans: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Returns the columns that hold dates or times, in the order in which they come.

    Args:
        of_spans: DuckDB's types by column, by span, as `merge_columns` takes them.
    """
    found = [name for columns in of_spans.values() for name, raw in columns.items() if raw.split("(")[0] in MOMENTS]
    return list(dict.fromkeys(found))


def booleans(of_spans: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Returns the columns that hold true and false and nothing else, in the order in which they come.

    Args:
        of_spans: DuckDB's types by column, by span, as `merge_columns` takes them.
    """
    seen: dict[str, set[str]] = {}
    for columns in of_spans.values():
        for name, raw in columns.items():
            seen.setdefault(name, set()).add(raw)
    return [name for name, raws in seen.items() if raws - {'"NULL"'} == {"BOOLEAN"}]


def refuse_alike(names: Sequence[str], what: str, cure: str = "rename one of them in the query") -> None:
    """Checks that names can be told apart by everything that reads the examples.

    Args:
        names: The columns' names.
        what: Whose they are, with a verb, such as "the spans have".
        cure: What to do about two that are alike.

    Raises:
        UserError: Two differ in their case only, or one holds a NUL character, where SQL's names end.
    """
    by_lower: dict[str, str] = {}
    for name in names:
        if "\0" in name:
            raise UserError(f"{what} a column whose name holds a NUL character ({name!r}); rename it")
        if name.lower() in by_lower:
            raise UserError(
                f"{what} both a column {by_lower[name.lower()]} and a column {name}: names must differ in more than "
                f"case; {cure}"
            )
        by_lower[name.lower()] = name


def _plain_type(name: str, raw: str) -> str:
    base = raw.split("(")[0]
    if base in INTEGERS or base in WIDE or base == "BOOLEAN" or _is_whole_decimal(raw):
        return "int64"
    if base in MOMENTS:
        return _MOMENT
    if base in DOUBLES:
        return "double"
    if base in STRINGS:
        return "string"
    if base == '"NULL"':
        return _UNKNOWN
    raise UserError(f"column {name} is {raw}; turn it into numbers or strings in the query")


def _is_whole_decimal(raw: str) -> bool:
    return raw.startswith("DECIMAL") and raw.endswith(",0)")


def typed(name: str, raw: str | None, kind: str) -> str:
    """Returns the SQL that makes a column what the examples hold; it fails where that would round a number.

    Args:
        name: The column.
        raw: DuckDB's type of it; None if this span lacks it.
        kind: `int64`, `double` or `string`.
    """
    target, column = TYPES[kind], quoted(name)
    if raw is None:
        return f"NULL::{target}"
    base = raw.split("(")[0]
    if base in MOMENTS and kind != "string":  # Seconds since 1970, UTC; what is smaller than a second is left out.
        return f"floor(epoch({column}::TIMESTAMP))::{target}"
    if raw in ("FLOAT", "DOUBLE"):  # What is not a number is missing.
        return f"CASE WHEN isfinite({column}) OR isinf({column}) THEN {column}::{target} END"
    if kind == "int64" and (base in WIDE or _is_whole_decimal(raw)):
        fits = f"{column} BETWEEN -9223372036854775808 AND 9223372036854775807"
        return _or_fail(column, fits, target, fails(f"{column}::VARCHAR", name, "wide"))
    if kind == "double" and (base in INTEGERS or base in WIDE):
        exact = f"{column}::DOUBLE::HUGEINT = {column}::HUGEINT"
        return _or_fail(column, exact, target, fails(f"{column}::VARCHAR", name, "inexact"))
    return f"{column}::{target}"


def _or_fail(column: str, test: str, target: str, failure: str) -> str:
    whens = f"WHEN {column} IS NULL THEN NULL WHEN {test} THEN {column}::{target}"
    return f"CASE {whens} ELSE {failure}::{target} END"


def fails(text: str, name: str, kind: str) -> str:
    """Returns the SQL that fails with a column, what it was to be, and a value; `FAILED` reads what it says."""
    return f"error('{MARK}:{name.encode(errors='surrogateescape').hex()}:{kind}:' || {text})"


def quoted(name: str) -> str:
    """Returns the name as SQL wants it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Returns the text as SQL wants it."""
    return "'" + text.replace("'", "''") + "'"
