"""Fitting a model: steps from arrays in memory, epochs judged on eval, the best weights kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, MULTICLASS
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.labels import LabelSpec
from mainspring.components.training.scores import loss_and_metric, main_metric

MIN_STEPS_PER_EPOCH = 20
"""Small tables are trained in steps small enough for this many an epoch."""
MIN_BATCH = 16
AUTOMATIC_ROWS = 384_000
"""Where `max_epochs` is 0: as many epochs as show this many rows, within the two bounds below."""
FEWEST_EPOCHS = 3
MOST_EPOCHS = 40
MIN_STEPS_OF_PATIENCE = 100
"""Patience is never shorter than this: an epoch of a small table says little."""
CROSSES_FORGOTTEN = 0.1
"""Share of rows that are trained without their crosses, so that the model can do without where a cell is unknown."""
STEPS_PER_EXECUTION = 32
EVAL_BATCH = 16_384


@dataclass(frozen=True)
class Split:
    """A split's encoded rows."""

    inputs: dict[str, np.ndarray]
    """`ids` and `numbers`, each [rows, columns]."""
    targets: np.ndarray
    """[rows]"""
    crosses: int = 0
    """How many of `ids`' last columns are crosses."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.targets)


@dataclass(frozen=True)
class Plan:
    """How long and in what steps a table is trained."""

    batch_size: int
    steps_per_epoch: int
    epochs: int
    patience: int


@dataclass(frozen=True)
class Epoch:
    """What one pass over train gave."""

    number: int
    loss: float
    eval_loss: float
    metric: float
    seconds: float


def plan(rows: int, hyperparameters: Hyperparameters) -> Plan:
    """Tells batch size, epochs and patience from the table's size where the hyperparameters leave it open."""
    batch_size = min(hyperparameters.batch_size, max(MIN_BATCH, rows // MIN_STEPS_PER_EPOCH), rows)
    steps = rows // batch_size
    automatic = min(max(math.ceil(AUTOMATIC_ROWS / rows), FEWEST_EPOCHS), MOST_EPOCHS)
    return Plan(
        batch_size=batch_size,
        steps_per_epoch=steps,
        epochs=hyperparameters.max_epochs or automatic,
        patience=max(hyperparameters.patience, math.ceil(MIN_STEPS_OF_PATIENCE / steps)),
    )


def fit(
    model: keras.Model, train: Split, evaluation: Split, label: LabelSpec, hyperparameters: Hyperparameters
) -> list[Epoch]:
    """Trains the model in place, prints a line an epoch, and leaves the weights of the best epoch.

    Args:
        model: A Keras model over the encoder's outputs.
        train: Rows to learn from.
        evaluation: Rows to stop by.
        label: The label.
        hyperparameters: Step size, batch size, epochs, patience, seed.

    Raises:
        UserError: The loss is no longer a number.
    """
    schedule = plan(train.rows, hyperparameters)
    print(
        f"{schedule.epochs} epochs at most, {schedule.steps_per_epoch:,} steps of {schedule.batch_size:,} rows each",
        flush=True,
    )
    rate = keras.optimizers.schedules.CosineDecay(
        hyperparameters.learning_rate, schedule.epochs * schedule.steps_per_epoch
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=_loss(label.task),
        steps_per_execution=min(STEPS_PER_EXECUTION, schedule.steps_per_epoch),
        jit_compile=False,  # XLA on a CPU makes the lookups' gradients ten times slower.
    )
    watch = _Watch(evaluation, label, schedule, train.rows)
    model.fit(
        _batches(train, schedule, hyperparameters.seed),
        epochs=schedule.epochs,
        steps_per_epoch=schedule.steps_per_epoch,
        shuffle=False,
        verbose=0,
        callbacks=[watch],
    )
    model.set_weights(watch.best_weights)
    return watch.history


def predict(model: keras.Model, split: Split) -> np.ndarray:
    """Returns the model's outputs [rows, units]."""
    function = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
    return _predict(function, split)


def _predict(function: Any, split: Split) -> np.ndarray:
    parts = range(0, split.rows, EVAL_BATCH)
    return np.concatenate(
        [function({name: array[at : at + EVAL_BATCH] for name, array in split.inputs.items()}).numpy() for at in parts]
    )


def _loss(task: str) -> keras.losses.Loss:
    if task == BINARY:
        return keras.losses.BinaryCrossentropy(from_logits=True)
    if task == MULTICLASS:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras.losses.MeanSquaredError()


def _batches(train: Split, schedule: Plan, seed: int) -> tf.data.Dataset:
    """Returns every epoch's batches: a full permutation of the rows each time, told by seed and epoch alone."""
    inputs = {name: tf.constant(array) for name, array in train.inputs.items()}
    targets = tf.constant(train.targets[:, None])
    columns = train.inputs["ids"].shape[1]
    is_cross = np.arange(columns) >= columns - train.crosses

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(train.rows), seed=tf.stack([np.int64(seed), number]))

        def batch(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            rows = tf.reshape(
                order[step * schedule.batch_size : (step + 1) * schedule.batch_size], [schedule.batch_size]
            )
            taken = {name: tf.gather(tensor, rows) for name, tensor in inputs.items()}
            if train.crosses:
                chance = tf.random.stateless_uniform(
                    [schedule.batch_size, 1], seed=[np.int64(seed), number * schedule.steps_per_epoch + step]
                )
                taken["ids"] = tf.where((chance < CROSSES_FORGOTTEN) & is_cross, 0, taken["ids"])
            return taken, tf.gather(targets, rows)

        return tf.data.Dataset.range(schedule.steps_per_epoch).map(batch)

    return tf.data.Dataset.range(schedule.epochs).flat_map(epoch).prefetch(4)


class _Watch(keras.callbacks.Callback):
    """Judges each epoch on eval, prints it, keeps the best weights, and stops when patience or the loss runs out."""

    def __init__(self, evaluation: Split, label: LabelSpec, schedule: Plan, rows: int) -> None:
        super().__init__()
        self.evaluation, self.label, self.schedule, self.rows = evaluation, label, schedule, rows
        self.history: list[Epoch] = []
        self.best_loss = math.inf
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] = []
        self.function: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.started = self.epoch_started = time.perf_counter()
        self.function = tf.function(lambda inputs: self.model(inputs, training=False), reduce_retracing=True)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._check_finite(float(logs["loss"]), f"at step {batch + 1} or shortly before")

    def _check_finite(self, loss: float, when: str) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"learning_rate: the loss is no longer a number in epoch {len(self.history) + 1}, {when}; "
                "lower learning_rate, or look for absurd values in the label"
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        trained = time.perf_counter() - self.epoch_started
        eval_loss, metric = loss_and_metric(
            _predict(self.function, self.evaluation), self.evaluation.targets, self.label
        )
        self._check_finite(eval_loss, "on eval")
        now = time.perf_counter()
        self.history.append(Epoch(epoch + 1, float(logs["loss"]), eval_loss, metric, now - self.epoch_started))
        self.epoch_started = now
        if eval_loss < self.best_loss:
            self.best_loss, self.best_epoch, self.best_weights = eval_loss, epoch, self.model.get_weights()
        elif epoch - self.best_epoch >= self.schedule.patience:
            self.model.stop_training = True
        left = (now - self.started) / (epoch + 1) * (self.schedule.epochs - epoch - 1)
        print(
            f"epoch {epoch + 1}/{self.schedule.epochs}: loss {float(logs['loss']):.4f}, eval loss {eval_loss:.4f}, "
            f"{main_metric(self.label.task)} {metric:.4f}, {self.rows / trained:,.0f} rows/s, "
            + ("stopped early" if self.model.stop_training else f"{left:.0f} s left"),
            flush=True,
        )
