"""KServe's logged records, read from its Parquet, CSV and JSON files: whatever is in them, reading goes on.

The fields are those of pkg/logger of KServe 0.20. Its CSV and Parquet records say no time; theirs is their file's.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.common.payloads.payload_records import VERSION_ANNOTATION
from mainspring.components.monitoring.logs import record_faults, record_status
from mainspring.components.monitoring.logs.record_faults import Faults

LARGEST_BODY = 16 << 20
"""Bytes of a logged body in base64; larger ones are counted and left out."""

LARGEST_WHOLE_JSON = 64 << 20
"""A JSON file of up to so many bytes is parsed at once, a larger one piece by piece."""

LARGEST_ROW_GROUP = 4 << 30
"""Uncompressed bytes of a Parquet row group; a file with a larger one is refused before it is unpacked."""

RECORDS_PER_BATCH = 8192
BYTES_PER_BATCH = 64 << 20
"""Fewer records are taken at a time where they are large."""

PIECE = 4 << 20

NEEDED = ("id", "reqType", "bytes")
TAKEN = (*NEEDED, "annotations", "inferenceService", "namespace", "metadata", *record_status.NAMES)

MOST_LETTERS = 100
"""Of a namespace that a record names: Kubernetes' have 63 at most."""

REQUEST, RESPONSE = "request", "response"

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_RECORD = re.compile(r"[\n,\[]\s*\{\"")
"""Where a record may begin; an object within a record follows a colon."""

_BETWEEN = re.compile(r"[\s,\[\]]*")


@dataclass
class Records:
    """Some records, column by column."""

    ids: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """`request` or `response`."""
    bodies: list[str | None] = field(default_factory=list)
    """In base64, as logged; None for one that is no text or too large, which is counted."""
    times: list[float] = field(default_factory=list)
    """Seconds since the epoch."""
    versions: list[str] = field(default_factory=list)
    """The version that answered, where the logger said it."""
    metadata: list[Any] = field(default_factory=list)
    """The request's headers, where the logger keeps them: JSON text, or an object."""
    statuses: list[int] = field(default_factory=list)
    """The answer's status; 200 where the logger says none."""

    def __len__(self) -> int:
        """Returns the number of records."""
        return len(self.ids)


@dataclass(frozen=True)
class Reading:
    """What is wanted of the files, and where faults are counted."""

    faults: Faults
    service: str = ""
    """Records of another inference service are foreign; empty: of none."""
    namespace: str = ""
    """Records that name another namespace are foreign; empty: of none."""


def read(path: Path, name: str, modified: float, reading: Reading) -> Iterator[Records]:
    """Yields the records of a file, `RECORDS_PER_BATCH` or about `BYTES_PER_BATCH` at a time, whichever is less.

    Args:
        path: The file here.
        name: What it is called in messages; its ending says the format.
        modified: Seconds since the epoch: the time of records that say none.
        reading: What is wanted.
    """
    try:
        if name.endswith(".parquet"):
            yield from _of_parquet(path, name, modified, reading)
        elif name.endswith(".csv"):
            yield from _of_csv(path, name, modified, reading)
        elif name.endswith((".json", ".jsonl", ".ndjson")):
            yield from _in_batches(_objects(path, name, reading.faults), modified, reading)
        else:
            reading.faults.add(record_faults.UNREADABLE_FILE, f"{name}: no .parquet, .csv or .json")
    except OSError as error:
        reading.faults.add(record_faults.UNREADABLE_FILE, f"{name}: {error}")


def _of_parquet(path: Path, name: str, modified: float, reading: Reading) -> Iterator[Records]:
    try:
        columns = [column for column in TAKEN if column in pq.read_schema(path).names]
        absent = [column for column in NEEDED if column not in columns]
        if absent:
            raise ValueError(f"no column {absent[0]}")
        # As dictionaries: a value that is repeated a million times is here once, however large it is.
        file = pq.ParquetFile(path, read_dictionary=columns)
        groups = range(file.num_row_groups)
        if any(file.metadata.row_group(group).total_byte_size > LARGEST_ROW_GROUP for group in groups):
            raise ValueError(f"a row group larger than {LARGEST_ROW_GROUP >> 30} GiB")
        for batch in file.iter_batches(_records_per_batch(file), columns=columns):
            found = {column: _values_of(batch.column(index)) for index, column in enumerate(batch.schema.names)}
            empty = [""] * batch.num_rows
            yield _checked(
                zip(*(found.get(column, empty) for column in TAKEN), [modified] * batch.num_rows, strict=True), reading
            )
    except (pa.ArrowException, ValueError, TypeError, OverflowError, OSError, MemoryError) as error:
        reading.faults.add(record_faults.UNREADABLE_FILE, f"{name}: {error}")


def _records_per_batch(file: pq.ParquetFile) -> int:
    groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
    largest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1.0)
    return max(1, min(RECORDS_PER_BATCH, int(BYTES_PER_BATCH / max(largest, 1.0))))


def _values_of(column: pa.Array) -> list[Any]:
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    values = column.dictionary.to_pylist()
    return [None if index is None else values[index] for index in column.indices.to_pylist()]


