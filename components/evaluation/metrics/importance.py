"""Which features matter: how much worse a model does on eval rows when one feature's values are dealt out anew.

Source: Breiman, "Random Forests" (2001), section 10, for any model: permutation importance. Its noise is the standard
deviation over the shuffles; a feature whose value is within twice its noise of zero may as well not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mainspring.components.common.manifests import BINARY, MULTICLASS, REGRESSION, ModelManifest
from mainspring.components.evaluation.scoring import rows, scoring
from mainspring.components.evaluation.scoring.scoring import LoadedModel

ROWS = 2_000
SHUFFLES = 5
SEED = 20131
TINY = 1e-7
"""Probabilities are kept this far from 0: a sure and wrong prediction has a finite loss."""


@dataclass(frozen=True)
class Importance:
    """What one feature is worth to each model."""

    feature: str
    values: Mapping[str, float]
    """By role, how much the loss rises: cross-entropy in nats a row, or the mean absolute error in the label's unit."""
    noise: Mapping[str, float]
    """By role, the standard deviation over the shuffles."""


def importances(folder: Path, models: Mapping[str, LoadedModel]) -> list[Importance]:
    """Returns each feature's importance, the most important one for the first model first.

    Args:
        folder: The eval split.
        models: By role, the challenger first; all have its task, label and classes.

    Returns:
        Nothing for tasks other than classes and regression, or without labelled rows.

    Raises:
        UserError: A file cannot be read.
        ModelFailure: A model cannot predict the rows.
    """
    manifest = next(iter(models.values())).manifest
    if manifest.task not in (BINARY, MULTICLASS, REGRESSION):
        return []
    features = list(dict.fromkeys(name for model in models.values() for name in model.manifest.features))
    sample = rows.sample(folder, sorted({*features, manifest.label}), ROWS)
    labels = rows.label_numbers(sample, manifest, {})
    usable = np.isfinite(labels) & ((labels >= 0) | (manifest.task == REGRESSION))
    if not usable.any():
        return []
    sample, labels = sample.filter(pa.array(usable)), labels[usable]
    before = {role: _loss(model, sample, labels) for role, model in models.items()}
    found = [_importance(name, sample, labels, models, before) for name in features]
    first = next(iter(models))
    return sorted(found, key=lambda one: -one.values.get(first, -np.inf))


def _importance(
    feature: str,
    sample: pa.RecordBatch,
    labels: NDArray[np.float64],
    models: Mapping[str, LoadedModel],
    before: Mapping[str, float],
) -> Importance:
    random, place = np.random.default_rng(SEED), sample.schema.get_field_index(feature)
    asked = {role: model for role, model in models.items() if feature in model.manifest.features}
    rises: dict[str, list[float]] = {role: [] for role in asked}
    for _ in range(SHUFFLES):
        column = sample.column(place).take(pa.array(random.permutation(len(labels))))
        shuffled = sample.set_column(place, sample.schema.field(place), column)
        for role, model in asked.items():
            rises[role].append(_loss(model, shuffled, labels) - before[role])
    return Importance(
        feature,
        {role: float(np.mean(values)) for role, values in rises.items()},
        {role: float(np.std(values, ddof=1)) for role, values in rises.items()},
    )


def _loss(model: LoadedModel, sample: pa.RecordBatch, labels: NDArray[np.float64]) -> float:
    predicted = scoring.predict({"model": model}, sample)["model"].astype(np.float64)
    return float(_losses(model.manifest, predicted, labels).mean())


def _losses(
    manifest: ModelManifest, predicted: NDArray[np.float64], labels: NDArray[np.float64]
) -> NDArray[np.float64]:
    if manifest.task == REGRESSION:
        return np.abs(predicted - labels)
    if manifest.task == BINARY:
        likely = np.where(labels > 0, predicted, 1 - predicted)
    else:
        likely = predicted[np.arange(len(labels)), labels.astype(np.int64)]
    return -np.log(np.clip(likely, TINY, 1.0))


def as_json(found: Sequence[Importance]) -> list[dict[str, object]]:
    """Returns what JSON can hold of it: by role the value, its noise, and whether it stands out of it."""
    return [
        {
            "feature": one.feature,
            **{
                role: {"value": value, "noise": one.noise[role], "matters": bool(value > 2 * one.noise[role])}
                for role, value in one.values.items()
            },
        }
        for one in found
    ]
