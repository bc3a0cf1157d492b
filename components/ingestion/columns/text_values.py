"""What a value that is spelled as text stands for: the one rule by which all rows of a column decide its type.

A word is a number only where writing the number again gives the word, but for zeros at the end of a fraction. So codes
stay text: `007`, `1E5`, `0x1F`, `1_000`, `+49`, and whole numbers that no int64 holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from mainspring.components.ingestion.columns.column_types import fails, literal

MISSING_WORDS = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
"""What stands for a missing value beside numbers, booleans and times; in a column of text they are text."""

ALWAYS_MISSING = ("NaN", "nan")
"""Not a number is missing whatever list of words is given."""

_WHOLE = r"(?:0|-?[1-9][0-9]{0,17})"
_FRACTION = r"-?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?"
_ENDS_IN_POINT = r"-?(?:0|[1-9][0-9]*)\.(?:[eE][-+]?[0-9]+)?"
_SIGNED_EXPONENT = r"-?(?:0|[1-9][0-9]*)[eE][-+][0-9]+"
_DOUBLE = f"(?:{_FRACTION}|{_ENDS_IN_POINT}|{_SIGNED_EXPONENT})"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ZONE = r"(?:Z|[-+][0-9]{2}(?::?[0-9]{2})?| UTC)"
_MOMENT = rf"{_DATE}[ T][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,9}})?)?{_ZONE}?"

BOOLEAN, INT64, DOUBLE, DATE, TIMESTAMP, ZONED, TEXT, EMPTY = (
    "boolean",
    "int64",
    "double",
    "date",
    "timestamp",
    "zoned timestamp",
    "string",
    "empty",
)
SQL_TYPES = {
    BOOLEAN: "BOOLEAN",
    INT64: "BIGINT",
    DOUBLE: "DOUBLE",
    DATE: "DATE",
    TIMESTAMP: "TIMESTAMP",
    ZONED: "TIMESTAMP WITH TIME ZONE",
    TEXT: "VARCHAR",
}
"""DuckDB's type of a column of each kind."""


TRUE_WORDS, FALSE_WORDS = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
"""What a column that is said to be boolean may hold, in any case."""

COMMA = "comma"
_DECIMAL_COMMA = r"-?(?:[0-9]{1,3}(?:[.][0-9]{3})+|[0-9]+)(?:,[0-9]+)?"


@dataclass(frozen=True)
class Asked:
    """What somebody said that a column is."""

    kind: str
    """`string`, `int64`, `double`, `boolean`, `timestamp` or `date`."""
    form: str = ""
    """`comma` for a number with a decimal comma; for a time, its format as `strptime` has it; else empty."""
    by: str = "types"
    """Who said it, for a refusal."""

    @property
    def told(self) -> str:
        """Kind and who said it, as a failure of SQL carries them."""
        return f"{self.kind}|{self.by}"


@dataclass(frozen=True)
class Value:
    """A value as SQL reaches it in a file of text."""

    text: str
    """SQL of the value as spelled; null where it is missing."""
    quoted: str = ""
    """SQL that says whether a value is a string of JSON; empty for CSV, where quotes mean nothing."""
    nested: str = ""
    """SQL that says whether a value of JSON is a list or an object."""


@dataclass(frozen=True)
class Evidence:
    """What the values of a column are; the evidence of two files adds up."""

    values: int = 0
    missing: int = 0
    """Words for missing."""
    booleans: int = 0
    wholes: int = 0
    inexact: int = 0
    """Whole numbers that no double holds."""
    doubles: int = 0
    infinite: int = 0
    dates: int = 0
    moments: int = 0
    """Dates with a time of day."""
    zoned: int = 0
    """Of these, the ones with a zone."""
    nested: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        """Returns the evidence of both files together."""
        return Evidence(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Evidence)))

    @property
    def kind(self) -> str:
        """The narrowest kind that holds every value as it is spelled."""
        known = self.values - self.missing
        if not known:
            return EMPTY
        if self.booleans == known:
            return BOOLEAN
        if self.wholes == known:
            return INT64
        if self.wholes + self.doubles + self.infinite == known and self.wholes + self.doubles and not self.inexact:
            return DOUBLE
        if self.dates + self.moments == known:
            return ZONED if self.zoned else TIMESTAMP if self.moments else DATE
        return TEXT


def is_of_moments(kind: str) -> bool:
    """Returns whether a kind is of dates or times."""
    return kind in (DATE, TIMESTAMP, ZONED)


def evidence(value: Value, words: Sequence[str]) -> list[str]:
    """Returns the aggregates that count a column's evidence, in the order of its fields."""
    is_nested = value.nested or "false"
    return [
        f"count({value.text})",
        *(
            f"count(*) FILTER ({test})"
            for test in (
                _missing(value, words),
                _boolean(value),
                _whole(value),
                _inexact(value),
                _double(value),
                _infinite(value),
                _date(value),
                _moment(value),
                f"{_moment(value)} AND {_matches(value.text, f'.*{_ZONE}')}",
                is_nested,
            )
        ),
    ]