def _of_csv(path: Path, name: str, modified: float, reading: Reading) -> Iterator[Records]:
    csv.field_size_limit(LARGEST_BODY + 1)
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(file)
        header = next(_csv_rows(rows, name, reading.faults), [])
        absent = [column for column in NEEDED if column not in header]
        if absent:
            reading.faults.add(record_faults.UNREADABLE_FILE, f"{name}: no column {absent[0]}")
            return

        def objects() -> Iterator[dict[str, str]]:
            for row in _csv_rows(rows, name, reading.faults):
                if len(row) == len(header):
                    yield dict(zip(header, row, strict=True))
                elif row:
                    reading.faults.records += 1
                    reading.faults.add(record_faults.TRUNCATED, f"{name}: a row of {len(row)} fields")

        yield from _in_batches(objects(), modified, reading)


def _csv_rows(rows: Iterator[list[str]], name: str, counted: Faults) -> Iterator[list[str]]:
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            counted.records += 1
            counted.add(record_faults.TRUNCATED, f"{name}: {error}")


def _objects(path: Path, name: str, counted: Faults) -> Iterator[Any]:
    """Yields what a JSON file holds: one value, an array's items, or a value a line."""
    if path.stat().st_size <= LARGEST_WHOLE_JSON:
        try:
            content = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError:
            pass  # Several values, or a damaged one: value by value, as far as it goes.
        else:
            yield from content if isinstance(content, list) else [content]
            return
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from _values(file, name, counted)


def _values(file: IO[str], name: str, counted: Faults) -> Iterator[Any]:
    """Yields one value after the other; what is none is skipped up to the next object."""
    decode = json.JSONDecoder().raw_decode
    text, position, ended = "", 0, False
    while True:
        position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
        try:
            if position == len(text):
                raise ValueError
            value, end = decode(text, position)
            if end == len(text) and not ended and not isinstance(value, dict | list):
                raise ValueError  # A number may go on in the next piece.
        except (ValueError, RecursionError) as error:
            if not ended and len(text) - position <= LARGEST_BODY + PIECE:
                more = file.read(PIECE)
                text, position, ended = text[position:] + more, 0, not more
                continue
            if position < len(text):
                counted.records += 1
                counted.add(record_faults.TRUNCATED, f"{name}: {error}: {text[position : position + 80]}")
            after = _RECORD.search(text, position + 1)
            position = after.end() - 2 if after else -1
            if position < 0:
                text, position = "", 0
                if ended:
                    return
        else:
            position = end
            yield value


def _in_batches(objects: Iterator[Any], modified: float, reading: Reading) -> Iterator[Records]:
    fields: list[tuple[Any, ...]] = []
    size = 0
    for found in objects:
        if not isinstance(found, dict):
            reading.faults.records += 1
            reading.faults.add(record_faults.FOREIGN, repr(found)[:200])
            continue
        time = _seconds(found.get("occurrenceTime"), modified)
        fields.append((*(found.get(column, "") for column in TAKEN), time))
        size += len(body) if isinstance(body := found.get("bytes"), str) else 0
        if len(fields) >= RECORDS_PER_BATCH or size >= BYTES_PER_BATCH:
            yield _checked(iter(fields), reading)
            fields, size = [], 0
    if fields:
        yield _checked(iter(fields), reading)


def _checked(fields: Iterator[tuple[Any, ...]], reading: Reading) -> Records:
    """Returns the records that are of a known form and of the service."""
    records, versions, faults = Records(), {"": ""}, reading.faults
    for identity, req_type, body, told, service, namespace, metadata, *statuses, time in fields:
        faults.records += 1
        kind = req_type.rpartition(".")[2] if isinstance(req_type, str) else ""
        if not isinstance(identity, str) or not identity or kind not in (REQUEST, RESPONSE):
            faults.add(record_faults.FOREIGN, f"id {identity!r:.80}, type {req_type!r:.80}")
            continue
        if reading.service and service and service != reading.service:
            faults.add(record_faults.FOREIGN, f"of the service {service!r:.80}")
            continue
        if namespace:
            namespace = _encodable(str(namespace)[:MOST_LETTERS])
            if reading.namespace and namespace != reading.namespace:
                faults.add(record_faults.FOREIGN, f"of the namespace {namespace!r:.80}")
                continue
            faults.namespaces[namespace] += 1
        if not isinstance(body, str):
            faults.add(record_faults.NOT_BASE64, f"id {identity}: {body!r:.80}")
            body = None
        elif len(body) > LARGEST_BODY:
            faults.add(record_faults.TOO_LARGE, f"id {identity}: {len(body):,} bytes")
            body = None
        records.ids.append(_encodable(identity))
        records.kinds.append(kind)
        records.bodies.append(body)
        records.times.append(time)
        records.metadata.append(metadata)
        records.statuses.append(record_status.of([*statuses, told, metadata]))
        if isinstance(told, str):
            if told not in versions:
                versions[told] = _version(_parsed(told))
            records.versions.append(versions[told])
        else:
            records.versions.append(_version(told))
    return records


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _version(annotations: Any) -> str:
    found = annotations.get(VERSION_ANNOTATION, "") if isinstance(annotations, dict) else ""
    return _encodable(found) if isinstance(found, str) else ""


def _encodable(text: str) -> str:
    """Returns a text without halves of surrogate pairs, which JSON can escape and UTF-8 cannot hold."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _seconds(text: Any, otherwise: float) -> float:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return otherwise
    whole, fraction, zone = match.groups()
    try:
        instant = datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
        return instant.astimezone(timezone.utc).timestamp() + float(fraction or 0)
    except (ValueError, OverflowError):
        return otherwise
