"""What a published version says of itself: its features' types, what its data looked like, what evaluation promised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest, VersionManifest
from mainspring.components.monitoring.logs import typed_columns
from mainspring.components.monitoring.logs.gathering import Served
from mainspring.components.statistics import statistics_files

TRAINED_ON = "train"
EVALUATION_FILE = "evaluation.json"
STATISTICS, EVALUATION = "statistics", "evaluation"

_KINDS = {
    schema_pb2.INT: typed_columns.INTEGER,
    schema_pb2.FLOAT: typed_columns.NUMBER,
    schema_pb2.BYTES: typed_columns.TEXT,
}


@dataclass(frozen=True)
class ServedModel:
    """The champion, as it was published."""

    version: VersionManifest
    manifest: ModelManifest
    schema: schema_pb2.Schema
    statistics: DatasetFeatureStatisticsList
    """Of the rows it was trained on."""
    evaluation: dict[str, Any]

    @property
    def served(self) -> Served:
        """What its requests hold."""
        types = {feature.name: _KINDS.get(feature.type, typed_columns.TEXT) for feature in self.schema.feature}
        otherwise = {"numeric": typed_columns.NUMBER, "categorical": typed_columns.TEXT}
        features = {name: types.get(name) or otherwise[kind] for name, kind in self.manifest.features.items()}
        return Served(features, self.manifest.classes)


def read(folder: Path) -> ServedModel:
    """Reads a published version.

    Raises:
        UserError: A part of it is missing or cannot be read.
    """
    version = manifests.read(VersionManifest, folder / manifests.VERSION_MANIFEST)
    manifest = manifests.read(ModelManifest, folder / manifests.MODEL_MANIFEST)
    statistics, problem = statistics_files.read(folder / STATISTICS / TRAINED_ON / manifests.STATISTICS_FILE)
    if statistics is None:
        raise UserError(f"{problem}; what is served cannot be compared with what was trained on: deploy a version anew")
    path = folder / manifests.SCHEMA_FILE
    schema = schema_pb2.Schema()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), schema)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise UserError(f"{path}: cannot be read as TFDV's schema: {error}") from error
    evaluation = storage.read_json(folder / EVALUATION / EVALUATION_FILE)
    if not isinstance(evaluation, dict):
        raise UserError(f"{folder / EVALUATION / EVALUATION_FILE}: no evaluation; deploy a version anew")
    return ServedModel(version, manifest, schema, statistics, evaluation)
