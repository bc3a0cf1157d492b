"""What float32 cannot hold of a column of numbers: said by column before anything is trained.

A served model takes float32. Whole numbers beyond 2^24 (ids, seconds since 1970), doubles beyond 3.4e38 and differences
far smaller than the numbers themselves are lost in it, in training and in serving alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mainspring.components.training.features.columns import NUMERIC, Feature
from mainspring.components.training.features.preprocessing import TINY, without_offset

FIRST_INTEGER = 2**24
"""From here on, float32 does not hold every whole number."""

LARGEST = float(np.finfo(np.float32).max)

SMALL_STEP = 1e-3
"""Doubles are looked at more closely where float32's step is more than this share of their range."""

KEPT_SHARE = 0.9
"""Of a column of doubles, so many of its different values must stay different."""

MAX_LOOKED_AT = 65_536
"""Rows of a part that are looked at closely."""


@dataclass
class Resolution:
    """What was lost of each column of numbers so far."""

    features: Sequence[Feature]
    beyond: dict[str, int] = field(default_factory=dict)
    """By feature, rows with a number that float32 does not reach; they count as missing."""
    tiny: set[str] = field(default_factory=set)
    """Features of which a part varies only nearer to zero than float32 holds numbers at full precision."""
    merged: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By feature, the different values in a part of train, and how many of them float32 tells apart."""

    def add(self, table: pa.Table) -> None:
        """Looks at a part of the rows."""
        for feature in self.features:
            if feature.kind == NUMERIC:
                self._add_column(feature, table[feature.name])

    def _add_column(self, feature: Feature, column: pa.ChunkedArray) -> None:
        name = feature.name
        bounds = pc.min_max(column.filter(pc.is_finite(column)) if pa.types.is_floating(column.type) else column)
        low, high = (bound.as_py() for bound in (bounds["min"], bounds["max"]))
        if low is None:
            return
        largest = max(abs(low - feature.offset), abs(high - feature.offset))
        if largest < TINY and high != low:
            self.tiny.add(name)
        elif largest > LARGEST:
            self.beyond[name] = self.beyond.get(name, 0) + pc.sum(pc.greater(pc.abs(column), LARGEST)).as_py()
        elif name not in self.merged and self._may_merge(column, largest, high - low):
            some = column.slice(0, MAX_LOOKED_AT).drop_null()
            different = pc.count_distinct(some).as_py()
            kept = len(np.unique(without_offset(some, feature).astype(np.float32)))
            least = different if pa.types.is_integer(column.type) else different * KEPT_SHARE
            if kept < least:
                self.merged[name] = different, kept

    @staticmethod
    def _may_merge(column: pa.ChunkedArray, largest: float, width: float) -> bool:
        if pa.types.is_integer(column.type):
            return largest > FIRST_INTEGER
        return width > 0 and float(np.spacing(np.float32(largest))) > SMALL_STEP * width

    def notes(self) -> list[str]:
        """Returns what was lost, a line a column, with what to do."""
        notes = [
            f"{name}: {count:,} values are beyond {LARGEST:.2g}, which float32 does not reach; they count as missing: "
            "scale the column in the query, or take its logarithm"
            for name, count in self.beyond.items()
        ]
        return notes + [
            f"{name}: of {different:,} different values, float32, in which models take numbers, tells {kept:,} apart: "
            "if they name things, make it text (CAST … AS VARCHAR in the query) or a category of the schema; if they "
            "measure something, subtract a constant in the query; else exclude it"
            for name, (different, kept) in self.merged.items()
        ]
