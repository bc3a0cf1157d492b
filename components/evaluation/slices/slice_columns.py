"""The columns to slice by, gathered batch by batch as small codes: a few bytes a row, whatever the values are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mainspring.components.common.errors import UserError
from mainspring.components.evaluation.policy.policy import Buckets

MISSING = None
"""A missing value, which is none of the texts: neither an empty one nor `null`."""


@dataclass(frozen=True)
class SliceColumn:
    """A feature's value in each scored row."""

    codes: NDArray[Any]
    """[rows]: positions in `names`."""
    names: list[str | None]
    """The values in order, as text; the last one is `MISSING`."""


ANY = "any number"
"""The only bucket of a column without edges."""


def joined(parts: Sequence[SliceColumn]) -> SliceColumn:
    """Returns the columns of several lots of rows as one."""
    names = list(dict.fromkeys(name for part in parts for name in part.names[:-1] if name is not None))
    if len({tuple(part.names) for part in parts}) > 1:
        names = _in_order(names)  # Texts: each lot knows its own values. Buckets are the same in all.
    every: list[str | None] = [*names, MISSING]
    place = {name: index for index, name in enumerate(every)}
    kind = _smallest(len(names))
    codes = [np.array([place[name] for name in part.names], kind)[part.codes] for part in parts]
    return SliceColumn(_joined(codes, kind), every)


def _in_order(names: Iterable[str]) -> list[str]:
    """Returns values in alphabetical or, if all are whole numbers, in their order."""
    known = list(names)
    numbers = all(name.isdecimal() for name in known)
    return sorted(known, key=lambda name: (int(name), name) if numbers else (0, name))


@dataclass
class Values:
    """Gathers a column's values as text."""

    known: dict[str, int] = field(default_factory=dict)
    parts: list[NDArray[Any]] = field(default_factory=list)

    def add(self, column: pa.Array) -> None:
        """Adds a batch."""
        encoded = pc.cast(column, pa.string()).dictionary_encode()
        # Missing is code 0, so that the codes fit the smallest unsigned type.
        codes = [self.known.setdefault(name, len(self.known)) + 1 for name in encoded.dictionary.to_pylist()]
        table = np.array([*codes, 0], _smallest(len(self.known)))
        self.parts.append(table[encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)])

    def column(self) -> SliceColumn:
        """Returns all batches' codes, the values in order."""
        names = _in_order(self.known)
        table = np.empty(len(names) + 1, _smallest(len(names)))
        table[[self.known[name] + 1 for name in names]] = np.arange(len(names))
        table[0] = len(names)
        return SliceColumn(_joined([table[part] for part in self.parts], table.dtype), [*names, MISSING])


@dataclass
class Numbers:
    """Gathers a column's numbers as the buckets they fall into."""

    feature: str
    edges: NDArray[np.float64]
    """Inner edges, ascending."""
    parts: list[NDArray[Any]] = field(default_factory=list)

    def add(self, column: pa.Array) -> None:
        """Adds a batch.

        Raises:
            UserError: A value is no number.
        """
        values = numbers_of(self.feature, column)
        codes = np.searchsorted(self.edges, values, side="right")
        kind = _smallest(len(self.edges) + 1)
        self.parts.append(np.where(np.isnan(values), len(self.edges) + 1, codes).astype(kind))

    def column(self) -> SliceColumn:
        """Returns the bucket of each row, from low to high."""
        return SliceColumn(_joined(self.parts, _smallest(len(self.edges) + 1)), [*_names(self.edges), MISSING])


def numbers_of(feature: str, column: pa.Array) -> NDArray[np.float64]:
    """Returns a column's numbers, NaN where missing.

    Raises:
        UserError: A value is no number.
    """
    try:
        return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f"policy: buckets: {feature!r} holds values that are no numbers: {error}") from error


def edges_of(values: NDArray[np.float64], buckets: Buckets) -> NDArray[np.float64]:
    """Returns the inner edges, ascending: those given, or those that make so many buckets of about equal size.

    Args:
        values: The column's numbers, or a sample of them.
        buckets: How to cut.
    """
    if not isinstance(buckets, int):
        return np.array(buckets, np.float64)
    known = values[np.isfinite(values)]
    if not len(known):
        return np.array([], np.float64)
    inner = np.unique(np.quantile(known, np.arange(1, buckets) / buckets, method="higher"))
    return inner[inner > known.min()]


def bucket_faults(buckets: Mapping[str, Buckets], columns: Mapping[str, SliceColumn]) -> list[str]:
    """Returns, in words, which of the buckets that were asked for there are not."""
    faults = []
    for feature, cut in buckets.items():
        if feature not in columns:
            continue
        column = columns[feature]
        made = len(column.names) - 1
        asked = cut if isinstance(cut, int) else len(cut) + 1
        if made < asked:
            why = "equal values are not cut apart" if column.names[0] != ANY else "it has no number, or only one"
            faults.append(f"buckets: {feature}: {asked} were asked for and {made} can be made: {why}")
        counts = np.bincount(column.codes, minlength=len(column.names))[:made]
        empty = [str(column.names[code]) for code in np.flatnonzero(counts == 0)]
        if empty and len(column.codes):
            faults.append(f"buckets: {feature}: no eval row lies in {', '.join(empty)}")
    return faults


def _names(edges: NDArray[np.float64]) -> list[str | None]:
    texts = [_text(edge) for edge in edges.tolist()]
    if not texts:
        return [ANY]
    between = [f"{low} to below {high}" for low, high in itertools.pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} or more"]


def _text(edge: float) -> str:
    """Returns an edge in as few digits as name this very number."""
    short = f"{edge:.9g}"
    return short if float(short) == edge else repr(edge).removesuffix(".0")


def _smallest(largest: int) -> Any:
    return np.min_scalar_type(largest)


def _joined(parts: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, kind)
