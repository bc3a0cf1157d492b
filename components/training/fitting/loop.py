"""Fitting a model: steps over the fed batches, epochs judged on eval, the best weights kept, interruptions survived."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.event_log import EventLog
from mainspring.components.training.fitting.nan_loss import refuse_diverging, refuse_lost
from mainspring.components.training.fitting.progress import Watch
from mainspring.components.training.fitting.train_step import train_steps
from mainspring.components.training.hardware.devices import Hardware
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.resuming.checkpoints import Checkpoints, State
from mainspring.components.training.resuming.interruption import Interrupted, Interruption
from mainspring.components.training.rows.blocks import Blocks
from mainspring.components.training.rows.feed import Split, batches_per_epoch, train_batches

MIN_STEPS_PER_EPOCH = 20
"""Small tables are trained in steps small enough for this many an epoch."""
MIN_BATCH = 16
AUTOMATIC_ROWS = 384_000
"""Where `max_epochs` is 0: as many epochs as show this many rows, within the two bounds below."""
FEWEST_EPOCHS = 3
MOST_EPOCHS = 40
MIN_STEPS_OF_PATIENCE = 100
"""Patience is never shorter than this: an epoch of a small table says little."""
STEPS_PER_CALL = 32
SECONDS_PER_CALL = 2.0
"""Slow steps are called in smaller numbers: a spot node's notice is answered between two calls."""


@dataclass(frozen=True)
class Plan:
    """How long and in what steps a table is trained."""

    batch_size: int
    """Rows per step and replica."""
    steps_per_epoch: int
    epochs: int
    patience: int


@dataclass(frozen=True)
class Fitting:
    """All that a model is fitted with."""

    train: Blocks
    """This worker's."""
    evaluation: Split
    label: LabelSpec
    settings: Hyperparameters
    hardware: Hardware
    class_weights: list[float] | None = None
    checkpoints: Checkpoints | None = None
    checkpoint_seconds: float = 60.0
    interruption: Interruption = dataclasses.field(default_factory=Interruption)
    logs: Path | None = None
    """Folder for TensorBoard."""
    told: Callable[[Epoch], bool] = lambda epoch: False
    """Is called after each epoch; training stops where it returns True."""
    describe_batch: Callable[[dict[str, np.ndarray], np.ndarray], str] = lambda inputs, targets: ""
    """Says what is odd about a batch whose loss is no number."""


