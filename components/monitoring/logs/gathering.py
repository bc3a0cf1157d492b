"""From log files to three Parquet files: a line per record, a line per requested row, a line per predicted row.

Everything goes to disk batch by batch: memory does not grow with the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.monitoring.logs import (
    bodies,
    payloads,
    record_faults,
    record_status,
    records,
    typed_columns,
)
from mainspring.components.monitoring.logs.malformed import ErrorAnswer, Malformed, NotBase64
from mainspring.components.monitoring.logs.payloads import Row
from mainspring.components.monitoring.logs.record_faults import Faults
from mainspring.components.monitoring.logs.records import Records

ROWS_PER_WRITE = 32_768
BYTES_PER_WRITE = 32 << 20
"""Requests' bodies of so many bytes are written whatever their rows: a row can be as large as a request may be."""

EDGE_SECONDS = 300.0
"""An answer may come so much later than its request: responses are read so far beyond the window."""

RECORDS = pa.schema(
    [
        ("seq", pa.int64()),
        ("id", pa.string()),
        ("kind", pa.string()),
        ("time", pa.float64()),
        ("version", pa.string()),
        ("rows", pa.int64()),
        ("readable", pa.bool_()),
        ("error", pa.bool_()),
        ("digest", pa.int64()),
    ]
)
PREDICTED = pa.schema([("seq", pa.int64()), ("row", pa.int64()), ("prediction", pa.float64()), ("class", pa.string())])

SEQ, ROW = "__seq", "__row"
"""Columns beside the features: the record's number and the row's."""


@dataclass(frozen=True)
class Window:
    """A stretch of time, in seconds since the epoch."""

    since: float
    until: float


@dataclass(frozen=True)
class Served:
    """What is asked of the model."""

    features: Mapping[str, str]
    """`typed_columns`' kind by feature."""
    classes: Sequence[str]


class Gatherer:
    """Writes what it is given to `records.parquet`, `rows.parquet` and `predicted.parquet` in a folder."""

    def __init__(self, folder: Path, served: Served, window: Window, counted: Faults) -> None:
        self._served, self._window, self._faults = served, window, counted
        rows = [(SEQ, pa.int64()), (ROW, pa.int64())]
        rows += [(name, typed_columns.TYPES[kind]) for name, kind in served.features.items()]
        self._records = _Table(folder / "records.parquet", RECORDS)
        self._rows = pq.ParquetWriter(folder / "rows.parquet", pa.schema(rows), compression="lz4")
        self._predicted = _Table(folder / "predicted.parquet", PREDICTED)
        self._features = frozenset(served.features)
        self._requested: list[Row] = []
        self._places: list[tuple[int, int]] = []
        self._bytes = 0
        """Of the bodies whose rows wait."""
        self._seq = 0
        self.outside = 0
        """Records of another time."""

    def add(self, batch: Records) -> None:
        """Takes records."""
        early, late = self._window.since - EDGE_SECONDS, self._window.until + EDGE_SECONDS
        fields = zip(
            *(batch.ids, batch.kinds, batch.bodies, batch.times, batch.versions, batch.metadata, batch.statuses),
            strict=True,
        )
        for identity, kind, body, time, version, metadata, status in fields:
            is_request = kind == records.REQUEST
            if not (self._window.since <= time < self._window.until if is_request else early <= time < late):
                self.outside += 1
                continue
            self._seq += 1
            is_error = not is_request and record_status.is_error(status)
            rows: int | None = None
            if body is not None and not is_error:
                try:
                    content = bodies.unpacked(bodies.decoded(body), metadata)
                    rows = self._request(content) if is_request else self._response(content)
                except ErrorAnswer:
                    is_error = True
                except Malformed as error:
                    self._faults.add(_kind(error, is_request), f"id {identity}: {error}")
            if len(self._requested) > ROWS_PER_WRITE or self._bytes > BYTES_PER_WRITE:
                self._write_rows()
            self._records.add_one(
                (self._seq, identity, kind, time, version, rows or 0, rows is not None, is_error, hash(body))
            )
        self._records.flush(ROWS_PER_WRITE)
        self._predicted.flush(ROWS_PER_WRITE)

    def close(self) -> None:
        """Writes what waits."""
        self._records.flush(0)
        self._predicted.flush(0)
        self._write_rows()
        for table in (self._records, self._predicted):
            table.close()
        self._rows.close()

    def _request(self, content: bytes) -> int:
        found = payloads.instances(content)
        for index, row in enumerate(found):
            if row is None:
                self._faults.add(record_faults.NO_OBJECT, f"row {index} of {len(found)}")
                continue
            if not row.keys() <= self._features:
                unknown = sorted(row.keys() - self._features)
                self._faults.add(record_faults.UNKNOWN_FEATURE, ", ".join(unknown))
            self._requested.append(row)
            self._places.append((self._seq, index))
        self._bytes += len(content)
        return len(found)

    def _response(self, content: bytes) -> int:
        found = payloads.predictions(content, self._served.classes)
        rows = len(found.scores)
        self._predicted.add(([self._seq] * rows, range(rows), found.scores, found.classes))
        return rows

    def _write_rows(self) -> None:
        places = zip(*self._places, strict=True) if self._places else ((), ())
        columns = [pa.array(place, pa.int64()) for place in places]
        for name, kind in self._served.features.items():
            values = [row.get(name) for row in self._requested]
            columns.append(typed_columns.column(name, kind, values, self._faults))
        self._rows.write_table(pa.Table.from_arrays(columns, names=[SEQ, ROW, *self._served.features]))
        self._requested, self._places, self._bytes = [], [], 0


class _Table:
    """A Parquet file that is written a few thousand rows at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema, self._writer = schema, pq.ParquetWriter(path, schema, compression="lz4")
        self._columns: list[list[Any]] = [[] for _ in schema]

    def add(self, columns: Sequence[Iterable[Any]]) -> None:
        for kept, values in zip(self._columns, columns, strict=True):
            kept.extend(values)

    def add_one(self, values: tuple[Any, ...]) -> None:
        for kept, value in zip(self._columns, values, strict=True):
            kept.append(value)

    def flush(self, at_least: int) -> None:
        if len(self._columns[0]) > at_least:
            arrays = [pa.array(values, kind) for values, kind in zip(self._columns, self._schema.types, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._columns = [[] for _ in self._schema]

    def close(self) -> None:
        self._writer.close()


def _kind(error: Malformed, is_request: bool) -> str:
    if isinstance(error, NotBase64):
        return record_faults.NOT_BASE64
    return record_faults.MALFORMED_REQUEST if is_request else record_faults.MALFORMED_RESPONSE
