"""Slices: the rows that share a value of a feature, a bucket of a number, or several of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainspring.components.evaluation.slices.slice_columns import SliceColumn


@dataclass(frozen=True)
class Slice:
    """Some of the scored rows."""

    values: Mapping[str, str | None]
    """Value by feature, None where it is missing; empty: all rows."""
    indices: NDArray[Any] | None
    """Positions of its rows; None: all of them."""
    rows: int
    """How many they are."""

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Returns those of all rows' values that are the slice's."""
        return values if self.indices is None else values[self.indices]


def everything(rows: int) -> Slice:
    """Returns all rows."""
    return Slice({}, None, rows)


def slices_of(columns: Mapping[str, SliceColumn], features: Sequence[str], min_rows: int) -> tuple[list[Slice], int]:
    """Returns the slices with at least `min_rows` rows, in the columns' order, and how many others there are.

    Args:
        columns: By feature, its value in each row.
        features: One feature, or several to cross.
        min_rows: Smallest number of rows worth measuring.
    """
    first = columns[features[0]]
    codes, values = first.codes, [(name,) for name in first.names]
    for feature in features[1:]:
        more = columns[feature]
        # Renumbered at each step: the product of many dictionaries' sizes would not fit an int64.
        used, codes = np.unique(codes.astype(np.int64) * len(more.names) + more.codes, return_inverse=True)
        values = [(*values[code // len(more.names)], more.names[code % len(more.names)]) for code in used]
    order = np.argsort(codes, kind="stable").astype(np.uint32)
    counts = np.bincount(codes, minlength=len(values))
    ends = np.cumsum(counts)
    found = [
        Slice(dict(zip(features, value, strict=True)), order[ends[code] - counts[code] : ends[code]], int(counts[code]))
        for code, value in enumerate(values)
        if counts[code] >= min_rows
    ]
    return found, int(np.count_nonzero(counts)) - len(found)


def rows_of(columns: Mapping[str, SliceColumn], values: Mapping[str, str | None]) -> Slice:
    """Returns the slice with these values."""
    mask = np.logical_and.reduce(
        [columns[feature].codes == columns[feature].names.index(value) for feature, value in values.items()]
    )
    indices = np.flatnonzero(mask)
    return Slice(dict(values), indices, len(indices))


def described(values: Mapping[str, str | None]) -> str:
    """Returns a slice in words, such as `carrier UA, origin EWR`; all rows are `overall`.

    A missing value is `(missing)`, an empty text is `''`, and a text that would look like either is quoted.
    """
    return ", ".join(f"{feature} {_value(value)}" for feature, value in values.items()) or "overall"


def _value(value: str | None) -> str:
    if value is None:
        return "(missing)"
    return repr(value) if value != value.strip() or value in ("", "(missing)") else value
