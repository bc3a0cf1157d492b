"""A SavedModel's serving signature, called with one tensor per type instead of one per feature.

A tensor costs what a small model's arithmetic costs, so a row of twelve features took twice its time. The features of
one type travel as the rows of one matrix and are taken apart inside the graph. The graph runs in a session, as in
TensorFlow Serving: it inlines the functions that an eager call crosses one by one, loads in half the time, and a few
rows run in the thread that asks, where handing them to another one and back takes longer than they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from mainspring.components.common.errors import UserError
from mainspring.components.serving.model import rows
from mainspring.components.serving.model import tensorflow_parts as tf
from mainspring.components.serving.model.rows import Feature

SIGNATURE = "serving_default"

PREDICTION = "prediction"
"""The output that every model has; classifiers have `label` beside it."""

SERVE = "serve"
"""The tag of the graph that SavedModels are served by."""

Matrices = list[np.ndarray]
"""One per group of features: [features of the group, rows]."""

Outputs = dict[str, np.ndarray]
"""By name, each [rows] or [rows, classes]; `prediction` first."""

IN_PLACE = -1
"""`RunOptions.inter_op_thread_pool`: every operation in the caller's thread."""


@dataclass(frozen=True)
class Signature:
    """A model's inputs and outputs, and the call."""

    features: dict[str, Feature]
    outputs: dict[str, tf.TensorSpec]
    groups: tuple[tuple[str, ...], ...]
    """The features' names by type; within one, in the order of the matrix's rows."""
    call: Any
    """A matrix per group to an array per output, in their order."""
    call_in_place: Any
    """The same in the caller's thread alone: quicker for a few rows of a small model."""

    def packed(self, columns: Mapping[str, np.ndarray]) -> Matrices:
        """Returns the matrices of arrays of shape [rows], one per feature."""
        return [np.stack([columns[name] for name in group]) for group in self.groups]

    def run(self, matrices: Matrices, in_place: bool = False) -> Outputs:
        """Returns the model's answer to the rows of `packed`, in the caller's thread or with the help of others."""
        answers = (self.call_in_place if in_place else self.call)(*matrices)
        return dict(zip(self.outputs, answers, strict=True))


def start_threads() -> None:
    """Has TensorFlow start its threads, which are as quick or as patient as the one that calls this."""
    tf.Session(graph=tf.Graph()).close()


def load(path: Path) -> Signature:
    """Loads a SavedModel's serving signature.

    Raises:
        UserError: The folder holds no SavedModel that can be served.
    """
    try:
        known = _signatures(path)
        if SIGNATURE not in known:
            raise UserError(f"{path}: the SavedModel has no signature {SIGNATURE!r}; export it with one")
        inputs, given = known[SIGNATURE].inputs, known[SIGNATURE].outputs
        features = {name: _feature(name, _spec(inputs[name])) for name in sorted(inputs)}
        outputs = {name: _spec(given[name]) for name in sorted(given, key=lambda name: (name != PREDICTION, name))}
        if PREDICTION not in outputs or not features:
            raise UserError(f"{path}: signature {SIGNATURE!r} needs inputs, and an output named {PREDICTION!r}")
        by_type: dict[int, list[str]] = {}
        for name in features:
            by_type.setdefault(inputs[name].dtype, []).append(name)
        groups = tuple(tuple(names) for names in by_type.values())
        calls = _calls(path, [[inputs[name] for name in group] for group in groups], [given[name] for name in outputs])
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, DecodeError, tf.errors.OpError) as error:
        raise UserError(f"{path}: cannot be loaded as a SavedModel: {' '.join(str(error).split())}") from error
    return Signature(features, outputs, groups, *calls)


def _signatures(path: Path) -> Mapping[str, Any]:
    content = tf.saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    found = (graph.signature_def for graph in content.meta_graphs if SERVE in graph.meta_info_def.tags)
    return next(found, {})


def _calls(path: Path, groups: Sequence[Sequence[Any]], outputs: Sequence[Any]) -> list[Any]:
    """Returns `call` and `call_in_place` of a session that holds the model, fed a matrix per group of its inputs."""
    logger = tf.get_logger()
    with tf.Graph().as_default() as graph:
        matrices: list[Any] = []
        taken: dict[str, Any] = {}
        for group in groups:
            matrices.append(tf.placeholder(tf.as_dtype(group[0].dtype), [len(group), None]))
            taken |= dict(zip((info.name for info in group), tf.unstack(matrices[-1], num=len(group)), strict=True))
        session = tf.Session(graph=graph)
        level = logger.level
        logger.setLevel("ERROR")  # It advises every caller to use the eager loader instead.
        try:
            tf.load(session, [SERVE], str(path), input_map=taken)
        finally:
            logger.setLevel(level)
    options = [tf.config_pb2.CallableOptions(), tf.config_pb2.CallableOptions()]
    options[1].run_options.inter_op_thread_pool = IN_PLACE
    for one in options:
        one.feed.extend(matrix.name for matrix in matrices)
        one.fetch.extend(info.name for info in outputs)
    # `make_callable`, for more than one output, looks up what it feeds and fetches at every call, which costs a third.
    with ThreadPoolExecutor(len(options)) as makers:  # TensorFlow optimises the graph for each one by itself.
        return list(makers.map(session._make_callable_from_options, options))


def _spec(info: Any) -> tf.TensorSpec:
    return tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype))


def _feature(name: str, spec: tf.TensorSpec) -> Feature:
    if spec.shape.rank != 1:
        raise UserError(f"signature {SIGNATURE!r}: input {name!r} has shape {spec.shape}; expected one value a row")
    if spec.dtype == tf.string:
        return Feature(name, rows.TEXT, np.dtype(object))
    if spec.dtype.is_floating or spec.dtype.is_integer:
        kind = rows.NUMBER if spec.dtype.is_floating else rows.INTEGER
        return Feature(name, kind, np.dtype(spec.dtype.as_numpy_dtype))
    raise UserError(f"signature {SIGNATURE!r}: input {name!r} is {spec.dtype.name}; numbers and text can be served")
