"""What a model is built from, and the team's own `build_model(context)` where a module is given."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.layers import Embeddings

FUNCTION = "build_model"
SQUASHING = ("sigmoid", "softmax")


@dataclass(frozen=True)
class ModelContext:
    """What `build_model(context)` gets."""

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

    def embedded(self) -> keras.KerasTensor:
        """Returns all inputs as one float32 tensor [rows, width]: the ids' embeddings side by side, and the numbers."""
        embeddings = Embeddings(self.id_counts, self.hyperparameters.embedding_size, name="embeddings")
        if not self.number_columns:
            return embeddings(self.inputs["ids"])
        return keras.layers.Concatenate(name="embedded")([embeddings(self.inputs["ids"]), self.inputs["numbers"]])

    def output(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the task's output over `tensor`: a dense layer of logits or standardised values, [rows, units]."""
        return keras.layers.Dense(self.units, name="output")(tensor)


def inputs_of(id_columns: int, number_columns: int) -> dict[str, keras.KerasTensor]:
    """Returns the Keras inputs of every model."""
    return {
        "ids": keras.Input([id_columns], dtype="int32", name="ids"),
        "numbers": keras.Input([2 * number_columns], dtype="float32", name="numbers"),
    }


def load_builder(module: str) -> Callable[[ModelContext], keras.Model]:
    """Imports the Python file and returns a function that builds its model and checks it.

    Raises:
        UserError: The file is missing, fails to import, or has no `build_model`.
    """
    path = storage.as_path(module)
    if not path.is_file():
        raise UserError(f"module: {module}: no such file; give a Python file that defines {FUNCTION}(context)")
    loaded = _imported(path)
    builder = getattr(loaded, FUNCTION, None)
    if not callable(builder):
        raise UserError(f"module: {module} does not define {FUNCTION}(context) -> keras.Model")

    def build(context: ModelContext) -> keras.Model:
        try:
            model = builder(context)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"module: {_blame(path, error)}") from error
        _check(model, context, path)
        return model

    return build


def _imported(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"mainspring_user_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise UserError(f"module: {path} is not a Python file (.py)")
    loaded = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(loaded)
    except SyntaxError as error:
        raise UserError(f"module: {path}:{error.lineno}: SyntaxError: {error.msg}") from error
    except Exception as error:
        raise UserError(f"module: {_blame(path, error)}") from error
    return loaded


def _blame(path: Path, error: Exception) -> str:
    """Returns `<file>:<line>: <kind>: <message>` for the last line of the user's file that was running."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{lines[-1] if lines else 1}: {type(error).__name__}: {error}"


def _check(model: object, context: ModelContext, path: Path) -> None:
    """Raises UserError unless the model turns two rows into two rows of the output's width."""
    if not isinstance(model, keras.Model):
        raise UserError(f"module: {path}: {FUNCTION} returned {type(model).__name__}, not a keras.Model")
    rows = {
        "ids": np.zeros((2, len(context.id_columns)), np.int32),
        "numbers": np.zeros((2, 2 * len(context.number_columns)), np.float32),
    }
    try:
        shape = tuple(keras.ops.shape(model(rows)))
    except Exception as error:
        raise UserError(
            f"module: {path}: the model does not take the context's inputs {{ids, numbers}}: {error}"
        ) from error
    if shape != (2, context.units):
        raise UserError(
            f"module: {path}: the model's output has shape {shape} for 2 rows, not (2, {context.units}); "
            "end it with context.output(…)"
        )
    activation = getattr(model.layers[-1], "activation", None) if model.layers else None
    squashing = getattr(activation, "__name__", "")
    if context.classes and squashing in SQUASHING:
        raise UserError(
            f"module: {path}: the model ends with {squashing}, but its output must be logits; "
            "end it with context.output(…)"
        )
