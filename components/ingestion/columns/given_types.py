"""What a user says that columns are: `{zip: string, joined: timestamp, day: "date %d.%m.%Y", price: double comma}`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.columns.text_values import (
    BOOLEAN,
    COMMA,
    DATE,
    DOUBLE,
    INT64,
    MISSING_WORDS,
    TEXT,
    TIMESTAMP,
    Asked,
)

_NAMES = {
    TEXT: ("string", "text", "str", "varchar", "bytes"),
    INT64: ("int64", "int", "integer", "bigint"),
    DOUBLE: ("double", "float", "float64", "number"),
    BOOLEAN: ("boolean", "bool"),
    TIMESTAMP: ("timestamp", "datetime"),
    DATE: ("date",),
}
"""What each type may be called."""

TYPES = "types"
"""Who says what a column is, where the user does."""

_KINDS = {name: kind for kind, names in _NAMES.items() for name in names}


@dataclass(frozen=True)
class Reading:
    """How the values of files are to be read."""

    types: Mapping[str, Asked] = field(default_factory=dict)
    """By column; empty where the values themselves decide."""
    missing: tuple[str, ...] | None = None
    """Words that stand for a missing value in every column; None: `MISSING_WORDS`, but not in columns of text."""

    @property
    def words(self) -> tuple[str, ...]:
        """Words that stand for a missing value in columns that are no text."""
        return MISSING_WORDS if self.missing is None else self.missing

    def of(self, name: str) -> Asked | None:
        """Returns what a column is said to be, whatever the case of its name."""
        return self.types.get(name) or next(
            (one for key, one in self.types.items() if key.lower() == name.lower()), None
        )

    def without(self, names: Collection[str]) -> Reading:
        """Returns the reading in which nothing is said of these columns."""
        lower = {name.lower() for name in names}
        return Reading({name: one for name, one in self.types.items() if name.lower() not in lower}, self.missing)


def read_types(given: Mapping[str, str] | str) -> dict[str, Asked]:
    """Returns what each column is said to be.

    Args:
        given: A type by column, or that as a JSON object.

    Raises:
        UserError: It is no mapping, or names a type that is not known.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else {}
        except ValueError as error:
            raise UserError(f'types: is no JSON object such as {{"zip": "string"}}: {error}') from error
    if not isinstance(given, Mapping):
        raise UserError('types: say a type by column, such as {"zip": "string", "joined": "timestamp"}')
    return {str(name): _asked(str(name), what) for name, what in given.items()}


def _asked(name: str, what: object) -> Asked:
    word, _, form = str(what).strip().partition(" ")
    kind, form = _KINDS.get(word.lower(), ""), form.strip()
    known = ", ".join(_NAMES)
    if not isinstance(what, str) or not kind:
        raise UserError(f"types: {name} is to be {what!r}; say one of {known}")
    if form and not (form == COMMA if kind == DOUBLE else kind in (TIMESTAMP, DATE) and "%" in form):
        raise UserError(
            f"types: {name} is to be {what!r}; only a time takes a format ('date %d.%m.%Y'), and a double 'comma'"
        )
    return Asked(kind, form)


def contradicted(name: str, kind: str, by: str) -> str:
    """Returns what a value contradicts, and what to do about it.

    Args:
        name: The column.
        kind: What it was said to be.
        by: Who said it.
    """
    if by == TYPES:
        return f"types says that it is {kind}; mend the value or say another type"
    cure = f"or say accept={name} if the column is to be otherwise from now on"
    return f"by {by} it is {kind}; mend the value, {cure}"


def refuse_unknown(types: Mapping[str, Asked], columns: Sequence[str]) -> None:
    """Checks that each column that somebody named is one.

    Raises:
        UserError: A name of `types` is no column of the source or of a table.
    """
    known = {name.lower() for name in columns}
    for name, asked in types.items():
        if asked.by == TYPES and name.lower() not in known:
            raise UserError(f"types: {name} is no column; there are {', '.join(columns)}")
