"""The columns to slice by, gathered batch by batch as small codes: a few bytes a row, whatever the values are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mainspring.components.common.errors import UserError
from mainspring.components.evaluation.policy import Buckets

MISSING = ""
"""How a missing value is written in a slice."""


@dataclass(frozen=True)
class SliceColumn:
    """A feature's value in each scored row."""

    codes: NDArray[Any]
    """[rows]: positions in `names`."""
    names: list[str]
    """The values in order, as text; the last one is `MISSING`."""


@dataclass
class Values:
    """Gathers a column's values as text."""

    known: dict[str, int] = field(default_factory=dict)
    parts: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, column: pa.Array) -> None:
        """Adds a batch."""
        encoded = pc.cast(column, pa.string()).dictionary_encode()
        codes = [self.known.setdefault(name, len(self.known)) for name in encoded.dictionary.to_pylist()]
        table = np.array([*codes, -1], np.int32)
        self.parts.append(table[encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)])

    def column(self) -> SliceColumn:
        """Returns all batches' codes, the values in alphabetical or, if all are whole numbers, in their order."""
        numbers = all(name.isdecimal() for name in self.known)
        names = sorted(self.known, key=lambda name: (int(name), name) if numbers else (0, name))
        table = np.empty(len(names) + 1, _smallest(len(names)))
        table[[self.known[name] for name in names]] = np.arange(len(names))
        table[-1] = len(names)
        return SliceColumn(_joined([table[part] for part in self.parts], table.dtype), [*names, MISSING])


@dataclass
class Numbers:
    """Gathers a column's numbers, to be cut into buckets."""

    feature: str
    buckets: Buckets
    parts: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, column: pa.Array) -> None:
        """Adds a batch.

        Raises:
            UserError: A value is no number.
        """
        try:
            numbers = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid as error:
            raise UserError(f"policy: buckets: {self.feature!r} holds values that are no numbers: {error}") from error
        self.parts.append(numbers.astype(np.float32))

    def column(self) -> SliceColumn:
        """Returns the bucket of each row, from low to high."""
        values = _joined(self.parts, np.float32)
        known = values[np.isfinite(values)]
        edges = edges_of(known, self.buckets)
        codes = np.searchsorted(edges, values, side="right")
        codes = np.where(np.isnan(values), len(edges) + 1, codes).astype(_smallest(len(edges) + 1))
        return SliceColumn(codes, [*_names(edges), MISSING])


def edges_of(known: NDArray[np.float32], buckets: Buckets) -> NDArray[np.float32]:
    """Returns the inner edges, ascending: those given, or those that make so many buckets of about equal size."""
    if not isinstance(buckets, int):
        return np.array(buckets, np.float32)
    if not len(known):
        return np.array([], np.float32)
    inner = np.unique(np.quantile(known, np.arange(1, buckets) / buckets, method="higher"))
    return inner[inner > known.min()].astype(np.float32)


def _names(edges: NDArray[np.float32]) -> list[str]:
    texts = [f"{edge:.9g}" for edge in edges.tolist()]
    if not texts:
        return ["any number"]
    between = [f"{low} to below {high}" for low, high in itertools.pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} or more"]


def _smallest(largest: int) -> Any:
    return np.min_scalar_type(largest)


def _joined(parts: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, kind)
