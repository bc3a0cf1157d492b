"""Trains a model on examples and publishes it as a SavedModel with its preprocessing inside."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported.

from mainspring.components.common import buckets, manifests, storage
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.trainer import Job, train
from mainspring.components.training.hardware.devices import Hardware, choose_hardware, make_deterministic
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.model.context import Folders
from mainspring.components.training.model.team_module import Module, load_module
from mainspring.components.training.publishing.published_model import Origin, publish
from mainspring.components.training.reporting.figures import Metrics
from mainspring.components.training.reporting.training_report import training_page
from mainspring.components.training.resuming.checkpoints import Checkpoints
from mainspring.components.training.resuming.interruption import noticing_termination
from mainspring.components.training.resuming.warm_start import read_champion
from mainspring.components.training.rows.preparing import Examples, Prepared, Shard, open_examples, prepare
from mainspring.components.training.rows.spill_folder import scratch_folder


@dataclass(frozen=True)
class Outputs:
    """Where everything goes."""

    model: Path
    report: Path
    logs: Path | None
    metrics: Metrics


def train_model(
    *,
    examples: str,
    schema: str,
    label: str,
    model: str,
    metrics: Metrics,
    report: str,
    logs: str = "",
    task: str = "auto",
    exclude: Sequence[str] = (),
    module: str = "",
    parent_uri: str = "",
    warm_start: bool = False,
    accelerator: str = "",
    precision: str = "",
    deterministic: bool = False,
    checkpoints: str = "",
    checkpoint_seconds: float = 60.0,
    hyperparameters: str | Mapping[str, Any] = "",
    **settings: Any,
) -> str:
    """Trains a model and publishes it at `model`; `component.py` documents the parameters.

    With a cluster in `TF_CONFIG` every worker calls this with the same arguments; only the chief publishes.

    Args:
        examples: Folder of `ingest_examples`.
        schema: Folder of `validate_examples`, or the file.
        label: The label's column.
        model: Folder to publish.
        metrics: Gets training's last figures.
        report: HTML file to write.
        logs: Folder for TensorBoard's event file; empty: none.
        task: One of the tasks, or `auto`.
        exclude: Columns that are no features.
        module: The team's own code, as `modules.load_module` takes it.
        parent_uri: The version this model is to replace.
        warm_start: Whether to start from it.
        accelerator: As `devices.choose_hardware` takes it.
        precision: Likewise.
        deterministic: Whether operations keep to one order.
        checkpoints: Folder of checkpoints; empty: none.
        checkpoint_seconds: Between two of them.
        hyperparameters: By name, as JSON or a mapping; they go before `settings`.
        **settings: Hyperparameters by name.

    Returns:
        The fingerprint of the SavedModel's files.

    Raises:
        UserError: A parameter is out of range, the inputs do not fit together, or there is nothing to learn.
        SystemExit: The process was told to end while it trained; the status says that a retry is worth it.
    """
    started = time.perf_counter()
    checked = hyper.checked(hyperparameters, **settings)
    task = hyper.checked_task(task)
    hyper.checked_seconds("checkpoint_seconds", checkpoint_seconds)
    hardware = choose_hardware(accelerator, precision)
    if deterministic:
        make_deterministic()
    print(f"training on {hardware.description}", flush=True)
    own = load_module(module) if module else None
    opened = open_examples(buckets.local_copy(examples), buckets.local_copy(schema), label, exclude)
    if warm_start and not parent_uri:
        print("cold start: there is no champion to begin with yet", flush=True)
    champion = read_champion(parent_uri) if warm_start and parent_uri else None
    outputs = Outputs(storage.as_path(model), Path(report), Path(logs) if logs else None, metrics)
    with scratch_folder() as scratch:
        shard = Shard(hardware.worker, hardware.workers)
        prepared = prepare(opened, task, checked, scratch, shard, champion)
        made_from = _made_from(prepared, checked, hardware, own) | {"deterministic": deterministic}
        saved = Checkpoints(checkpoints, made_from, hardware.is_chief) if checkpoints else None
        folders = Folders(scratch, outputs.logs or scratch / "logs", saved.uri if saved else "")
        found_ready = time.perf_counter()
        with noticing_termination(saved is not None) as interruption:
            job = Job(prepared, checked, hardware, folders, own, saved, float(checkpoint_seconds), interruption)
            trained = train(job)
        fitted = time.perf_counter()
        if not hardware.is_chief:
            return ""
        origin = Origin(module, own.digest if own else "", parent_uri)
        manifest = publish(trained.model, prepared, checked, trained.kept, origin, outputs.model)
    if saved:
        saved.remove()
    exported = time.perf_counter()
    seconds = (
        f"{exported - started:.1f} ({found_ready - started:.1f} reading and preparing, "
        f"{fitted - found_ready:.1f} fitting, {exported - fitted:.1f} exporting)"
    )
    epochs = trained.epochs
    facts = {
        "Device": hardware.description,
        "Precision": hardware.precision,
        "Deterministic": "as asked for" if deterministic else "not asked for",
        "Seconds": seconds,
        "Rows a second while fitting": f"{prepared.train_rows * len(epochs) / (fitted - found_ready):,.0f}",
        "Module": module or "none",
        "Warm start": prepared.champion.uri if prepared.champion else "no",
    }
    _tell(outputs, manifest, prepared, epochs, facts)
    print(f"seconds: {seconds}; the model is that of epoch {trained.kept.number} of {len(epochs)}", flush=True)
    return manifest.fingerprint


def _tell(
    outputs: Outputs,
    manifest: manifests.ModelManifest,
    prepared: Prepared,
    epochs: list[Epoch],
    facts: dict[str, str],
) -> None:
    rows = {"train": prepared.train_rows, "eval": prepared.evaluation.rows}
    storage.write_atomically(outputs.report, training_page(manifest, epochs, prepared.encoder, rows, facts))
    for name, value in (manifest.metrics | {f"{split}_rows": float(count) for split, count in rows.items()}).items():
        outputs.metrics.log_metric(name, value)


def _made_from(
    prepared: Prepared, settings: Hyperparameters, hardware: Hardware, module: Module | None
) -> dict[str, Any]:
    """Returns all that decides what the training does: a checkpoint of anything else must not be resumed."""
    examples: Examples = prepared.examples
    return {
        "examples": examples.manifest.fingerprint,
        "rows": prepared.train_rows,
        "schema": hashlib.sha256(examples.schema_text.encode()).hexdigest(),
        "label": dataclasses.asdict(prepared.label),
        "features": [dataclasses.asdict(feature) for feature in examples.features],
        "settings": dataclasses.asdict(settings),
        "module": module.digest if module else "",
        "parent": prepared.champion.uri if prepared.champion else "",
        "replicas": hardware.strategy.num_replicas_in_sync,
        "precision": hardware.precision,
        "versions": manifests.code_versions("tensorflow", "keras"),
    }
