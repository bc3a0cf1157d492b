"""A team's own model code: `build_model(context)` or `train(context)`, from a file, a URI or an importable module."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.training.hardware import lost_workers
from mainspring.components.training.model.context import ModelContext
from mainspring.components.training.resuming.interruption import Interrupted

BUILD, TRAIN = "build_model", "train"
SQUASHING = ("sigmoid", "softmax")
IMPORTABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Module:
    """What the module gives: one function, or both."""

    said: str
    """As the `module` parameter has it."""
    file: Path
    digest: str
    """Of its source: another source is another training."""
    build: Callable[[Any], Any] | None
    train: Callable[[Any], Any] | None

    def build_model(self, context: ModelContext) -> keras.Model:
        """Builds the team's model and checks it.

        Raises:
            UserError: The function fails, or returns something that does not fit.
        """
        return self._model(BUILD, self.build, context)

    def train_model(self, context: ModelContext) -> keras.Model:
        """Lets the team's own `train(context)` train a model, and checks it.

        Raises:
            UserError: The function fails, or returns something that does not fit.
        """
        return self._model(TRAIN, self.train, context)

    def _model(self, name: str, function: Callable[[Any], Any] | None, context: ModelContext) -> keras.Model:
        assert function is not None
        try:
            with lost_workers.as_one_line():
                model = function(context)
        except (UserError, Interrupted):
            raise
        except (Exception, SystemExit) as error:  # An exit would look like a step that has done its work.
            raise UserError(f"module: {_blame(self.file, error)}") from error
        _check(model, context, f"{self.file}: {name}")
        return model


def load_module(module: str) -> Module:
    """Imports the team's module.

    Args:
        module: A Python file (a path or a URI), or the dotted name of a module that the image has.

    Raises:
        UserError: It is missing, fails to import, defines neither function, or one that does not take one argument.
    """
    loaded = _by_name(module) if IMPORTABLE.fullmatch(module) and not module.endswith(".py") else _by_file(module)
    file = Path(getattr(loaded, "__file__", None) or "")
    functions = {name: getattr(loaded, name, None) for name in (BUILD, TRAIN)}
    if not any(map(callable, functions.values())):
        raise UserError(
            f"module: {module} does not define {BUILD}(context) -> keras.Model, nor {TRAIN}(context) -> keras.Model"
        )
    for name, function in functions.items():
        if function is not None:
            _check_signature(module, name, function)
    return Module(module, file, hashlib.sha256(file.read_bytes()).hexdigest(), functions[BUILD], functions[TRAIN])


def _by_name(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(
                f"module: there is no module {error.name!r} in this image, nor a file of that name; give a Python "
                "file (a path or URI that ends in .py), or an image that has the module"
            ) from error
        raise UserError(f"module: {module}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"module: {module}: {type(error).__name__}: {error}") from error


def _by_file(module: str) -> ModuleType:
    path = buckets.local_copy(module)
    if not path.is_file():
        raise UserError(f"module: {module}: no such file; give a Python file that defines {BUILD}(context)")
    specification = importlib.util.spec_from_file_location(f"mainspring_user_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise UserError(f"module: {path} is not a Python file (.py)")
    loaded = importlib.util.module_from_spec(specification)
    sys.modules[loaded.__name__] = loaded  # Where dataclasses, among others, look for the module of a class.
    try:
        specification.loader.exec_module(loaded)
    except SyntaxError as error:
        raise UserError(f"module: {path}:{error.lineno or 1}: SyntaxError: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"module: {_blame(path, error)}") from error
    return loaded


def _check_signature(module: str, name: str, function: Any) -> None:
    if not callable(function):
        raise UserError(f"module: {module}: {name} is no function; define {name}(context) -> keras.Model")
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise UserError(
            f"module: {module}: {name} must take one argument, the context ({error}); "
            f"define {name}(context) -> keras.Model"
        ) from error


def _blame(path: Path, error: BaseException) -> str:
    """Returns `<file>:<line>: <kind>: <message>` for the last line of the user's file that was running."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return f"{path}:{lines[-1] if lines else 1}: {type(error).__name__}: {error}"


def _check(model: object, context: ModelContext, what: str) -> None:
    """Raises UserError unless the model turns two rows into two rows of the output's width."""
    if not isinstance(model, keras.Model):
        raise UserError(f"module: {what} returned {type(model).__name__}, not a keras.Model")
    rows = {
        "ids": np.zeros((2, len(context.id_columns)), np.int32),
        "numbers": np.zeros((2, 2 * len(context.number_columns)), np.float32),
    }
    try:
        output = model(rows)
    except Exception as error:
        raise UserError(
            f"module: {what}: the model does not take the context's inputs {{ids, numbers}}: {error}"
        ) from error
    if not keras.ops.is_tensor(output):
        raise UserError(
            f"module: {what}: the model gives {type(output).__name__}, not one tensor; end it with context.output(…)"
        )
    shape = tuple(keras.ops.shape(output))
    if shape != (2, context.units):
        raise UserError(
            f"module: {what}: the model's output has shape {shape} for 2 rows, not (2, {context.units}); "
            "end it with context.output(…)"
        )
    activation = getattr(model.layers[-1], "activation", None) if model.layers else None
    squashing = getattr(activation, "__name__", "")
    if context.classes and squashing in SQUASHING:
        raise UserError(
            f"module: {what}: the model ends with {squashing}, but its output must be logits; "
            "end it with context.output(…)"
        )
