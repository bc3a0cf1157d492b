"""Payload records as KServe 0.20 writes them, in each of its formats, and a published version to judge them by."""

from __future__ import annotations

import base64
import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf import text_format
from tensorflow_data_validation import infer_schema

from mainspring.components.common import manifests, storage
from mainspring.components.common.manifests import ModelManifest, VersionManifest
from mainspring.components.statistics import drift, span_statistics

FIELDS = (
    *("url", "bytes", "contentType", "reqType", "id", "sourceUri", "inferenceService", "namespace"),
    *("component", "endpoint", "metadata", "annotations", "certName", "tlsSkipVerify"),
)
GO_URL = {"Scheme": "gs", "Opaque": "", "User": None, "Host": "logs", "Path": "/x", "RawQuery": ""}
PLACES = ("EWR", "JFK", "LGA")

Record = dict[str, Any]


def record(identity: str, kind: str, body: Any, time: str = "2026-11-01T10:00:00.5Z", version: str = "1") -> Record:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {
        "url": "gs://logs/x",
        "bytes": base64.b64encode(content).decode(),
        "contentType": "application/json",
        "reqType": f"org.kubeflow.serving.inference.{kind}",
        "id": identity,
        "sourceUri": "http://localhost:8080",
        "inferenceService": "flights",
        "namespace": "team",
        "component": "predictor",
        "endpoint": "default",
        "metadata": "{}",
        "annotations": json.dumps({"mainspring.dev/version": version}),
        "certName": "",
        "tlsSkipVerify": False,
        "occurrenceTime": time,
    }


def row(number: int, shift: float = 0.0) -> dict[str, Any]:
    """A row whose late share rises with `hour`: a score of hour / 24 has an AUC well above one half."""
    chance = random.Random(number)
    hour = chance.randrange(24)
    return {"hour": hour, "distance": chance.gauss(1000 + shift, 200), "origin": PLACES[number % 3]}


def label(number: int) -> int:
    return int(random.Random(number + 10**6).random() < row(number)["hour"] / 24)


def exchange(number: int, shift: float = 0.0, score: Any = None, **fields: str) -> list[Record]:
    """A request of one row, and its answer."""
    asked = row(number, shift)
    answer = {"predictions": [{"prediction": asked["hour"] / 24 if score is None else score, "label": "0"}]}
    identity = f"id-{number}"
    return [
        record(identity, "request", {"instances": [asked]}, **fields),
        record(identity, "response", answer, **fields),
    ]


def write(folder: Path, name: str, records: list[Record]) -> Path:
    """Writes a batch as KServe's marshaller of the name's ending does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".parquet"):
        columns = {field: [one[field] for one in records] for field in FIELDS}
        pq.write_table(pa.table(columns), path)
    elif name.endswith(".csv"):
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(FIELDS)
            writer.writerows(
                [
                    [str(one[field]).lower() if field == "tlsSkipVerify" else one[field] for field in FIELDS]
                    for one in records
                ]
            )
    else:
        objects = [as_go(one) for one in records]
        path.write_text(json.dumps(objects[0] if len(objects) == 1 else objects))
    return path


def as_go(one: Record) -> Record:
    """A record as Go's encoding/json writes KServe's struct: URLs and maps are objects, empty fields are absent."""
    maps = {"metadata": json.loads(one["metadata"]), "annotations": json.loads(one["annotations"])}
    found = one | maps | {"url": GO_URL, "sourceUri": GO_URL}
    return {key: value for key, value in found.items() if value}


def publish(folder: Path, rows: int = 3000, auc: float = 0.75) -> Path:
    """A published version of a model with the features of `row`, whose evaluation promised an AUC."""
    (folder / "statistics" / "train").mkdir(parents=True)
    examples = [row(number) | {"late": label(number)} for number in range(10**7, 10**7 + rows)]
    data = folder / "examples.parquet"
    pq.write_table(pa.table({name: [one[name] for one in examples] for name in examples[0]}), data)
    statistics = span_statistics.extract(span_statistics.accumulate(span_statistics.pieces(data)))
    schema = infer_schema(statistics)
    schema.default_environment.extend(["TRAINING", "SERVING"])
    for feature in schema.feature:
        drift.set_threshold(feature, 0.1)
        if feature.name == "late":
            feature.not_in_environment.append("SERVING")
    data.unlink()
    (folder / "statistics" / "train" / manifests.STATISTICS_FILE).write_bytes(statistics.SerializeToString())
    (folder / manifests.SCHEMA_FILE).write_text(text_format.MessageToString(schema))
    features = {"hour": "numeric", "distance": "numeric", "origin": "categorical"}
    model = ModelManifest("binary_classification", "late", ["0", "1"], features, {}, 1, "e", "s", "", "m", {})
    manifests.write(model, folder / manifests.MODEL_MANIFEST)
    interval = {"challenger": {"auc": {"low": auc - 0.01, "high": auc + 0.01}}}
    content = {"metrics": {"challenger": {"auc": auc}}, "intervals": interval, "slices": []}
    storage.write_json(folder / "evaluation" / "evaluation.json", content)
    version = VersionManifest("flights", 1, "m", "e", "", 0, "2026-10-01T00:00:00+00:00", {})
    manifests.write(version, folder / manifests.VERSION_MANIFEST)
    return folder


def write_labels(path: Path, numbers: range) -> Path:
    labels = {
        "id": [f"id-{n}" for n in numbers],
        "row": np.zeros(len(numbers), int),
        "label": [label(n) for n in numbers],
    }
    pq.write_table(pa.table(labels), path)
    return path
