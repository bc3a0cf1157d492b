"""What a model is built from and trained with: what `build_model(context)` and `train(context)` get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.model.layers import Embeddings


@dataclass(frozen=True)
class Folders:
    """Where a module may write."""

    scratch: Path
    """Gone when the task ends."""
    logs: Path
    """TensorBoard's: an output of the component."""
    checkpoints: str
    """URI of durable storage that outlives the task; empty where none was given."""


@dataclass(frozen=True)
class Datasets:
    """The encoded rows as tf.data."""

    train: Callable[..., tf.data.Dataset]
    """Called with `batch_size` (rows per replica) and `epochs`: that many passes, shuffled anew each time, as
    ({`ids`, `numbers`}, targets [rows, 1]); this worker's rows where there are many. `start` leaves batches out."""
    evaluation: Callable[..., tf.data.Dataset]
    """Called with `batch_size`: one pass, in order."""
    distributed: Callable[..., Any]
    """Called as `train`: a batch for each replica at a time, for `strategy.run`; whole steps only, smaller where there
    are few rows. Where one device trains, it is `train`."""
    train_rows: int
    eval_rows: int


@dataclass(frozen=True)
class ModelContext:
    """What the functions of a module get."""

    schema: schema_pb2.Schema
    """TFDV's schema of the examples."""
    task: str
    """`binary_classification`, `multiclass_classification` or `regression`."""
    label: str
    classes: tuple[str, ...]
    """Class names in the order of the model's outputs; for binary ones the positive class is last."""
    features: dict[str, str]
    """`numeric` or `categorical` by raw feature."""
    id_columns: tuple[str, ...]
    """What each column of the input `ids` is: the features, quantities first, then crosses."""
    id_counts: tuple[int, ...]
    """How many ids each of them has; 0 is a missing value."""
    number_columns: tuple[str, ...]
    """The quantities: the input `numbers` holds their standardised values, then as many missing-value indicators."""
    units: int
    """The output's width: one logit (binary), one per class, or one standardised value (regression)."""
    hyperparameters: Hyperparameters
    seed: int
    inputs: dict[str, keras.KerasTensor]
    """The model's inputs: `ids` (int32) and `numbers` (float32), each [rows, columns]."""
    datasets: Datasets
    strategy: tf.distribute.Strategy
    """Make models and optimizers of a `train` in its scope; `build_model` is called in it."""
    folders: Folders
    fit: Callable[[keras.Model], None] = field(repr=False)
    """Trains a model as the component would: early stopping, checkpoints, progress, report; the best weights stay."""
    epoch_ended: Callable[[keras.Model, float], float] = field(repr=False)
    """For a training loop of your own: called after each epoch with the model and train's loss, it judges the model on
    eval, says and records it, and returns eval's loss."""

    def embedded(self) -> keras.KerasTensor:
        """Returns all inputs as one float32 tensor [rows, width]: the ids' embeddings side by side, and the numbers."""
        size = self.hyperparameters.embedding_size
        embeddings = Embeddings(self.id_counts, size, dtype="float32", name="embeddings")
        if not self.number_columns:
            return embeddings(self.inputs["ids"])
        return keras.layers.Concatenate(name="embedded")([embeddings(self.inputs["ids"]), self.inputs["numbers"]])

    def output(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the task's output over `tensor`: a dense layer of logits or standardised values, [rows, units]."""
        return keras.layers.Dense(self.units, dtype="float32", name="output")(tensor)


def inputs_of(id_columns: int, number_columns: int) -> dict[str, keras.KerasTensor]:
    """Returns the Keras inputs of every model."""
    return {
        "ids": keras.Input([id_columns], dtype="int32", name="ids"),
        "numbers": keras.Input([2 * number_columns], dtype="float32", name="numbers"),
    }