def plan(train: Blocks, settings: Hyperparameters, hardware: Hardware) -> Plan:
    """Tells batch size, epochs and patience from the table's size where the hyperparameters leave it open.

    Raises:
        UserError: There are fewer rows than devices.
    """
    rows = train.rows * hardware.workers
    wanted = min(settings.batch_size, max(MIN_BATCH, rows // MIN_STEPS_PER_EPOCH), rows)
    most = max(min(train.sizes) // hardware.local_replicas, 1)
    batch_size = min(max(wanted // hardware.strategy.num_replicas_in_sync, 1), most)
    steps = batches_per_epoch(train, batch_size) // hardware.local_replicas
    if not steps:
        raise UserError(
            f"examples: train has {rows:,} rows for {hardware.strategy.num_replicas_in_sync} devices; train on fewer"
        )
    return Plan(
        batch_size=batch_size,
        steps_per_epoch=steps,
        epochs=settings.max_epochs or automatic_epochs(rows),
        patience=max(settings.patience, math.ceil(MIN_STEPS_OF_PATIENCE / steps)),
    )


def automatic_epochs(rows: int) -> int:
    """Returns how many epochs a table of so many rows takes at most."""
    return min(max(math.ceil(AUTOMATIC_ROWS / max(rows, 1)), FEWEST_EPOCHS), MOST_EPOCHS)


def fit(model: keras.Model, fitting: Fitting) -> list[Epoch]:
    """Trains the model in place, prints a line an epoch, and leaves the weights of the best epoch.

    Args:
        model: A Keras model over the encoder's outputs, made in the strategy's scope.
        fitting: Data, hyperparameters and all else.

    Raises:
        UserError: The loss is no longer a number, or diverges.
        SystemExit: The process was told to end; a checkpoint was saved where there is a folder for it.
    """
    schedule = plan(fitting.train, fitting.settings, fitting.hardware)
    replicas = fitting.hardware.strategy.num_replicas_in_sync
    print(
        f"{schedule.epochs} epochs at most, {schedule.steps_per_epoch:,} steps of "
        f"{schedule.batch_size * replicas:,} rows each",
        flush=True,
    )
    with fitting.hardware.strategy.scope():
        optimizer = _optimizer(fitting.settings, schedule)
        optimizer.build(model.trainable_variables)
    log = EventLog(fitting.logs)
    watch = Watch(
        model,
        fitting.evaluation,
        fitting.label,
        schedule.epochs,
        schedule.patience,
        log,
        fitting.told,
        fitting.class_weights,
    )
    run = _Run(model, optimizer, fitting, schedule, watch)
    with fitting.interruption.awaited():
        run.resume()
        run.to_the_end()
    log.close()
    model.set_weights(watch.best_weights)
    return watch.history


def _optimizer(settings: Hyperparameters, schedule: Plan) -> keras.optimizers.Optimizer:
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, schedule.epochs * schedule.steps_per_epoch)
    if settings.weight_decay:
        # Keras takes its share times the step size; ours is said at the first step's.
        return keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay / settings.learning_rate)
    return keras.optimizers.Adam(rate)


class _Run:
    """One try at fitting: from the start, or from where an earlier try was cut short."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        fitting: Fitting,
        schedule: Plan,
        watch: Watch,
    ) -> None:
        self._model, self._optimizer, self._fitting, self._plan, self._watch = (
            model,
            optimizer,
            fitting,
            schedule,
            watch,
        )
        self._step = 0
        self._loss_sum = 0.0
        self._saved_step = 0
        self._saved = time.monotonic()
        strategy = fitting.hardware.strategy
        # Workers must call for the same steps, so many of them keep to a number that no clock decides.
        self._is_alone = fitting.hardware.workers == 1
        self._steps_per_call, self._calls = 1 if self._is_alone else STEPS_PER_CALL, 0
        self._steps = train_steps(model, optimizer, fitting.label.task, fitting.class_weights, strategy)

    def resume(self) -> None:
        """Takes up the newest checkpoint, if there is one."""
        checkpoints = self._fitting.checkpoints
        found = checkpoints.latest(_values(self._model), _values(self._optimizer)) if checkpoints else None
        if checkpoints is None or found is None:
            return
        for holder, arrays in ((self._model, found.variables), (self._optimizer, found.slots)):
            for variable, array in zip(holder.variables, arrays, strict=True):
                variable.assign(array)
        self._step = self._saved_step = found.step
        self._loss_sum = found.loss_sum
        self._watch.resume([Epoch(**epoch) for epoch in found.history], found.best_epoch, found.best_weights)
        print(f"resumed at step {found.step:,} from {checkpoints.uri}", flush=True)

    def to_the_end(self) -> None:
        """Trains until the last epoch, or until eval's loss no longer falls."""
        iterator = self._iterator()
        stops = self._has_run_out_of_patience()
        while not stops and len(self._watch.history) < self._plan.epochs:
            begun, started = self._step, time.perf_counter()
            end = (len(self._watch.history) + 1) * self._plan.steps_per_epoch
            self._watch.begin_epoch()
            while self._step < end:
                self._some_steps(iterator, min(self._steps_per_call, end - self._step), end, begun, started)
            rows = (self._step - begun) * self._rows_per_step
            stops = self._watch.epoch_ended(self._loss_sum / self._plan.steps_per_epoch, rows)
            self._loss_sum = 0.0

    def _has_run_out_of_patience(self) -> bool:
        return len(self._watch.history) - 1 - self._watch.best_epoch >= self._plan.patience

    @property
    def _rows_per_step(self) -> int:
        return self._plan.batch_size * self._fitting.hardware.strategy.num_replicas_in_sync

    def _some_steps(self, iterator: Any, count: int, end: int, begun: int, started: float) -> None:
        called = time.perf_counter()
        losses = self._steps(iterator, tf.constant(count)).numpy()
        self._note_speed((time.perf_counter() - called) / count)
        in_epoch = self._step + count - (end - self._plan.steps_per_epoch)
        if not np.isfinite(losses).all():
            bad = self._step + int(np.flatnonzero(~np.isfinite(losses))[0])
            refuse_lost(bad, self._plan.steps_per_epoch, self._batch(bad), self._fitting.describe_batch)
        self._step += count
        self._loss_sum += float(losses.sum(dtype=np.float64))
        rate = (self._step - begun) * self._rows_per_step / (time.perf_counter() - started)
        if self._watch.steps_done(losses, in_epoch, self._plan.steps_per_epoch, rate):
            worst = self._step - count + int(losses.argmax())
            said = f"{float(losses[-1]):.3g}, and it was {self._watch.lowest:.3g}"
            refuse_diverging(worst, self._plan.steps_per_epoch, self._batch(worst), self._fitting.describe_batch, said)
        self._save_if_due()

    def _note_speed(self, seconds_per_step: float) -> None:
        self._calls += 1
        if self._calls > 1 and self._is_alone:  # The first call traces the model.
            most = int(SECONDS_PER_CALL / max(seconds_per_step, 1e-9))
            self._steps_per_call = min(max(most, 1), STEPS_PER_CALL)

    def _save_if_due(self) -> None:
        due = time.monotonic() - self._saved >= self._fitting.checkpoint_seconds
        # Every worker has to read the variables that are spread over workers, so all must agree that it is time.
        due, ends = self._fitting.interruption.agreed(due, self._fitting.hardware)
        if self._fitting.checkpoints and (due or ends):
            self._save(self._fitting.checkpoints)
        if ends:
            print(f"told to end at step {self._step:,}: a retry goes on at step {self._saved_step:,}", flush=True)
            raise Interrupted(self._fitting.interruption.status)

    def _save(self, checkpoints: Checkpoints) -> None:
        try:
            checkpoints.save(self._state())
            self._saved_step = self._step
        except RetriableError as error:
            # The model is none the worse for it; what a retry would lose grows until one can be saved again.
            print(f"step {self._step:,} is not saved: {error}; training goes on", flush=True)
        self._saved = time.monotonic()

    def _state(self) -> State:
        watch = self._watch
        return State(
            step=self._step,
            loss_sum=self._loss_sum,
            history=tuple(dataclasses.asdict(epoch) for epoch in watch.history),
            best_epoch=watch.best_epoch,
            variables=_values(self._model),
            slots=_values(self._optimizer),
            best_weights=watch.best_weights,
        )

    def _iterator(self) -> Any:
        strategy = self._fitting.hardware.strategy
        if self._fitting.hardware.is_plain:
            return iter(self._dataset(self._step))
        return iter(strategy.distribute_datasets_from_function(lambda context: self._dataset(self._step)))

    def _dataset(self, step: int) -> tf.data.Dataset:
        """Returns this worker's batches from a step on, one for each of its replicas."""
        start = step * self._fitting.hardware.local_replicas
        epochs, seed = self._plan.epochs, self._fitting.settings.seed
        return train_batches(self._fitting.train, self._plan.batch_size, epochs, seed, start)

    def _batch(self, step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        inputs, targets = next(iter(self._dataset(step)))
        return {name: tensor.numpy() for name, tensor in inputs.items()}, targets.numpy()


def _values(holder: Any) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in holder.variables]
