"""A TrainJob on our runtime, with the pods it would have: two processes train one model under the pods' names."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from mainspring.pipelines import environments
from tests.manifests.rendering import Manifest, one, rendered
from tests.manifests.trainer import CAN_MAKE_NETWORKS, network_of, pods_of, start
from tests.schemas import validate

COLUMNS = {"size": "double", "colour": "string", "good": "int64"}
TYPES = {"double": "FLOAT", "string": "BYTES", "int64": "INT"}


def examples(folder: Path, rows: int = 1200) -> Path:
    """Writes an examples artifact whose label follows from its two features, and its schema."""
    query = (
        "SELECT size, colour, CAST(size + (colour = 'red')::INT * 2 + random() > 1.2 AS BIGINT) AS good FROM "
        "(SELECT random() * 2 - 1 AS size, CASE WHEN random() > 0.5 THEN 'red' ELSE 'blue' END AS colour "
        f"FROM range({rows}))"
    )
    for split in ("train", "eval"):
        (folder / split).mkdir(parents=True)
        duckdb.execute(f"COPY ({query}) TO '{folder / split / '1.parquet'}' (FORMAT parquet)")
    fields = {"rows": {"train": rows, "eval": rows}, "columns": COLUMNS, "spans": ["1"], "fingerprint": "sha256:e"}
    (folder / "manifest.json").write_text(
        json.dumps(fields | {"source": {}, "query": "", "versions": {}}), encoding="utf-8"
    )
    schema = "".join(f'feature {{ name: "{name}" type: {TYPES[kind]} }}\n' for name, kind in COLUMNS.items())
    (folder / "schema.pbtxt").write_text(schema, encoding="utf-8")
    return folder


def train_job(order: dict[str, object]) -> Manifest:
    """A TrainJob as somebody would write it by hand."""
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "flights-7"},
        "spec": {
            "runtimeRef": {"name": "mainspring-tensorflow"},
            "trainer": {"numNodes": 2, "env": [{"name": "MAINSPRING_TRAINING", "value": json.dumps(order)}]},
        },
    }


@pytest.mark.skipif(not CAN_MAKE_NETWORKS, reason="giving each pod a network needs root and iproute2")
def test_two_pods_of_the_runtime_train_one_model(tmp_path: Path) -> None:
    environments.ensure(["training"], print)
    folder, output = str(examples(tmp_path / "examples")), tmp_path / "output"
    order = {"examples": folder, "schema": folder, "label": "good", "output": str(output), "max_epochs": 4}
    job = train_job(order)
    assert validate(job) == []
    pods = pods_of(job, one(rendered("plain"), "ClusterTrainingRuntime", "mainspring-tensorflow"))
    logs = [tmp_path / f"{pod.name}.log" for pod in pods]

    with network_of(pods) as spaces:
        workers = [start(pod, spaces[pod.name], log) for pod, log in zip(pods, logs, strict=True)]
        try:
            statuses = [worker.wait() for worker in workers]
        finally:
            for worker in workers:
                worker.kill()

    said = [log.read_text(encoding="utf-8") for log in logs]
    assert statuses == [0, 0], said
    assert ["worker 1 of 2" in said[0], "worker 2 of 2" in said[1]] == [True, True], said
    assert json.loads((output / "result.json").read_text(encoding="utf-8"))["fingerprint"].startswith("sha256:")
    assert (output / "model" / "saved_model.pb").is_file()
    manifest = json.loads((output / "model" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["metrics"]["eval_auc"] > 0.9
    assert json.loads((output / "metrics.json").read_text(encoding="utf-8"))["train_rows"] == 1200
    assert (output / "report.html").is_file()