def cast(value: Value, kind: str, words: Sequence[str], name: str) -> str:
    """Returns the SQL that reads a value as this kind, and fails where it is none, as `FAILED` reads it.

    Args:
        value: The value.
        kind: From `Evidence.kind`.
        words: For missing, in columns that are no text.
        name: Of the column, for the error.
    """
    if kind == TEXT:
        nested = f"CASE WHEN {value.nested} THEN {fails(value.text, name, 'nested')} ELSE {value.text} END"
        return nested if value.nested else value.text
    target = SQL_TYPES.get(kind, "VARCHAR")
    tests = {
        BOOLEAN: (_boolean(value),),
        INT64: (_whole(value),),
        DOUBLE: (_double(value), f"{_whole(value)} AND NOT {_inexact(value)}", _infinite(value)),
        DATE: (_date(value),),
        TIMESTAMP: (f"({_date(value)} OR {_moment(value)}) AND NOT {_matches(value.text, f'.*:.*{_ZONE}')}",),
        ZONED: (f"({_date(value)} OR {_moment(value)})",),
        EMPTY: (),
    }[kind]
    whens = " ".join(f"WHEN {test} THEN CAST({value.text} AS {target})" for test in tests)
    missing = f"WHEN {value.text} IS NULL OR {_missing(value, words)} THEN NULL"
    return f"CASE {whens} {missing} ELSE {fails(value.text, name, kind)}::{target} END"


def asked_cast(value: Value, asked: Asked, words: Sequence[str], name: str) -> str:
    """Returns the SQL that reads a value as somebody said that it is, and fails where it cannot be that."""
    text = value.text
    if asked.kind == TEXT:
        return cast(value, TEXT, words, name)
    target = SQL_TYPES[asked.kind]
    whole = f"TRY_CAST(regexp_replace({text}, '[.]0*$', '') AS BIGINT)"
    number = f"TRY_CAST({text} AS DOUBLE)"
    decimal_comma = f"TRY_CAST(replace(replace({text}, '.', ''), ',', '.') AS DOUBLE)"
    test, read = {
        INT64: (f"{_matches(text, '[-+]?[0-9]+(?:[.]0*)?')} AND {whole} IS NOT NULL", whole),
        DOUBLE: (f"NOT contains({text}, '_') AND {number} IS NOT NULL AND NOT isnan({number})", number),
        BOOLEAN: (
            _matches(text, f"(?i:{_any_of((*TRUE_WORDS, *FALSE_WORDS))})"),
            _matches(text, f"(?i:{_any_of(TRUE_WORDS)})"),
        ),
        TIMESTAMP: (
            f"{_matches(text, f'{_DATE}|{_MOMENT}')} AND TRY_CAST({text} AS TIMESTAMP WITH TIME ZONE) IS NOT NULL",
            f"CAST({text} AS TIMESTAMP WITH TIME ZONE)::TIMESTAMP",
        ),
        DATE: (f"{_matches(text, _DATE)} AND TRY_CAST({text} AS DATE) IS NOT NULL", f"CAST({text} AS DATE)"),
    }[asked.kind]
    if asked.form == COMMA:
        test, read = f"{_matches(text, _DECIMAL_COMMA)} AND {decimal_comma} IS NOT NULL", decimal_comma
    elif asked.form:
        read = f"try_strptime({text}, {literal(asked.form)})"
        test, read = f"{read} IS NOT NULL", f"{read}::{target}"
    missing = f"WHEN {text} IS NULL OR {_missing(value, words)} THEN NULL"
    return f"CASE {missing} WHEN {test} THEN {read} ELSE {fails(text, name, asked.told)}::{target} END"


def looks_like_decimal_comma(text: str) -> str:
    """Returns the SQL that says whether a text is a number with a decimal comma."""
    return _matches(text, _DECIMAL_COMMA)


def looks_like_day_first(text: str) -> str:
    """Returns the SQL that says whether a text is a date that is no ISO 8601."""
    return _matches(text, r"[0-9]{1,2}[./-][0-9]{1,2}[./-](?:[0-9]{2}|[0-9]{4})(?: .*)?")


def _any_of(words: Sequence[str]) -> str:
    """Returns the pattern of any of these words; one function takes far less memory than SQL's IN."""
    return "|".join(re.escape(word) for word in dict.fromkeys(words))


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"


def _missing(value: Value, words: Sequence[str]) -> str:
    return _matches(value.text, _any_of(("", *words, *ALWAYS_MISSING)))


def _bare(value: Value, test: str) -> str:
    return f"(NOT {value.quoted} AND {test})" if value.quoted else f"({test})"


def _boolean(value: Value) -> str:
    return _bare(value, _matches(value.text, "(?i:true|false)"))


def _whole(value: Value) -> str:
    nineteen = f"length({value.text}) BETWEEN 19 AND 20 AND TRY_CAST({value.text} AS BIGINT)::VARCHAR = {value.text}"
    return _bare(value, f"{_matches(value.text, _WHOLE)} OR ({nineteen})")


def _inexact(value: Value) -> str:
    number = f"TRY_CAST({value.text} AS BIGINT)"
    return f"(length({value.text}) >= 16 AND {_whole(value)} AND {number}::DOUBLE::HUGEINT <> {number})"


def _double(value: Value) -> str:
    finite = f"isfinite(TRY_CAST({value.text} AS DOUBLE))"
    return _bare(value, f"{_matches(value.text, _DOUBLE)} AND {finite}")


def _infinite(value: Value) -> str:
    return _bare(value, _matches(value.text, "(?i:[-+]?inf(?:inity)?)"))


def _of_text(value: Value, test: str) -> str:
    return f"({value.quoted} AND {test})" if value.quoted else f"({test})"


def _date(value: Value) -> str:
    return _of_text(value, f"{_matches(value.text, _DATE)} AND TRY_CAST({value.text} AS DATE) IS NOT NULL")


def _moment(value: Value) -> str:
    possible = f"TRY_CAST({value.text} AS TIMESTAMP WITH TIME ZONE) IS NOT NULL"
    return _of_text(value, f"{_matches(value.text, _MOMENT)} AND {possible}")
