"""The types of columns: DuckDB's many, and the examples' three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mainspring.components.common.errors import UserError

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "BOOLEAN"}
_DOUBLES = {"FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT", "DECIMAL"}
_STRINGS = {"VARCHAR", "UUID", "TIME", "INTERVAL", "ENUM"}
_MOMENTS = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
TYPES = {"int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}
PLAIN = _INTEGERS | _DOUBLES | _STRINGS | _MOMENTS
_UNKNOWN = "unknown"
"""The type of a column that is null in all rows of a span."""
_MOMENT = "a date or time"


def merge_columns(of_spans: Mapping[str, Mapping[str, str]], what: str = "span") -> dict[str, str]:
    """Returns the columns of all spans together: `int64`, `double` or `string` by name.

    Args:
        of_spans: DuckDB's types by column, by span, oldest first.
        what: What the portions are, in an error.

    Raises:
        UserError: A column has a type that no model takes, or is text, numbers and moments in different spans.
    """
    merged: dict[str, str] = {}
    first_seen: dict[str, str] = {}
    for span, columns in of_spans.items():
        for name, raw in columns.items():
            kind, known = _plain_type(name, raw), merged.get(name, _UNKNOWN)
            if _UNKNOWN not in (kind, known) and kind != known and {kind, known} != {"int64", "double"}:
                raise UserError(
                    f"column {name} is {known} in {what} {first_seen[name]} but {kind} in {what} {span}; "
                    "cast it in the query"
                )
            if kind != _UNKNOWN and known == _UNKNOWN:
                merged[name], first_seen[name] = kind, span
            else:
                merged[name] = "double" if {kind, known} == {"int64", "double"} else known
    refuse_alike(list(merged), f"the {what}s have")
    plain = {_UNKNOWN: "string", _MOMENT: "int64"}
    return {name: plain.get(kind, kind) for name, kind in merged.items()}


def moments(of_spans: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Returns the columns that hold dates or times, in the order in which they come.

    Args:
        of_spans: DuckDB's types by column, by span, as `merge_columns` takes them.
    """
    found = [name for columns in of_spans.values() for name, raw in columns.items() if raw.split("(")[0] in _MOMENTS]
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
    if base in _INTEGERS:
        return "int64"
    if base in _MOMENTS:
        return _MOMENT
    if base in _DOUBLES:
        return "double"
    if base in _STRINGS:
        return "string"
    if base == '"NULL"':
        return _UNKNOWN
    raise UserError(f"column {name} is {raw}; turn it into numbers or strings in the query")


def typed(name: str, raw: str | None, kind: str) -> str:
    """Returns the SQL that makes a column what the examples hold.

    Args:
        name: The column.
        raw: DuckDB's type of it; None if this span lacks it.
        kind: `int64`, `double` or `string`.
    """
    target = TYPES[kind]
    if raw is None:
        return f"NULL::{target}"
    if raw.split("(")[0] in _MOMENTS:  # Seconds since 1970, UTC.
        return f"epoch({quoted(name)}::TIMESTAMP)::{target}"
    if raw in ("FLOAT", "DOUBLE"):  # What is not a number is missing.
        return f"CASE WHEN NOT isnan({quoted(name)}) THEN {quoted(name)}::{target} END"
    return f"{quoted(name)}::{target}"


def quoted(name: str) -> str:
    """Returns the name as SQL wants it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Returns the text as SQL wants it."""
    return "'" + text.replace("'", "''") + "'"
