"""A portion: files that make one table, and what is told of how they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_CSV_FAULTS = ("Error when converting", "Maximum line size", "Invalid unicode", "Expected Number of Columns")
"""How the line begins with which DuckDB says what is wrong in a row, below the one that says which row."""


@dataclass(frozen=True)
class Portion:
    """Files that make one table."""

    name: str
    """The span, or the table that is joined."""
    files: tuple[Path, ...]
    format: str
    """`parquet`, `csv` or `jsonl`."""
    csv_columns: tuple[str, ...] = ()
    """Names for CSV files without a header; empty: their first line is the header."""
    rows: str = ""
    """The SQL of its rows, each column in its type; empty until that is decided."""
    columns: tuple[str, ...] = ()
    """The names of its columns, once that is decided."""
    spellings: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    """A file by spelling, of the columns that the files spell in several ways; by the one that is used."""
    read_as: Mapping[str, str] = field(default_factory=dict)
    """What each column was read as, in the words of `types`, once that is decided."""


@dataclass
class Said:
    """What a run tells of how it read the files: printed, and kept in the manifest."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Tells something, once."""
        if line not in self.lines:
            self.lines.append(line)


def first_line(error: Exception) -> str:
    """Returns what DuckDB says, without its drawing of where, and with the column that could not be converted."""
    lines = [line.strip() for line in str(error).strip().split("\n")]
    return ". ".join([lines[0].rstrip("."), *(line for line in lines[1:] if line.startswith(_CSV_FAULTS))])
