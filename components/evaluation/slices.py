"""Slices: the rows that share a value of a feature, or of several features together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MISSING = ""
"""How a missing value is written in a slice."""


@dataclass(frozen=True)
class Slice:
    """Some of the scored rows."""

    values: Mapping[str, str]
    """Value by feature; empty: all rows."""
    indices: NDArray[np.int64]
    """Positions of its rows."""


def slices_of(
    columns: Mapping[str, pa.DictionaryArray], features: Sequence[str], min_rows: int
) -> tuple[list[Slice], int]:
    """Returns the slices with at least `min_rows` rows, by value, and how many others there are.

    Args:
        columns: By feature, its value in each row.
        features: One feature, or several to cross.
        min_rows: Smallest number of rows worth measuring.
    """
    codes, names = _codes(columns[features[0]])
    values = [(name,) for name in names]
    for feature in features[1:]:
        more, more_names = _codes(columns[feature])
        # Renumbered at each step: the product of many dictionaries' sizes would not fit an int64.
        used, codes = np.unique(codes * len(more_names) + more, return_inverse=True)
        values = [(*values[code // len(more_names)], more_names[code % len(more_names)]) for code in used]
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(values))
    ends = np.cumsum(counts)
    kept = sorted((value, code) for code, value in enumerate(values) if counts[code] >= min_rows)
    found = [
        Slice(dict(zip(features, value, strict=True)), order[ends[code] - counts[code] : ends[code]])
        for value, code in kept
    ]
    return found, int(np.count_nonzero(counts)) - len(found)


def described(values: Mapping[str, str]) -> str:
    """Returns a slice in words, such as `carrier UA, origin EWR`; all rows are `overall`."""
    return ", ".join(f"{feature} {value or '(missing)'}" for feature, value in values.items()) or "overall"


def _codes(column: pa.DictionaryArray) -> tuple[NDArray[np.int64], list[str]]:
    names = [MISSING if name is None else name for name in column.dictionary.to_pylist()]
    codes = column.indices.fill_null(len(names)).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, [*names, MISSING]


def random_parts(rows: int, parts: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yields, for each of `parts` random parts of equal size, which rows remain without it."""
    part = np.random.default_rng(seed).permutation(rows) % parts
    for index in range(parts):
        yield part != index
