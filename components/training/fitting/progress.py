"""Training as people and machines watch it: a line an epoch, the best weights, and when to stop."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from mainspring.components.common.errors import UserError
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.event_log import EventLog
from mainspring.components.training.fitting.scores import loss_and_metric, main_metric
from mainspring.components.training.rows.feed import Split

EVAL_BATCH = 16_384
SECONDS_BETWEEN_LINES = 10.0
DIVERGED = 10.0
"""Times the first steps' loss, and `FAR_FROM_BEST` times the lowest: then training is not going to recover."""
FAR_FROM_BEST = 100.0
STEPS_JUDGED = 32


class Watch:
    """Judges a model on eval after each epoch, prints how it goes, and keeps the best weights."""

    def __init__(
        self,
        model: keras.Model,
        evaluation: Split,
        label: LabelSpec,
        epochs: int,
        patience: int,
        log: EventLog,
        told: Callable[[Epoch], bool] = lambda epoch: False,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """Watches one training.

        Args:
            model: The model that is trained.
            evaluation: The rows to judge it by.
            label: The label.
            epochs: How many there will be at most.
            patience: Epochs without a better eval loss before training stops.
            log: Gets the figures of each epoch.
            told: Is called after each epoch; training stops where it returns True.
            class_weights: Per class, of the loss that is trained: epochs are chosen by the same.
        """
        self._class_weights = class_weights
        self._model, self._evaluation, self._label, self._log, self._told = model, evaluation, label, log, told
        self._epochs, self._patience = epochs, patience
        self._predict = predictor(model)
        self.lowest = self._first = math.inf
        self._recent: deque[float] = deque(maxlen=STEPS_JUDGED)
        self._said = self._epoch_started = time.perf_counter()
        self.history: list[Epoch] = []
        self.best_epoch = -1
        self.best_weights: list[np.ndarray] = []

    def resume(self, history: Sequence[Epoch], best_epoch: int, best_weights: Sequence[np.ndarray]) -> None:
        """Takes up what an earlier try had seen."""
        self.history, self.best_epoch, self.best_weights = list(history), best_epoch, list(best_weights)
        for epoch in history:
            self._log.epoch(epoch, main_metric(self._label.task))

    def steps_done(self, losses: np.ndarray, step: int, of: int, rows_per_second: float) -> bool:
        """Looks at the losses of the last steps of an epoch, and says now and then how far it is.

        Args:
            losses: A loss per step.
            step: How many steps of this epoch are done.
            of: How many it has.
            rows_per_second: Of this epoch so far.

        Returns:
            Whether the loss diverges. The median of some steps is judged: a row far out, of which a skewed quantity has
            a few, makes one step's loss large and says nothing of training.
        """
        now = time.perf_counter()
        if now - self._said >= SECONDS_BETWEEN_LINES:
            self._said = now
            left = (now - self._epoch_started) / step * (of - step)
            print(
                f"epoch {len(self.history) + 1}/{self._epochs}, step {step:,}/{of:,}: loss {losses.mean():.4f}, "
                f"{rows_per_second:,.0f} rows/s, {left:.0f} s of it left",
                flush=True,
            )
        self._recent.extend(losses.tolist())
        if len(self._recent) < STEPS_JUDGED:
            return False
        typical = median(self._recent)
        self._first = self._first if math.isfinite(self._first) else typical
        self.lowest = min(self.lowest, typical)
        return typical > DIVERGED * self._first and typical > FAR_FROM_BEST * self.lowest

    def epoch_ended(self, loss: float, rows: int) -> bool:
        """Judges the model, prints a line, and returns whether training should stop.

        Args:
            loss: Mean loss of the epoch's steps.
            rows: Rows trained on in this epoch by this try.
        """
        trained = time.perf_counter() - self._epoch_started
        outputs, targets = self._predict(self._evaluation), self._evaluation.targets
        eval_loss, metric = loss_and_metric(outputs, targets, self._label, self._class_weights)
        number = len(self.history) + 1
        if not math.isfinite(eval_loss):
            raise UserError(
                f"learning_rate: the loss on eval is no longer a number after epoch {number}; "
                "lower learning_rate, or look for absurd values in the label"
            )
        now = time.perf_counter()
        epoch = Epoch(number, loss, eval_loss, metric, now - self._epoch_started)
        self._epoch_started = self._said = now
        self.history.append(epoch)
        self._log.epoch(epoch, main_metric(self._label.task))
        if self.best_epoch < 0 or eval_loss < self.history[self.best_epoch].eval_loss:
            self.best_epoch, self.best_weights = number - 1, self._model.get_weights()
        stops = number - 1 - self.best_epoch >= self._patience or self._told(epoch)
        left = sum(past.seconds for past in self.history) / number * (self._epochs - number)
        print(
            f"epoch {number}/{self._epochs}: loss {loss:.4f}, eval loss {eval_loss:.4f}, "
            f"{main_metric(self._label.task)} {metric:.4f}, {rows / trained:,.0f} rows/s, "
            + ("stopped early" if stops and number < self._epochs else f"{left:.0f} s left"),
            flush=True,
        )
        return stops

    def now_watches(self, model: keras.Model) -> None:
        """Goes on with another model: a training loop of one's own may end with one."""
        self._model, self._predict = model, predictor(model)

    def begin_epoch(self) -> None:
        """Starts the clock."""
        self._epoch_started = time.perf_counter()


def predictor(model: keras.Model) -> Callable[[Split], np.ndarray]:
    """Returns a function that gives the model's outputs [rows, units] for a split."""
    function = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True, autograph=False)

    def predict(split: Split) -> np.ndarray:
        parts = range(0, split.rows, EVAL_BATCH)
        return np.concatenate(
            [
                tf.cast(
                    function({name: array[at : at + EVAL_BATCH] for name, array in split.inputs.items()}), tf.float32
                ).numpy()
                for at in parts
            ]
        )

    return predict
