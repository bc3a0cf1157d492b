"""CSV files as DuckDB reads them: every value as it is spelled, under the names of the first line."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.columns.column_types import literal
from mainspring.components.ingestion.formats.column_names import own_names
from mainspring.components.ingestion.formats.csv_separator import HEAD, separator
from mainspring.components.ingestion.sources.file import exactly

_TRIED = 1_000
"""Rows by which it is decided whether a backslash escapes a quote."""


def names_of(file: Path, csv_columns: Sequence[str]) -> list[str]:
    """Returns the names of a file's columns; one that the first line leaves empty is named by its place.

    Raises:
        UserError: `csv_columns` names more or fewer columns than there are.
    """
    found = own_names(file, "csv")
    if not csv_columns:
        return [name or f"column{place}" for place, name in enumerate(found)]
    if found and len(found) != len(csv_columns):
        said = f"csv_columns names {len(csv_columns)} columns, {file} has {len(found)}"
        raise UserError(f"{said}; name each of them")
    return list(csv_columns)


def reading(files: Sequence[Path], names: Sequence[str], headed: bool, lenient: bool) -> str:
    """Returns the SQL that reads files of the same columns.

    Args:
        files: In UTF-8, plain or gzip, with the same columns in the same order.
        names: The columns.
        headed: Whether their first lines are no rows.
        lenient: Whether rows may end in several ways; for files in which nothing else was found wrong.
    """
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    mark = separator(files, 0 if headed else len(names))
    escape = "\\" if any(_has_escaping_backslashes(file, mark, len(names)) for file in files[:1]) else '"'
    options = f"auto_detect = false, header = {str(headed).lower()}, delim = {literal(mark)}, quote = '\"'"
    options += f", escape = {literal(escape)}, nullstr = '', skip = 0, comment = '', hive_partitioning = false"
    options += f", strict_mode = {str(not lenient).lower()}, columns = {{{columns}}}"
    return f"read_csv([{', '.join(literal(exactly(file)) for file in files)}], {options})"


def _has_escaping_backslashes(file: Path, mark: str, columns: int) -> bool:
    """Returns whether the first rows have as many values as there are columns only if a backslash escapes a quote."""
    with gzip.open(file) if file.name.lower().endswith(".gz") else file.open("rb") as opened:
        head = opened.read(HEAD)
    if b'\\"' not in head:
        return False
    text = head.decode(errors="replace").removeprefix("\ufeff")

    def fits(**dialect: object) -> bool:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark, **dialect)  # type: ignore[arg-type]
        try:
            rows = list(islice(lines, _TRIED + 1))
        except csv.Error:
            return False
        whole = rows if len(rows) <= _TRIED and len(head) < HEAD else rows[:-1]
        return all(len(row) == columns for row in whole if row)

    return not fits(strict=True) and fits(doublequote=False, escapechar="\\")
