"""What separates the values of CSV files: read off their first lines.

DuckDB would find it by itself, but takes a file that was cut in the middle of a row for one of a single column.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path

from mainspring.components.common.errors import UserError

SEPARATORS = (",", ";", "\t", "|")
HEAD = 1 << 20
"""Bytes of a file in which its first line is looked for."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def separator(files: Sequence[Path], columns: int = 0) -> str:
    """Returns what separates the files' values; a comma if their first lines hold none of `SEPARATORS`.

    Args:
        files: CSV files, plain or gzip, in UTF-8.
        columns: How many columns they are said to have; 0: as many as the first line names.

    Raises:
        UserError: The files differ, or begin with an empty line.
    """
    found: dict[str, Path] = {}
    for file in files:
        if mark := _separator(_first_line(file, columns), columns):
            found.setdefault(mark, file)
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise UserError(
            f"{second}: its values are separated by {other!r}, those of {first} by {one!r}; use one for all"
        )
    return next(iter(found), SEPARATORS[0])


def _separator(line: str, columns: int) -> str:
    counts = {mark: line.count(mark) for mark in SEPARATORS if mark in line}
    fitting = [mark for mark, count in counts.items() if count == columns - 1]
    return max(fitting or counts, key=lambda mark: counts[mark], default="")


def _first_line(file: Path, columns: int) -> str:
    """Returns the first line without what stands in quotes."""
    try:
        with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as opened:
            head = opened.read(HEAD)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    line = next(iter(_QUOTED.sub('""', head.decode(errors="replace")).removeprefix("\ufeff").splitlines()), "")
    if head and not line.strip() and columns != 1:
        raise UserError(f"{file}: its first line is empty; the columns' names or values must stand there")
    return line
