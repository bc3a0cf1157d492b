"""Which class a label's or an answer's text names: the class as spelled, or another spelling of the same number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import duckdb

from mainspring.components.monitoring.logs.traffic import literal

TRUTHS = {"true": 1.0, "false": 0.0}
"""JSON's words for truth values are 1 and 0, and the classes True and False are them; yes and no are words."""

_NUMBER = r"[+-]?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?"
"""A code such as 05 is no other spelling of 5."""


def declare(connection: duckdb.DuckDBPyConnection, classes: Sequence[str]) -> None:
    """Makes the type that `index_of` needs."""
    if classes:
        names = ", ".join(map(literal, classes))
        connection.execute(f"CREATE TYPE classes AS ENUM ({names})")


def index_of(text: str, classes: Sequence[str]) -> str:
    """Returns SQL for the index of the class that a text names, as a double; null where it names none.

    Args:
        text: SQL that gives a text.
        classes: The model's; empty: the text is the number itself.
    """
    if not classes:
        number = f"try_cast({text} AS DOUBLE)"
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    exact = f"enum_code(try_cast({text} AS classes))::DOUBLE"
    numbers = [_number(name) for name in classes]
    alike = {number for number, count in Counter(numbers).items() if count > 1}
    known = {number: index for index, number in enumerate(numbers) if number is not None and number not in alike}
    if not known:
        return exact
    words = "".join(f" WHEN {literal(word)} THEN {number}" for word, number in TRUTHS.items())
    number = f"CASE lower({text}){words} ELSE {_decimal(text)} END"
    places = f"list_position([{', '.join(f'{number!r}::DOUBLE' for number in known)}], {number})"
    indices = f"[{', '.join(map(str, known.values()))}]"
    return f"coalesce({exact}, {indices}[{places}]::DOUBLE)"


def _decimal(text: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN try_cast({text} AS DOUBLE) END"


def _number(name: str) -> float | None:
    if name.lower() in TRUTHS:
        return TRUTHS[name.lower()]
    try:
        number = float(name)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in name and name == name.strip() else None
