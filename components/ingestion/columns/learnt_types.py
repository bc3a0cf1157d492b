"""What columns are by the data of the served model, or by a given schema: files are read as that, or refused.

Otherwise the values of a span alone would decide, and `4.0` after `4`, or a column that is empty for once, would look
like another type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from mainspring.components.common import buckets, manifests, published
from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.columns.given_types import Reading, read_types
from mainspring.components.ingestion.columns.text_values import SQL_TYPES, TIMESTAMP, ZONED, Asked

SERVED, SCHEMA = "the data of the served model", "the schema"
"""Who says what a column is, beside `types`."""

SOURCE = "source"
"""The table of the source's files, beside those that are joined."""

_TYPES_OF_SCHEMA = {1: "string", 2: "int64", 3: "double"}
"""By TFDV's FeatureType: BYTES, INT, FLOAT."""


@dataclass(frozen=True)
class Learnt:
    """What columns are known to be."""

    files: Mapping[str, Mapping[str, Asked]] = field(default_factory=dict)
    """By table and by column of its files."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """`int64`, `double` or `string`, by column of the examples."""
    split: Mapping[str, Any] = field(default_factory=dict)
    """What decided the sides of the rows then."""

    def reading(self, table: str, given: Reading) -> Reading:
        """Returns how a table's files are read: as somebody said, else as is known."""
        own = {name: asked for name, asked in self.files.get(table, {}).items() if not given.of(name)}
        return Reading({**own, **given.types}, given.missing)


def learnt_types(baseline_uri: str, schema_uri: str, accepted: Sequence[str], has_query: bool) -> Learnt:
    """Returns what the columns are known to be.

    Args:
        baseline_uri: The version whose data came before; empty: none.
        schema_uri: A curated schema, the file or its folder; it goes before the baseline. Empty: none.
        accepted: Columns that are meant to be otherwise from now on.
        has_query: Whether a query stands between the files and the examples. A schema is of the examples' columns, so
            that it says nothing of the files then.

    Raises:
        UserError: One of the two cannot be read.
    """
    served = published.content(baseline_uri, manifests.EXAMPLES_FILE) if baseline_uri else None
    served = served if isinstance(served, dict) else {}
    files = {table: _asked(kinds, SERVED) for table, kinds in served.get("read_as", {}).items()}
    examples = dict(served.get("columns", {}))
    if schema_uri:
        curated = _of_schema(schema_uri)
        examples |= curated
        if not has_query:
            files[SOURCE] = files.get(SOURCE, {}) | _asked(curated, SCHEMA)
    free = {name.lower() for name in accepted}
    return Learnt(
        {table: {n: asked for n, asked in of.items() if n.lower() not in free} for table, of in files.items()},
        {name: kind for name, kind in examples.items() if name.lower() not in free},
        served.get("split", {}),
    )


def as_read(kinds: Mapping[str, str], reading: Reading) -> dict[str, str]:
    """Returns how columns were read, in the words of `types`, for the manifest.

    Args:
        kinds: What the values decided, by column.
        reading: How they were told to be read.
    """
    found = {}
    for name, kind in kinds.items():
        asked = reading.of(name)
        said = f"{asked.kind} {asked.form}".strip() if asked else TIMESTAMP if kind == ZONED else kind
        if said.partition(" ")[0] in SQL_TYPES:  # Not: columns without a value, and nested ones.
            found[name] = said
    return found


def _asked(kinds: Mapping[str, str], by: str) -> dict[str, Asked]:
    return {name: Asked(asked.kind, asked.form, by) for name, asked in read_types(kinds).items()}


def _of_schema(uri: str) -> dict[str, str]:
    """Returns the examples' types by feature of a schema in TFDV's text format."""
    path = buckets.local_copy(uri)
    path = path / manifests.SCHEMA_FILE if path.is_dir() else path
    try:
        text = path.read_text(encoding="utf-8")
        schema = text_format.Parse(text, _schema_message()(), allow_unknown_field=True)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"{path}: cannot be read as a schema: {' '.join(str(error).split())}") from error
    return {one.name: _TYPES_OF_SCHEMA[one.type] for one in schema.feature if one.type in _TYPES_OF_SCHEMA}


def _schema_message() -> Any:
    """Returns TFDV's Schema message, as far as names and types: this environment has no TensorFlow Metadata."""
    file = descriptor_pb2.FileDescriptorProto(name="mainspring/schema.proto", package="mainspring", syntax="proto2")
    kinds = file.enum_type.add(name="FeatureType")
    for number, name in enumerate(("TYPE_UNKNOWN", "BYTES", "INT", "FLOAT", "STRUCT")):
        kinds.value.add(name=name, number=number)
    feature = file.message_type.add(name="Feature")
    one, many = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    feature.field.add(name="name", number=1, label=one, type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING)
    feature.field.add(
        name="type",
        number=6,
        label=one,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_ENUM,
        type_name=".mainspring.FeatureType",
    )
    schema = file.message_type.add(name="Schema")
    schema.field.add(
        name="feature",
        number=1,
        label=many,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".mainspring.Feature",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("mainspring.Schema"))
