"""The network, ours or the team's, from examples to a publishable model."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common import manifests
from mainspring.components.training.fitting.trainer import Job, Trained, train
from mainspring.components.training.hardware.devices import Hardware
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.model.context import Folders
from mainspring.components.training.model.team_module import Module
from mainspring.components.training.publishing.published_model import Fitted, of_network
from mainspring.components.training.resuming.checkpoints import Checkpoints
from mainspring.components.training.resuming.interruption import noticing_termination
from mainspring.components.training.resuming.warm_start import Champion
from mainspring.components.training.rows.preparing import Examples, Prepared, Shard, prepare


@dataclass(frozen=True)
class NetworkJob:
    """What a network is trained with."""

    examples: Examples
    task: str
    settings: Hyperparameters
    hardware: Hardware
    module: Module | None
    champion: Champion | None
    scratch: Path
    logs: Path | None
    checkpoints: str
    """Folder; empty: none."""
    checkpoint_seconds: float
    made_from: Mapping[str, Any]
    """More that decides what the training does."""


def fit_network(job: NetworkJob) -> Fitted:
    """Trains the network on train, and makes it publishable.

    Raises:
        UserError: The examples cannot be learned from, or the module fails.
        SystemExit: The process was told to end while it trained.
    """
    prepared = prepared_rows(job)
    return publishable(job, prepared, trained_network(job, prepared))


def prepared_rows(job: NetworkJob) -> Prepared:
    """Returns the job's examples as a network eats them."""
    shard = Shard(job.hardware.worker, job.hardware.workers)
    return prepare(job.examples, job.task, job.settings, job.scratch, shard, job.champion)


@dataclass(frozen=True)
class NetworkTrained:
    """A trained network, and what belongs to it."""

    trained: Trained
    saved: Checkpoints | None
    seconds: float


def trained_network(job: NetworkJob, prepared: Prepared) -> NetworkTrained:
    """Trains a network on prepared rows."""
    started = time.perf_counter()
    saved = None
    if job.checkpoints:
        saved = Checkpoints(job.checkpoints, _made_from(prepared, job), job.hardware.is_chief)
    folders = Folders(job.scratch, job.logs or job.scratch / "logs", saved.uri if saved else "")
    with noticing_termination(saved is not None) as interruption:
        trained = train(
            Job(
                prepared,
                job.settings,
                job.hardware,
                folders,
                job.module,
                saved,
                job.checkpoint_seconds,
                interruption,
            )
        )
    return NetworkTrained(trained, saved, time.perf_counter() - started)


def publishable(job: NetworkJob, prepared: Prepared, found: NetworkTrained) -> Fitted:
    """Returns the network ready to be published; once it is, its checkpoints go."""
    trained = found.trained
    fitted = of_network(trained.model, prepared, trained.epochs, trained.kept, "network")
    said = {
        "Device": job.hardware.description,
        "Precision": job.hardware.precision,
        "Rows a second while fitting": f"{prepared.train_rows * len(trained.epochs) / found.seconds:,.0f}",
        "Columns": "; ".join(prepared.notes) or "as they are",
        "Warm start": prepared.champion.uri if prepared.champion else "no",
    }
    print(f"the model is that of epoch {trained.kept.number} of {len(trained.epochs)}", flush=True)
    return dataclasses.replace(fitted, said=said, published=found.saved.remove if found.saved else lambda: None)


def _made_from(prepared: Prepared, job: NetworkJob) -> dict[str, Any]:
    """Returns all that decides what the training does: a checkpoint of anything else must not be resumed."""
    examples = prepared.examples
    return {
        "examples": examples.manifest.fingerprint,
        "rows": prepared.train_rows,
        "schema": hashlib.sha256(examples.schema_text.encode()).hexdigest(),
        "label": dataclasses.asdict(prepared.label),
        "features": [dataclasses.asdict(feature) for feature in examples.features],
        "settings": dataclasses.asdict(job.settings),
        "module": job.module.digest if job.module else "",
        "parent": prepared.champion.uri if prepared.champion else "",
        "replicas": job.hardware.strategy.num_replicas_in_sync,
        "precision": job.hardware.precision,
        "versions": manifests.code_versions("tensorflow", "keras"),
        **job.made_from,
    }
