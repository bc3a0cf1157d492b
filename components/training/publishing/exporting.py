"""The SavedModel: preprocessing, model and class names in one graph that needs none of this code."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mainspring.components.common import signature_names
from mainspring.components.common.manifests import BINARY, MULTICLASS
from mainspring.components.training.features.columns import CATEGORICAL, Feature
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import Encoder
from mainspring.components.training.features.tf_examples import parse_examples
from mainspring.components.training.fitting.threshold import HALF
from mainspring.components.training.trees.tree_graph import TreeGraph

NO_SPACE = os.strerror(errno.ENOSPC)


def export(model: keras.Model, encoder: Encoder, label: LabelSpec, folder: Path, threshold: float = HALF) -> None:
    """Writes the SavedModel with the signatures `serving_default` and `serving_examples`.

    `serving_default` takes a tensor [None] per feature: float32 (NaN: missing), float64 where the feature has an
    offset, or string ("": missing). Its inputs have the features' own names; in the saved function a name that
    TensorFlow does not take is escaped (`signature_names`). `serving_examples` takes `examples`, serialised
    tf.Examples, string [None]. Both give `prediction` and, for classes, `label`: of two classes the positive one from
    `threshold` on. A regression's value is float64 where float32 would lose what was learned of the label.

    Raises:
        OSError: The disk is full.
    """
    servable = tf.Module(name="servable")
    servable.encoder = encoder
    # The weights, not the Keras model: its hundreds of bookkeeping objects would double the time to save and to load.
    servable.weights = [weight.value for weight in model.weights]
    features = [*encoder.statistics.numeric, *encoder.statistics.categorical]

    def outputs(rows: dict[str, tf.Tensor]) -> tf.Tensor:
        return _network_outputs(rows, model, encoder)

    try:
        _write(servable, outputs, features, label, folder, threshold)
    except AssertionError:  # A module's model has more than weights: a lookup table, a variable of its own.
        servable.network = model
        _write(servable, outputs, features, label, folder, threshold)


def export_trees(graph: TreeGraph, label: LabelSpec, folder: Path, threshold: float = HALF) -> None:
    """Writes the SavedModel of a forest: the same signatures as `export` writes.

    Raises:
        OSError: The disk is full.
    """
    _write(graph, graph.outputs, graph.features, label, folder, threshold)


def _write(
    servable: tf.Module,
    outputs: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    features: list[Feature],
    label: LabelSpec,
    folder: Path,
    threshold: float,
) -> None:
    inputs = signature_names.inputs(feature.name for feature in features)

    @tf.function(input_signature=[_row_specs(features, inputs)], autograph=False)
    def serve_rows(rows: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        taken = {name: rows[given] for name, given in inputs.items()}
        return _answer(outputs(_without_offsets(taken, features)), label, threshold)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="examples")],
        autograph=False,
    )
    def serve_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        taken = _without_offsets(parse_examples(examples, features), features)
        return _answer(outputs(taken), label, threshold)

    signatures = {
        "serving_default": serve_rows.get_concrete_function(),
        "serving_examples": serve_examples.get_concrete_function(),
    }
    try:
        tf.saved_model.save(servable, str(folder), signatures=signatures)
    except tf.errors.ResourceExhaustedError as error:  # What TensorFlow makes of "no space left on device".
        if NO_SPACE not in str(error):
            raise
        raise OSError(errno.ENOSPC, NO_SPACE, str(folder)) from error
    # A random number of TensorFlow's own, which would make equal models look different; nothing needs it.
    with contextlib.suppress(FileNotFoundError):
        (folder / "fingerprint.pb").unlink()
    name_inputs(folder / "saved_model.pb", inputs)


def name_inputs(file: Path, inputs: Mapping[str, str]) -> None:
    """Gives the inputs of the serving signature the features' own names, which servers go by.

    Args:
        file: `saved_model.pb`.
        inputs: The saved function's input by feature.
    """
    renamed = {given: name for name, given in inputs.items() if given != name}
    if not renamed:
        return
    content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in content.meta_graphs:
        taken = graph.signature_def["serving_default"].inputs
        for given, name in renamed.items():
            taken[name].CopyFrom(taken[given])
            del taken[given]
    file.write_bytes(content.SerializeToString(deterministic=True))


def _row_specs(features: list[Feature], inputs: Mapping[str, str]) -> dict[str, tf.TensorSpec]:
    numbers = {feature.name: tf.float64 if feature.offset else tf.float32 for feature in features}
    kinds = {feature.name: tf.string if feature.kind == CATEGORICAL else numbers[feature.name] for feature in features}
    return {given: tf.TensorSpec([None], kinds[name], name=given) for name, given in inputs.items()}


def _without_offsets(rows: dict[str, tf.Tensor], features: list[Feature]) -> dict[str, tf.Tensor]:
    """Returns the raw rows as the graph takes them: what is far from zero without its offset, as float32."""
    shifted = {
        feature.name: tf.cast(rows[feature.name] - tf.constant(feature.offset, tf.float64), tf.float32)
        for feature in features
        if feature.offset
    }
    return rows | shifted


def _network_outputs(rows: dict[str, tf.Tensor], model: keras.Model, encoder: Encoder) -> tf.Tensor:
    statistics = encoder.statistics
    count = tf.size(next(iter(rows.values())))
    numbers = [rows[feature.name] for feature in statistics.numeric]
    categories = [encoder.look_up(place, rows[f.name]) for place, f in enumerate(statistics.categorical)]
    encoded = encoder.assemble(
        tf.stack(numbers, axis=1) if numbers else tf.zeros([count, 0]),
        tf.stack(categories, axis=1) if categories else tf.zeros([count, 0], tf.int32),
    )
    return model(encoded, training=False)


def _answer(outputs: tf.Tensor, label: LabelSpec, threshold: float) -> dict[str, tf.Tensor]:
    """Returns the served tensors for a model's outputs: float32, or float64 where the label needs it."""
    if label.task == BINARY:
        positive = tf.cast(tf.sigmoid(outputs[:, 0]), tf.float32)
        number = tf.cast(positive >= threshold, tf.int32)
        return {"prediction": positive, "label": tf.gather(tf.constant(label.classes), number)}
    if label.task == MULTICLASS:
        likely = tf.gather(tf.constant(label.classes), tf.argmax(outputs, axis=1))
        return {"prediction": tf.cast(tf.nn.softmax(outputs), tf.float32), "label": likely}
    if label.needs_doubles:
        return {"prediction": tf.cast(outputs[:, 0], tf.float64) * label.deviation + label.mean}
    return {"prediction": tf.cast(outputs[:, 0] * label.deviation + label.mean, tf.float32)}
