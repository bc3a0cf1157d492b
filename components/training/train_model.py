"""Trains a model on examples and publishes it as a SavedModel with its preprocessing inside."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported.

from mainspring.components.common import buckets, manifests, storage
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training.choosing import kinds
from mainspring.components.training.choosing.choice import Jobs, fit_kind
from mainspring.components.training.choosing.fitting_trees import TreeJob
from mainspring.components.training.choosing.network_fitting import NetworkJob
from mainspring.components.training.features.columns import NUMERIC
from mainspring.components.training.fitting.threshold_rule import checked_rule
from mainspring.components.training.hardware import lost_workers
from mainspring.components.training.hardware.devices import choose_hardware, make_deterministic
from mainspring.components.training.model.team_module import load_module
from mainspring.components.training.publishing.published_model import Fitted, Origin, Tried, publish
from mainspring.components.training.reporting.figures import Metrics
from mainspring.components.training.reporting.training_report import training_page
from mainspring.components.training.resuming.warm_start import read_champion
from mainspring.components.training.rows.preparing import open_examples
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
    model_kind: str = kinds.NETWORK,
    rises_with: str | Mapping[str, str] = "",
    threshold: str | float = "",
    cost: str | Mapping[str, float] = "",
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
        model_kind: `auto`, `network`, `trees` or `linear`.
        rises_with: `rises` or `falls` by quantity, as JSON or a mapping: what predictions may only do as it rises.
        threshold: `f1`, or a number: from which probability on a row is of the positive class. Empty: `f1` where one
            of two classes is rare, one half otherwise.
        cost: Of a false positive and a false negative, as JSON or a mapping: the threshold is where they cost least.
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
    rule = checked_rule(threshold, cost)
    with lost_workers.as_one_line():
        hardware = choose_hardware(accelerator, precision)
    kind = kinds.checked_kind(model_kind, module, hardware.workers)
    if deterministic:
        make_deterministic()
    print(f"training on {hardware.description}", flush=True)
    own = load_module(module) if module else None
    opened = open_examples(buckets.local_copy(examples), buckets.local_copy(schema), label, exclude)
    numeric = [feature.name for feature in opened.features if feature.kind == NUMERIC]
    held_to = kinds.checked_rises_with(rises_with, numeric, kind)
    if warm_start and not parent_uri:
        print("cold start: there is no champion to begin with yet", flush=True)
    champion = read_champion(parent_uri) if warm_start and parent_uri else None
    outputs = Outputs(storage.as_path(model), Path(report), Path(logs) if logs else None, metrics)
    with scratch_folder() as scratch:
        network = NetworkJob(
            examples=opened,
            task=task,
            settings=checked,
            hardware=hardware,
            module=own,
            champion=champion,
            scratch=scratch,
            logs=outputs.logs,
            checkpoints=checkpoints,
            checkpoint_seconds=float(checkpoint_seconds),
            made_from={"deterministic": deterministic},
        )
        with lost_workers.as_one_line():
            fitted, tried = fit_kind(kind, Jobs(network, TreeJob(opened, task, checked, held_to)), rule)
        fitted_at = time.perf_counter()
        if not hardware.is_chief:
            return ""
        origin = Origin(module, own.digest if own else "", parent_uri)
        manifest = publish(fitted, opened, checked, origin, outputs.model, tried)
    fitted.published()
    exported = time.perf_counter()
    seconds = f"{exported - started:.1f} ({exported - fitted_at:.1f} exporting)"
    facts = {
        "Model": fitted.kind,
        "Deterministic": "as asked for" if deterministic else "not asked for",
        "Seconds": seconds,
        "Module": module or "none",
    }
    if fitted.threshold:
        facts["Threshold"] = f"{fitted.label.classes[1]} from {fitted.threshold.value:.4g} on ({fitted.threshold.by})"
        print(f"threshold: {facts['Threshold']}", flush=True)
    _tell(outputs, manifest, fitted, tried, facts)
    print(f"seconds: {seconds}", flush=True)
    return manifest.fingerprint


def _tell(
    outputs: Outputs, manifest: manifests.ModelManifest, fitted: Fitted, tried: Sequence[Tried], facts: dict[str, str]
) -> None:
    rows = {"train": fitted.train_rows, "eval": fitted.eval_rows}
    storage.write_atomically(outputs.report, training_page(manifest, fitted, rows, facts | fitted.said, tried))
    for name, value in (manifest.metrics | {f"{split}_rows": float(count) for split, count in rows.items()}).items():
        outputs.metrics.log_metric(name, value)
