"""From prepared examples to a trained model: built, trained by our loop or the team's, ready to be exported."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from mainspring.components.common.errors import UserError
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.event_log import EventLog
from mainspring.components.training.fitting.loop import Fitting, fit
from mainspring.components.training.fitting.nan_loss import oddities
from mainspring.components.training.fitting.progress import Watch, predictor
from mainspring.components.training.fitting.scores import loss_and_metric
from mainspring.components.training.hardware.devices import FLOAT32, Hardware
from mainspring.components.training.hyperparameters import Hyperparameters, checked_class_weights
from mainspring.components.training.model import network
from mainspring.components.training.model.context import Datasets, Folders, ModelContext, inputs_of
from mainspring.components.training.model.team_module import Module
from mainspring.components.training.resuming.checkpoints import Checkpoints
from mainspring.components.training.resuming.interruption import Interruption
from mainspring.components.training.rows import feed
from mainspring.components.training.rows.preparing import Prepared

UNBOUNDED = 10**9
"""Patience of a training loop that stops when it likes."""


@dataclass(frozen=True)
class Job:
    """One training."""

    prepared: Prepared
    settings: Hyperparameters
    hardware: Hardware
    folders: Folders
    module: Module | None = None
    checkpoints: Checkpoints | None = None
    checkpoint_seconds: float = 60.0
    interruption: Interruption = dataclasses.field(default_factory=Interruption)
    told: Callable[[Epoch], bool] = lambda epoch: False
    """Is called after each epoch; training stops where it returns True."""


@dataclass(frozen=True)
class Trained:
    """What came of it."""

    model: keras.Model
    """With the weights of its best epoch, in float32 and free of any distribution, where it was built by us or by
    `build_model`; as it is where a module's `train` returned it."""
    epochs: list[Epoch]
    kept: Epoch
    """The one whose weights the model has."""


def train(job: Job) -> Trained:
    """Trains a model.

    Raises:
        UserError: The module fails, or the loss is no longer a number.
        SystemExit: The process was told to end.
    """
    history: list[Epoch] = []
    keras.utils.set_random_seed(job.settings.seed)
    keras.config.set_dtype_policy(job.hardware.precision)
    try:
        context = _context(job, history)
        if job.module and job.module.train:
            model = job.module.train_model(context)
            return Trained(model, history, _epoch_of(model, job, context, history))
        with job.hardware.strategy.scope():
            model = _built(job, context)
            if job.prepared.champion:
                job.prepared.champion.give_weights(model)
        context.fit(model)
    finally:
        keras.config.set_dtype_policy(FLOAT32)
    kept = min(history, key=lambda epoch: epoch.eval_loss)
    if job.hardware.is_plain and job.hardware.precision == FLOAT32:
        return Trained(model, history, kept)
    servable = _built(job, _context(job, []))
    servable.set_weights(model.get_weights())
    return Trained(servable, history, kept)


def _epoch_of(model: keras.Model, job: Job, context: ModelContext, history: list[Epoch]) -> Epoch:
    """Returns the epoch whose weights a module's own model has; one more is judged where it is none of those seen."""
    rows = job.prepared.evaluation
    loss, _ = loss_and_metric(predictor(model)(rows), rows.targets, job.prepared.label, _class_weights(job))
    seen = [epoch for epoch in history if math.isclose(epoch.eval_loss, loss, rel_tol=1e-6)]
    if not seen:
        print("train returned a model that no epoch has judged; it is judged now", flush=True)
        context.epoch_ended(model, float("nan"))
    return (seen or history)[-1]


def _built(job: Job, context: ModelContext) -> keras.Model:
    return job.module.build_model(context) if job.module else network.build_model(context)


def _context(job: Job, history: list[Epoch]) -> ModelContext:
    prepared, encoder, label = job.prepared, job.prepared.encoder, job.prepared.label
    quantities = encoder.statistics.numeric
    return ModelContext(
        schema=prepared.examples.schema,
        task=label.task,
        label=label.name,
        classes=label.classes,
        features={feature.name: feature.kind for feature in prepared.examples.features},
        id_columns=tuple(encoder.names),
        id_counts=tuple(encoder.sizes),
        number_columns=tuple(feature.name for feature in quantities),
        units=label.units,
        hyperparameters=job.settings,
        seed=job.settings.seed,
        inputs=inputs_of(len(encoder.sizes), len(quantities)),
        datasets=Datasets(
            train=partial(feed.train_batches, prepared.train, seed=job.settings.seed),
            evaluation=partial(feed.eval_batches, prepared.evaluation),
            distributed=partial(_distributed, job),
            train_rows=prepared.train.rows,
            eval_rows=prepared.evaluation.rows,
        ),
        strategy=job.hardware.strategy,
        folders=job.folders,
        fit=lambda model: history.extend(fit(model, _fitting(job))),
        epoch_ended=_EpochByEpoch(job, history),
    )


def _distributed(job: Job, batch_size: int, epochs: int, start: int = 0) -> Any:
    """Returns train's batches over all replicas: what `Datasets.distributed` promises."""
    blocks, hardware = job.prepared.train, job.hardware
    batch_size = min(batch_size, min(blocks.sizes) // hardware.local_replicas)
    if not batch_size:
        raise UserError(
            f"examples: train has {blocks.rows * hardware.workers:,} rows for "
            f"{hardware.strategy.num_replicas_in_sync} devices; train on fewer"
        )
    batches = feed.train_batches(blocks, batch_size, epochs, job.settings.seed, start)
    if hardware.is_plain:
        return batches
    # A replica without a batch of its own would give no number for a loss.
    left = feed.batches_per_epoch(blocks, batch_size) * epochs - start
    whole = batches.take(left // hardware.local_replicas * hardware.local_replicas)
    return hardware.strategy.distribute_datasets_from_function(lambda context: whole)


def _class_weights(job: Job) -> list[float] | None:
    prepared = job.prepared
    return checked_class_weights(job.settings.class_weights, prepared.label.classes, prepared.class_rows)


def _fitting(job: Job) -> Fitting:
    prepared = job.prepared
    return Fitting(
        train=prepared.train,
        evaluation=prepared.evaluation,
        label=prepared.label,
        settings=job.settings,
        hardware=job.hardware,
        class_weights=_class_weights(job),
        checkpoints=job.checkpoints,
        checkpoint_seconds=job.checkpoint_seconds,
        interruption=job.interruption,
        logs=job.folders.logs if job.hardware.is_chief else None,
        told=job.told,
        describe_batch=oddities(prepared.encoder, prepared.label),
    )


class _EpochByEpoch:
    """`context.epoch_ended`: watches a training loop that is the module's own."""

    def __init__(self, job: Job, history: list[Epoch]) -> None:
        self._job, self._history = job, history
        self._watch: Watch | None = None
        self._judged: Any = None

    def __call__(self, model: Any, loss: float) -> float:
        prepared, job = self._job.prepared, self._job
        if self._watch is None:
            log = EventLog(job.folders.logs if job.hardware.is_chief else None)
            epochs = job.settings.max_epochs or 1
            self._watch = Watch(
                model, prepared.evaluation, prepared.label, epochs, UNBOUNDED, log, job.told, _class_weights(job)
            )
        elif model is not self._judged:
            self._watch.now_watches(model)
        self._judged = model
        self._watch.epoch_ended(float(loss), prepared.train.rows)
        self._history.append(self._watch.history[-1])
        return self._history[-1].eval_loss
