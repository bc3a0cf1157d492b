"""What is wrong in a text file that DuckDB does not read: the line, and which of the possible faults it is."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.formats.csv_separator import separator

_LONG = 10_000_000
"""Characters that one value may have here; DuckDB refuses rows of two million bytes by itself."""

_SHOWN = 60


def refuse_csv(file: Path, names: list[str], headed: bool) -> None:
    """Raises what is wrong in the first faulty row; returns if each row has as many values as there are columns.

    Raises:
        UserError: A row has too many or too few values, a quote is not closed, or a line is not in UTF-8.
    """
    mark = separator([file], 0 if headed else len(names))
    csv.field_size_limit(_LONG)
    reader = csv.reader(_lines(file, mark, names), delimiter=mark, strict=True)
    begins = 1
    try:
        for row in reader:
            if row and len(row) != len(names):
                raise UserError(_miscounted(file, begins, reader.line_num, row, names))
            begins = reader.line_num + 1
    except csv.Error as error:
        cause = "a quote is not closed" if "unexpected end" in str(error) else f"its quotes are wrong ({error})"
        raise UserError(
            f'{file}: line {begins:,}: {cause}; a value with a quote in it is written as "a ""b"""'
        ) from error


def refuse_json_lines(file: Path) -> None:
    """Raises what is wrong in the first line that is no JSON object; returns if there is none.

    Raises:
        UserError: A line is no JSON, no object, or not in UTF-8.
    """
    with _opened(file) as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{file}: line {number:,} is not in UTF-8; name its encoding") from error
            if not text.strip():
                continue
            try:
                found = json.loads(text)
            except ValueError as error:
                raise UserError(f"{file}: line {number:,} is no JSON: {error}: {text.strip()[:_SHOWN]!r}") from error
            if not isinstance(found, dict):
                raise UserError(f"{file}: line {number:,} is no JSON object: {text.strip()[:_SHOWN]!r}")


def line_of_row(file: Path, names: list[str], headed: bool, row: int) -> int:
    """Returns the line on which a CSV file's row begins; rows count from one, below the header."""
    mark = separator([file], 0 if headed else len(names))
    csv.field_size_limit(_LONG)
    reader = csv.reader(_lines(file, mark, names), delimiter=mark)
    left, begins = row + headed, 1
    for values in reader:
        left -= bool(values)
        if not left:
            return begins
        begins = reader.line_num + 1
    return begins


def _miscounted(file: Path, begins: int, ends: int, row: list[str], names: list[str]) -> str:
    said = f"{file}: line {begins:,} has {len(row)} value{'s' * (len(row) != 1)} where there are {len(names)} columns"
    if ends > begins:
        return f"{said}: a quote opens there and closes on line {ends:,}"
    if len(row) < len(names):
        return f"{said}: column {names[len(row)]} and what follows are not there"
    return f"{said}: {row[len(names)][:_SHOWN]!r} stands behind column {names[-1]}"


def _lines(file: Path, mark: str, names: list[str]) -> Iterator[str]:
    with _opened(file) as lines:
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                place = line[: error.start].count(mark.encode())
                column = f", column {names[place]}" if place < len(names) else ""
                byte = f"byte 0x{line[error.start]:02x}"
                raise UserError(
                    f"{file}: line {number:,}{column} is not in UTF-8 ({byte}); name its encoding"
                ) from error
            yield from _apart(text)


def _apart(text: str) -> Iterator[str]:
    """Yields the lines of a text in which some may end in a carriage return alone, each with its end."""
    while text:
        place = text.find("\r")
        if place < 0 or place == len(text) - 1 or text[place:] == "\r\n":
            yield text
            return
        yield text[: place + 1]
        text = text[place + 1 :]


def _opened(file: Path) -> BinaryIO:
    return gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb")  # type: ignore[return-value]
