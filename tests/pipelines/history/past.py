"""Runs that are over, as engines leave them: for tests of what is shown of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mainspring.pipelines.history import records
from mainspring.pipelines.history.outcome import outcome_of
from mainspring.pipelines.history.records import RunRecord

TARGET = "local://flights"


def put_run(
    root: Path, day: int, status: str = "succeeded", *, spans: str = "", auc: float = 0.0, version: int = 0, **more: Any
) -> RunRecord:
    """Records a run of a day of November 2026; with `auc`, one that got as far as evaluation."""
    folder = root / "runs" / f"continuous-training-202611{day:02d}-030000-000000"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "train-model.log").write_text("epoch 1\n")
    (folder / "report.html").write_text("a page")
    tasks: list[dict[str, Any]] = [_task("resolve-spans", {"spans": spans, "fingerprint": "sha256:1"})]
    tasks.append(_task("resolve-champion", {"champion_uri": "", "version": version - 1}))
    if auc:
        evaluation = folder / "tasks" / "evaluation"
        evaluation.mkdir(parents=True)
        metrics = {"challenger": {"example_count": 9.0, "auc": auc}, "champion": {"auc": 0.7} if version > 1 else None}
        told = {"blessed": bool(version), "metrics": metrics, "gates": [{"metric": "auc", "slice": {}}]}
        (evaluation / "evaluation.json").write_text(json.dumps(told))
        tasks.append(_task("evaluate-model", {"evaluation": {"uri": str(evaluation)}}))
    if version:
        tasks.append(
            _task("deploy-model", {"version": version, "version_uri": f"/m/{version}", "endpoint": "http://e"})
        )
    if status == "failed":
        tasks.append(_task("train-model", {}) | {"state": "failed"})
    record = RunRecord(
        run=folder.name,
        pipeline="continuous-training",
        status=status,
        started=f"2026-11-{day:02d}T03:00:00+00:00",
        seconds=12.0,
        arguments={"target": TARGET, "label": "late"},
        outcome=outcome_of(tasks),
        tasks=tasks,
        page=str(folder / "report.html"),
        **more,
    )
    records.write(folder, record)
    return record


def _task(name: str, outputs: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": name, "state": "succeeded", "seconds": 1.0, "outputs": outputs}


def examples(*files: Path, spans: list[str]) -> dict[str, Any]:
    """Returns the manifest of examples that were read from files of this machine."""
    found = [
        {
            "uri": str(file),
            "bytes": file.stat().st_size,
            "generation": str(file.stat().st_mtime_ns),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in files
    ]
    source = {"uri": "data/{SPAN}.csv", "files": found, "tables": []}
    told: dict[str, Any] = {"rows": {"train": 9, "eval": 1}, "columns": {"x": "double"}, "spans": spans}
    return told | {"fingerprint": "sha256:e", "source": source, "query": "FROM source", "versions": {}}


def put_version(root: Path, number: int, run: str, auc: float, files: tuple[Path, ...] = (), **more: Any) -> Path:
    """Publishes a version of `flights` without a model in it, of a run."""
    folder = root / "flights" / str(number)
    (folder / "evaluation").mkdir(parents=True)
    version = {"name": "flights", "version": number, "model_fingerprint": f"sha256:m{number}", "baseline": ""}
    version |= {"examples_fingerprint": f"sha256:e{number}", "replaces": number - 1, "files": {}, "run": run}
    version |= {"created": f"2026-11-{number:02d}T03:01:00+00:00"} | more
    (folder / "version.json").write_text(json.dumps(version))
    model: dict[str, Any] = {"task": "binary_classification", "label": "late", "classes": ["false", "true"]}
    model |= {"features": {"x": "numeric"}}
    model |= {"hyperparameters": {"model": "network"}, "seed": 1, "examples_fingerprint": f"sha256:e{number}"}
    model |= {"schema_fingerprint": "sha256:s", "parent": "", "fingerprint": f"sha256:m{number}"}
    model |= {"versions": {"mainspring": "0.1.0"}, "spans": [str(number)]}
    (folder / "manifest.json").write_text(json.dumps(model))
    (folder / "examples.json").write_text(json.dumps(examples(*files, spans=[str(number)])))
    metrics = {"challenger": {"auc": auc}, "champion": {"auc": 0.7} if number > 1 else None}
    judged = {"uri": str(folder.parent / str(number - 1)), "version": number - 1} if number > 1 else None
    told = {"blessed": True, "metrics": metrics, "gates": [{"metric": "auc", "slice": {}}], "champion": judged}
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps(told))
    return folder
