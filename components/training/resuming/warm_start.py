"""A warm start: the champion's preprocessing as it is, and its weights where they fit.

Weights mean something only together with the ids that they belong to. So the champion's vocabularies, bins and crosses
are taken over unchanged; what they do not know stays unknown until a training that starts cold.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mainspring.components.common import buckets, published, storage
from mainspring.components.common.errors import UserError
from mainspring.components.training.features.columns import Feature
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import Cross, Encoder, Statistics

FILE = Path("assets.extra") / "preprocessing.json"
"""In the SavedModel, where TensorFlow keeps files that are not its own."""


@dataclass(frozen=True)
class Champion:
    """A model to start from."""

    uri: str
    encoder: Encoder
    label: LabelSpec
    weights: dict[str, np.ndarray]
    """By the weight's path in its Keras model."""

    def give_weights(self, model: keras.Model) -> None:
        """Sets those of the model's weights that the champion has in the same shape, and says how many."""
        given = 0
        for variable in model.weights:
            found = self.weights.get(variable.path)
            if found is not None and found.shape == tuple(variable.shape):
                variable.assign(found)
                given += 1
        print(f"warm start: {given} of {len(model.weights)} weights are those of {self.uri}", flush=True)

    def problem_with(self, features: Sequence[Feature], label: LabelSpec) -> str:
        """Returns why this champion cannot be started from; empty if it can."""
        mine = {feature.name: feature for feature in features}
        theirs = {feature.name: feature for feature in _features(self.encoder.statistics)}
        if mine != theirs:
            changed = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
            return f"its features are others ({', '.join(changed[:3])})"
        if (label.name, label.task, label.classes) != (self.label.name, self.label.task, self.label.classes):
            return "its label is another"
        return ""


def write_preprocessing(model: keras.Model, encoder: Encoder, label: LabelSpec, folder: Path) -> None:
    """Writes beside the SavedModel what a warm start needs to know of it."""
    statistics = encoder.statistics
    content = {
        "numeric": [asdict(feature) for feature in statistics.numeric],
        "categorical": [asdict(feature) for feature in statistics.categorical],
        **{name: getattr(statistics, name).tolist() for name in _ARRAYS},
        "edges": [edges.tolist() for edges in statistics.edges],
        "vocabularies": statistics.vocabularies,
        **{name: list(getattr(statistics, name)) for name in _FLAGS},
        "crosses": [asdict(cross) for cross in encoder.crosses],
        "known": base64.b64encode(np.packbits(encoder.known).tobytes()).decode(),
        "label": asdict(label),
        "weights": [variable.path for variable in model.weights],
    }
    (folder / FILE).parent.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read_champion(uri: str) -> Champion | None:
    """Reads the model to start from; None if it was not trained by this component, or by an older version of it.

    Raises:
        UserError: There is no model, or it cannot be read.
    """
    folder = published.saved_model(buckets.local_copy(uri))
    if not (folder / published.SAVED_MODEL).is_file():
        raise UserError(f"parent_uri: {uri} holds no model to start from; give a version's folder, or no warm_start")
    if not (folder / FILE).is_file():
        return None
    content = storage.read_json(folder / FILE)
    try:
        statistics, crosses = _statistics(content), [Cross(**_tuples(cross)) for cross in content["crosses"]]
        bits = np.unpackbits(np.frombuffer(base64.b64decode(content["known"]), np.uint8))
        known = bits[: sum(cross.cells for cross in crosses)].astype(bool)
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        weights = {
            path: reader.get_tensor(f"weights/{place}/.ATTRIBUTES/VARIABLE_VALUE")
            for place, path in enumerate(content["weights"])
        }
        label = LabelSpec(**_tuples(content["label"]))
    except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"parent_uri: {uri}: its weights cannot be read ({error}); train without warm_start") from error
    return Champion(uri, Encoder(statistics, crosses, [known]), label, weights)


_ARRAYS = ("mean", "deviation", "lowest", "highest")
_FLAGS = ("unusable", "may_be_missing", "constant")
"""Older models have none of them."""


def _statistics(content: dict[str, Any]) -> Statistics:
    mean, deviation, lowest, highest = (np.array(content[name], np.float32) for name in _ARRAYS)
    unusable, may_be_missing, constant = (tuple(map(bool, content.get(name, ()))) for name in _FLAGS)
    return Statistics(
        numeric=tuple(Feature(**feature) for feature in content["numeric"]),
        categorical=tuple(Feature(**feature) for feature in content["categorical"]),
        mean=mean,
        deviation=deviation,
        lowest=lowest,
        highest=highest,
        edges=tuple(np.array(edges, np.float32) for edges in content["edges"]),
        vocabularies=tuple(tuple(words) for words in content["vocabularies"]),
        unusable=unusable,
        may_be_missing=may_be_missing,
        constant=constant,
    )


def _features(statistics: Statistics) -> tuple[Feature, ...]:
    return (*statistics.numeric, *statistics.categorical)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
