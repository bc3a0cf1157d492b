"""Rows told apart by 64-bit numbers: how often rows repeat, and which keys lie in train and in eval."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mainspring.components.common.errors import UserError
from mainspring.components.statistics.span_statistics import Piece, batches, pieces

Numbers = npt.NDArray[np.uint64]

_MISSING = np.uint64(0x9AE16A3B2F90404F)
"""What a missing value is told by: null and 0 are different."""

MOST_OF_A_COLUMN = 20_000
"""About how many of a column's different values are counted at most: enough to see one in a thousand that repeats."""

MOST_OF_ALL = 2_000_000
"""About how many values of all columns together are counted at most."""


@dataclass(frozen=True)
class Identities:
    """A number for each row of a file; equal rows have equal numbers.

    Different rows have different ones but by accident: among 10 million rows with a probability of 3e-6.
    """

    path: Path
    rows: Numbers
    """Over all columns."""
    keys: Numbers
    """Over the key's columns; empty if there is no key."""
    empty: npt.NDArray[np.int64]
    """The rows without a value in any column, by their place, counted from 0."""
    values: Mapping[str, tuple[Numbers, npt.NDArray[np.int64]]]
    """Of whole numbers and text: some of the column's values, and how often each is there."""
    limit: float
    """The share of all values that is counted, 0 to 1."""


def read(paths: Sequence[Path], key: Sequence[str], limit: float = 1.0) -> list[Identities]:
    """Reads the files, several pieces at a time; the numbers compare within one process only.

    Args:
        paths: Parquet files.
        key: Columns that identify what a row is about; empty: none.
        limit: The share of a column's different values that is counted; see `limit_for`.
    """
    cut = {path: pieces(path) for path in paths}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        futures = {
            path: [threads.submit(_of_piece, piece, key, limit) for piece in parts] for path, parts in cut.items()
        }
        return [_joined(path, [future.result() for future in found]) for path, found in futures.items()]


def limit_for(rows: int, columns: int) -> float:
    """Returns the share of a column's values to count, so that all columns together take little memory."""
    return min(1.0, min(MOST_OF_A_COLUMN, MOST_OF_ALL / max(1, columns)) / max(1, rows))


@dataclass(frozen=True)
class Repetition:
    """How often a column's values repeat."""

    different: float
    """About how many different values there are; exactly, where all were counted."""
    rows: float
    """About how many rows have a value."""

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.different == self.rows


def repetition(found: Sequence[Identities]) -> dict[str, Repetition]:
    """Returns how often the values of each column of whole numbers and of text repeat, over all files."""
    names = dict.fromkeys(name for one in found for name in one.values)
    return {name: _repetition([(one.values[name], one.limit) for one in found if name in one.values]) for name in names}


def _repetition(parts: Sequence[tuple[tuple[Numbers, npt.NDArray[np.int64]], float]]) -> Repetition:
    values = np.unique(np.concatenate([numbers for (numbers, _), _ in parts]))
    rows, limit = sum(int(counts.sum()) for (_, counts), _ in parts), parts[0][1]
    return Repetition(len(values) / limit, rows / limit)


def _joined(path: Path, parts: Sequence[_Part]) -> Identities:
    starts = np.cumsum([0, *(len(part.rows) for part in parts)])
    empty = [part.empty + start for part, start in zip(parts, starts, strict=False)]
    names = dict.fromkeys(name for part in parts for name in part.values)
    return Identities(
        path,
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.keys for part in parts]),
        np.concatenate(empty),
        {name: _added([part.values[name] for part in parts if name in part.values]) for name in names},
        parts[0].limit,
    )


def repeated(numbers: Sequence[Numbers]) -> tuple[int, Numbers]:
    """Returns how many rows repeat an earlier one, and the numbers of those that do."""
    joined = np.sort(np.concatenate(numbers)) if numbers else np.empty(0, np.uint64)
    again = joined[1:][joined[1:] == joined[:-1]]
    return len(again), np.unique(again)


def shared(left: Sequence[Numbers], right: Sequence[Numbers]) -> Numbers:
    """Returns the numbers that are on both sides."""
    if not left or not right:
        return np.empty(0, np.uint64)
    return np.intersect1d(np.unique(np.concatenate(left)), np.unique(np.concatenate(right)), assume_unique=True)


def refuse_unknown_key(key: Sequence[str], columns: Sequence[str]) -> None:
    """Checks that the key's columns are there.

    Raises:
        UserError: One is not.
    """
    for name in key:
        if name not in columns:
            raise UserError(f"key={name!r} is not a column of the examples; the columns are {', '.join(columns)}")


@dataclass(frozen=True)
class _Part:
    """As `Identities`, of a piece of a file."""

    rows: Numbers
    keys: Numbers
    empty: npt.NDArray[np.int64]
    values: dict[str, tuple[Numbers, npt.NDArray[np.int64]]]
    limit: float


def _of_piece(piece: Piece, key: Sequence[str], limit: float) -> _Part:
    rows, keys, empty = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    values: dict[str, list[tuple[Numbers, npt.NDArray[np.int64]]]] = {}
    place = 0
    for batch in batches(piece):
        columns = {name: _of_column(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
        rows.append(_mixed(list(columns.values()), batch.num_rows))
        if key:
            keys.append(_mixed([columns[name] for name in key], batch.num_rows))
        if all(column.null_count for column in batch.columns):
            nothing = np.logical_and.reduce(
                [column.is_null().to_numpy(zero_copy_only=False) for column in batch.columns]
            )
            empty.append(np.flatnonzero(nothing) + place)
        for field in batch.schema:
            if not pa.types.is_floating(field.type):
                values.setdefault(field.name, []).append(_counted(columns[field.name], limit))
        place += batch.num_rows
    counted = {name: _added(found) for name, found in values.items()}
    return _Part(np.concatenate(rows), np.concatenate(keys), np.concatenate(empty), counted, limit)


def _counted(numbers: Numbers, limit: float) -> tuple[Numbers, npt.NDArray[np.int64]]:
    there = numbers[numbers != _MISSING]
    if limit < 1:
        there = there[there < np.uint64(limit * 2**64)]
    values, counts = np.unique(there, return_counts=True)
    return values, counts


def _added(parts: Sequence[tuple[Numbers, npt.NDArray[np.int64]]]) -> tuple[Numbers, npt.NDArray[np.int64]]:
    if len(parts) == 1:
        return parts[0]
    values, places = np.unique(np.concatenate([numbers for numbers, _ in parts]), return_inverse=True)
    counts = np.bincount(places, np.concatenate([counts for _, counts in parts]), len(values)).astype(np.int64)
    return values, counts


def _of_column(values: pa.Array) -> Numbers:
    missing = values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        encoded = values.dictionary_encode()
        # Python's own hash is 64 bits wide and keyed anew for each process.
        words = np.array([hash(text) for text in encoded.dictionary.to_pylist()] or [0], np.int64).view(np.uint64)
        numbers = words[encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    else:
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    return np.where(missing, _MISSING, _scrambled(numbers))


def _mixed(columns: Sequence[Numbers], rows: int) -> Numbers:
    mixed = np.zeros(rows, np.uint64)
    for column in columns:
        mixed = _scrambled(mixed * np.uint64(31) + column)
    return mixed


def _scrambled(numbers: Numbers) -> Numbers:
    """Spreads each bit over all others: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
