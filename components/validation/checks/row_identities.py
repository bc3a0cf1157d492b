"""Rows told apart by 64-bit numbers: how often rows repeat, and which keys lie in train and in eval."""

from __future__ import annotations

import os
from collections.abc import Sequence
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


def read(paths: Sequence[Path], key: Sequence[str]) -> list[Identities]:
    """Reads the files, several pieces at a time; the numbers compare within one process only."""
    cut = {path: pieces(path) for path in paths}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        futures = {path: [threads.submit(_of_piece, piece, key) for piece in parts] for path, parts in cut.items()}
        return [
            Identities(
                path,
                np.concatenate([future.result()[0] for future in found]),
                np.concatenate([future.result()[1] for future in found]),
            )
            for path, found in futures.items()
        ]


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


def _of_piece(piece: Piece, key: Sequence[str]) -> tuple[Numbers, Numbers]:
    rows, keys = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for batch in batches(piece):
        columns = {name: _of_column(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
        rows.append(_mixed(list(columns.values()), batch.num_rows))
        if key:
            keys.append(_mixed([columns[name] for name in key], batch.num_rows))
    return np.concatenate(rows), np.concatenate(keys)


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
