"""A SavedModel's serving signature, called with one tensor per type instead of one per feature.

A tensor costs what a small model's arithmetic costs, so a row of twelve features took twice its time. The features of
one type travel as the rows of one matrix and are taken apart inside the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mainspring.components.common.errors import UserError
from mainspring.components.serving import rows
from mainspring.components.serving.rows import Feature

SIGNATURE = "serving_default"

PREDICTION = "prediction"
"""The output that every model has; classifiers have `label` beside it."""

Matrices = list[np.ndarray]
"""One per group of features: [features of the group, rows]."""

Outputs = dict[str, np.ndarray]
"""By name, each [rows] or [rows, classes]; `prediction` first."""


@dataclass(frozen=True)
class Signature:
    """A model's inputs and outputs, and the call."""

    features: dict[str, Feature]
    outputs: dict[str, tf.TensorSpec]
    groups: tuple[tuple[str, ...], ...]
    """The features' names by type; within one, in the order of the matrix's rows."""
    call: Any
    """The concrete function: a tensor per group, [features, rows]."""

    def packed(self, columns: Mapping[str, np.ndarray]) -> Matrices:
        """Returns the matrices of arrays of shape [rows], one per feature."""
        return [np.stack([columns[name] for name in group]) for group in self.groups]

    def run(self, matrices: Matrices) -> Outputs:
        """Returns the model's answer to the rows of `packed`."""
        tensors = [tf.constant(matrix, dtype=tf.string if matrix.dtype == object else None) for matrix in matrices]
        answers = self.call(*tensors)
        return {name: answers[name].numpy() for name in self.outputs}


def start_threads() -> None:
    """Has TensorFlow start its threads, which are as quick or as patient as the one that calls this."""
    tf.config.list_logical_devices()


def load(path: Path) -> Signature:
    """Loads a SavedModel's serving signature.

    Raises:
        UserError: The folder holds no SavedModel that can be served.
    """
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError) as error:
        raise UserError(f"{path}: cannot be loaded as a SavedModel: {error}") from error
    if SIGNATURE not in loaded.signatures:
        raise UserError(f"{path}: the SavedModel has no signature {SIGNATURE!r}; export it with one")
    signature = loaded.signatures[SIGNATURE]
    specs: dict[str, tf.TensorSpec] = signature.structured_input_signature[1]
    features = {name: _feature(name, spec) for name, spec in specs.items()}
    given = signature.structured_outputs
    outputs = {name: given[name] for name in sorted(given, key=lambda name: (name != PREDICTION, name))}
    if PREDICTION not in outputs or not features:
        raise UserError(f"{path}: signature {SIGNATURE!r} needs inputs, and an output named {PREDICTION!r}")
    by_type: dict[tf.DType, list[str]] = {}
    for name, spec in specs.items():
        by_type.setdefault(spec.dtype, []).append(name)
    groups = tuple(tuple(names) for names in by_type.values())
    return Signature(features, outputs, groups, _by_group(loaded, signature, list(by_type), groups))


def _by_group(loaded: Any, signature: Any, types: Sequence[tf.DType], groups: Sequence[Sequence[str]]) -> Any:
    def call(*matrices: tf.Tensor) -> dict[str, tf.Tensor]:
        columns: dict[str, tf.Tensor] = {}
        for names, matrix in zip(groups, matrices, strict=True):
            columns.update(zip(names, tf.unstack(matrix, num=len(names), axis=0), strict=True))
        answers: dict[str, tf.Tensor] = signature(**columns)
        return answers

    shapes = [tf.TensorSpec([len(names), None], kind) for names, kind in zip(groups, types, strict=True)]
    function = tf.function(call, autograph=False).get_concrete_function(*shapes)
    function.kept_alive = loaded  # The graph refers to its variables weakly.
    return function


def _feature(name: str, spec: tf.TensorSpec) -> Feature:
    if spec.shape.rank != 1:
        raise UserError(f"signature {SIGNATURE!r}: input {name!r} has shape {spec.shape}; expected one value a row")
    if spec.dtype == tf.string:
        return Feature(name, rows.TEXT, np.dtype(object))
    if spec.dtype.is_floating or spec.dtype.is_integer:
        kind = rows.NUMBER if spec.dtype.is_floating else rows.INTEGER
        return Feature(name, kind, np.dtype(spec.dtype.as_numpy_dtype))
    raise UserError(f"signature {SIGNATURE!r}: input {name!r} is {spec.dtype.name}; numbers and text can be served")
