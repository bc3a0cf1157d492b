"""TFRecord files of tf.Example, without TensorFlow: to Parquet files that DuckDB reads.

The file format is TensorFlow's (core/lib/io/record_writer.h): length, masked CRC-32C of the length, data, masked
CRC-32C of the data. The message is tf.Example (core/example/example.proto, feature.proto).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.formats import examples_wire

BATCH = 65_536
"""Records per Parquet file."""

MOST_BYTES = 2**31
"""No message of protobuf's may be so long; a record that claims to be is corrupt."""

_PIECE = 1 << 24
_MASK_DELTA = 0xA282EAD8
_GZIP = b"\x1f\x8b"
_ARROW = {"bytes_list": pa.string(), "float_list": pa.float64(), "int64_list": pa.int64()}
_WORDS = {"bytes_list": "text", "float_list": "floats", "int64_list": "integers"}


def to_parquet(file: Path, folder: Path, kinds: dict[str, str]) -> list[Path]:
    """Writes a TFRecord file's examples as Parquet files and returns these.

    Args:
        file: Plain or gzip, whatever its ending.
        folder: Where to write.
        kinds: The kind of list of each feature seen so far, in all files of the span; added to.

    Raises:
        UserError: The file is truncated or corrupt, a feature has several values, is no UTF-8, or changes its type.
    """
    written: list[Path] = []
    records = _records(file)
    while batch := list(islice(records, BATCH)):
        target = folder / f"{file.name}-{len(written)}.parquet"
        pq.write_table(_fast_table(batch, file, kinds) or _table(batch, file, kinds), target)
        written.append(target)
    return written


def _records(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            stream: Any = gzip.GzipFile(fileobj=plain) if packed else plain
            number = 0
            while header := stream.read(12):
                number += 1
                yield _record(stream, header, file, number)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: cannot be read as TFRecord: {error}") from error


def _record(stream: BinaryIO, header: bytes, file: Path, number: int) -> bytes:
    broken = UserError(f"{file}: record {number} is truncated or corrupt; write the file again")
    if len(header) < 12 or _masked(header[:8]) != struct.unpack("<I", header[8:])[0]:
        raise broken
    length = struct.unpack("<Q", header[:8])[0]
    if length >= MOST_BYTES:
        raise broken
    data, check = _read(stream, length), stream.read(4)
    if len(data) < length or len(check) < 4 or _masked(data) != struct.unpack("<I", check)[0]:
        raise broken
    return data


def _read(stream: BinaryIO, length: int) -> bytes:
    """Reads piece by piece: memory is taken for what the file holds, not for what it claims to hold."""
    pieces = []
    while length and (piece := stream.read(min(length, _PIECE))):
        pieces.append(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _masked(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _fast_table(records: list[bytes], file: Path, kinds: dict[str, str]) -> pa.Table | None:
    """Returns the records' table, or None where protobuf must read them, if only to say what is wrong."""
    try:
        columns = examples_wire.columns_of(records)
    except pa.ArrowInvalid:
        return None
    if not columns or any(kinds.setdefault(name, kind) != kind for name, (kind, _) in columns.items()):
        return None
    return pa.table({name: values for name, (_, values) in sorted(columns.items())})


def _table(records: list[bytes], file: Path, kinds: dict[str, str]) -> pa.Table:
    columns: dict[str, list[Any]] = {}
    for row, record in enumerate(records):
        try:
            features = _EXAMPLE.FromString(record).features.feature
        except message.DecodeError as error:
            raise UserError(f"{file}: a record is no tf.Example: {error}") from error
        for name, feature in features.items():
            kind = feature.WhichOneof("kind")
            values = list(getattr(feature, kind).value) if kind else []
            if not values:
                continue
            if len(values) > 1:
                raise UserError(f"{file}: feature {name} has {len(values)} values in a row; only one can be read")
            if kinds.setdefault(name, kind) != kind:
                raise UserError(f"{file}: feature {name} turns from {_WORDS[kinds[name]]} to {_WORDS[kind]}")
            column = columns.setdefault(name, [])
            column.extend([None] * (row - len(column)))
            column.append(values[0])
    for column in columns.values():
        column.extend([None] * (len(records) - len(column)))
    if not columns:
        raise UserError(f"{file}: its records have no features")
    arrays = {name: _array(values, kinds[name], name, file) for name, values in sorted(columns.items())}
    return pa.table(arrays)


def _array(values: list[Any], kind: str, name: str, file: Path) -> pa.Array:
    if kind == "bytes_list":
        try:
            values = [value if value is None else value.decode() for value in values]
        except UnicodeDecodeError as error:
            raise UserError(f"{file}: feature {name} holds bytes that are no UTF-8 text; leave it out") from error
    return pa.array(values, _ARROW[kind])


def _example_class() -> Any:
    """Returns the class of tf.Example, under a package of our own: beside TensorFlow, its own name would be taken."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="mainspring/example.proto", package="mainspring.tf", syntax="proto3")
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    lists = (("BytesList", field.TYPE_BYTES), ("FloatList", field.TYPE_FLOAT), ("Int64List", field.TYPE_INT64))
    for number, (name, kind) in enumerate(lists, 1):
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
        feature.field.add(
            name=name.replace("List", "_list").lower(),
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".mainspring.tf.{name}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    of_message = {"type": field.TYPE_MESSAGE, "number": 1}
    entry.field.add(
        name="value", number=2, type=field.TYPE_MESSAGE, type_name=".mainspring.tf.Feature", label=field.LABEL_OPTIONAL
    )
    features.field.add(
        name="feature", type_name=".mainspring.tf.Features.FeatureEntry", label=field.LABEL_REPEATED, **of_message
    )
    file.message_type.add(name="Example").field.add(
        name="features", type_name=".mainspring.tf.Features", label=field.LABEL_OPTIONAL, **of_message
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("mainspring.tf.Example"))


_EXAMPLE = _example_class()
