"""The rows that were asked for, beside what was predicted of each: put together a row group at a time.

Rows can be wide and long, so they are never joined or sorted: what DuckDB joins is their places, and memory does not
grow with the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.monitoring.logs.gathering import Served

PLACE = "__place"
"""A row's place in `rows.parquet`, from 0."""

PLACES_PER_BATCH = 65_536


def write(folder: Path, served: Served) -> None:
    """Writes `served.parquet` (features, then the other columns of `places.parquet`) and `features.parquet`.

    Args:
        folder: With the gatherer's `rows.parquet`, and `places.parquet`: `PLACE`, ascending, and further columns.
        served: Names the features.
    """
    rows, places = pq.ParquetFile(folder / "rows.parquet"), pq.ParquetFile(folder / "places.parquet")
    names = list(served.features)
    taken = [field for field in places.schema_arrow if field.name != PLACE]
    features = pa.schema([rows.schema_arrow.field(name) for name in names])
    told = _Places(places.iter_batches(PLACES_PER_BATCH), places.schema_arrow)
    start = 0
    with (
        pq.ParquetWriter(folder / "served.parquet", pa.schema([*features, *taken])) as whole,
        pq.ParquetWriter(folder / "features.parquet", features) as narrow,
    ):
        for group in range(rows.num_row_groups):
            table = rows.read_row_group(group, columns=names)
            part = told.before(start + table.num_rows)
            kept = table.take(pa.array(part.column(PLACE).to_numpy() - start))
            start += table.num_rows
            narrow.write_table(kept)
            for field in taken:
                kept = kept.append_column(field, part.column(field.name))
            whole.write_table(kept)


class _Places:
    """A stream of places in ascending order, of which the first ones are taken again and again."""

    def __init__(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        self._batches = batches
        self._waiting = [pa.RecordBatch.from_pylist([], schema)]

    def before(self, stop: int) -> pa.Table:
        """Returns what is waiting for places before `stop`, and waits with the rest."""
        while not len(self._waiting[-1]) or self._waiting[-1].column(0)[-1].as_py() < stop:
            batch = next(self._batches, None)
            if batch is None:
                break
            self._waiting.append(batch)
        whole = pa.Table.from_batches(self._waiting)
        cut = int(np.searchsorted(whole.column(PLACE).to_numpy(), stop))
        self._waiting = whole.slice(cut).combine_chunks().to_batches() or [self._waiting[-1].slice(0, 0)]
        return whole.slice(0, cut)
