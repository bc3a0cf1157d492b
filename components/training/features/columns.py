"""Which columns are features, and of what kind, as TFDV's schema says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import SCHEMA_FILE
from mainspring.components.training.spelling import suggestion

NUMERIC = "numeric"
CATEGORICAL = "categorical"

_UNUSED_STAGES = {
    schema_pb2.DEPRECATED,
    schema_pb2.DISABLED,
    schema_pb2.PLANNED,
    schema_pb2.ALPHA,
    schema_pb2.DEBUG_ONLY,
}


@dataclass(frozen=True)
class Feature:
    """One raw input of the model."""

    name: str
    kind: str
    """`numeric` or `categorical`."""
    is_integer: bool
    """Whether a tf.Example carries it as int64 (numeric or categorical)."""
    offset: float = 0.0
    """Of a quantity far from zero: what is subtracted in double precision before float32 takes it. It is then served as
    float64; else 0."""


def read_schema(folder: Path) -> tuple[schema_pb2.Schema, str]:
    """Reads `schema.pbtxt` from the artifact's folder (or the file itself); returns the proto and its text.

    Raises:
        UserError: It is missing, no schema, or names no feature.
    """
    path = folder / SCHEMA_FILE if folder.is_dir() else folder
    try:
        text = path.read_text(encoding="utf-8")
        schema = text_format.Parse(text, schema_pb2.Schema())
    except FileNotFoundError as error:
        raise UserError(f"schema: {path}: no such file; give the schema that validate_examples wrote") from error
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"schema: {path} cannot be read as a TFDV schema: {error}") from error
    if not schema.feature:
        raise UserError(f"schema: {path} names no feature; give the schema that validate_examples wrote")
    return schema, text


def select_features(
    schema: schema_pb2.Schema, columns: dict[str, str], label: str, exclude: Sequence[str]
) -> list[Feature]:
    """Returns every feature of the schema but the label and the excluded ones, in the schema's order.

    Args:
        schema: TFDV's schema.
        columns: `int64`, `double` or `string` by column of the examples.
        label: The label's column.
        exclude: Columns that are no features.

    Raises:
        UserError: The label or an excluded name is no column, a feature's type does not fit its column, or no
            feature is left.
    """
    for parameter, name in [("label", label), *(("exclude", name) for name in exclude)]:
        if name not in columns:
            raise UserError(f"{parameter}: {name!r} is not a column of the examples{suggestion(name, columns)}")
    features = [
        _feature(proto, columns)
        for proto in schema.feature
        if proto.name not in (label, *exclude) and proto.lifecycle_stage not in _UNUSED_STAGES
    ]
    if not features:
        raise UserError("exclude: no feature is left to train on; exclude fewer columns, or widen the schema")
    return features


def _feature(proto: schema_pb2.Feature, columns: dict[str, str]) -> Feature:
    if proto.type not in (schema_pb2.INT, schema_pb2.FLOAT, schema_pb2.BYTES):
        kind = schema_pb2.FeatureType.Name(proto.type)
        raise UserError(f"schema: feature {proto.name!r} is of type {kind}; give INT, FLOAT or BYTES, or exclude it")
    is_string = proto.type == schema_pb2.BYTES
    column = columns.get(proto.name, "")
    if column and is_string != (column == "string"):
        raise UserError(
            f"schema: feature {proto.name!r} is {schema_pb2.FeatureType.Name(proto.type)}, but its column holds "
            f"{column}; train with the schema that belongs to these examples"
        )
    is_integer = proto.type == schema_pb2.INT
    categorical = is_string or (is_integer and proto.int_domain.is_categorical)
    return Feature(name=proto.name, kind=CATEGORICAL if categorical else NUMERIC, is_integer=is_integer)
