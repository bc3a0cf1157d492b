"""Challenger and champion, loaded and run over the very same rows in one pass."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from numpy.typing import NDArray

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, MULTICLASS, ModelManifest
from mainspring.components.evaluation import rows
from mainspring.components.evaluation.policy import Buckets
from mainspring.components.evaluation.slice_columns import Numbers, SliceColumn, Values

SIGNATURE = "serving_default"
OUTPUT = "prediction"

SUM_TOLERANCE = 1e-3
"""How far a row's class probabilities may be from adding up to 1: float32 softmax in any kernel stays well within."""


class ModelFailure(UserError):
    """A model that cannot predict the eval rows."""

    def __init__(self, role: str, message: str) -> None:
        super().__init__(f"{role}: {message}")
        self.role = role


@dataclass(frozen=True)
class LoadedModel:
    """A SavedModel ready to predict."""

    manifest: ModelManifest
    signature: Any
    """The concrete function of `serving_default`."""
    saved_model: Any
    """Keeps the signature's variables alive."""


@dataclass(frozen=True)
class ScoredRows:
    """The labelled rows of the eval split, with each model's predictions on them."""

    labels: NDArray[np.float64]
    """[rows]: the value in regression, else the class' index."""
    predictions: Mapping[str, NDArray[np.float32]]
    """By role (`challenger`, `champion`): [rows], or [rows, classes] in multiclass classification."""
    slices: Mapping[str, SliceColumn]
    """By feature, its value in each row."""
    unlabelled: int
    """Rows left out because their label is missing."""
    seconds: float
    """What reading and predicting took."""

    def __len__(self) -> int:
        """Returns the number of labelled rows."""
        return len(self.labels)


def load(folder: Path, manifest: ModelManifest) -> LoadedModel:
    """Loads the SavedModel in `folder`.

    Raises:
        UserError: It cannot be loaded, or its signature is not what the manifest says.
    """
    try:
        saved_model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{folder}: cannot be loaded as a SavedModel: {str(error)[:300]}") from error
    if SIGNATURE not in saved_model.signatures:
        raise UserError(f"{folder}: the SavedModel has no signature {SIGNATURE!r}")
    signature = saved_model.signatures[SIGNATURE]
    inputs = set(signature.structured_input_signature[1])
    if inputs != set(manifest.features):
        odd = ", ".join(sorted(inputs ^ set(manifest.features)))
        raise UserError(f"{folder}: the signature's inputs and the manifest's features differ: {odd}")
    if OUTPUT not in signature.structured_outputs:
        raise UserError(f"{folder}: the signature has no output {OUTPUT!r}")
    return LoadedModel(manifest, signature, saved_model)


def score(
    folder: Path,
    models: Mapping[str, LoadedModel],
    slice_features: Sequence[str],
    buckets: Mapping[str, Buckets] | None = None,
) -> ScoredRows:
    """Runs all models over the rows of `folder`; each row is read once.

    Args:
        folder: The split's folder of Parquet files.
        models: By role; the first one's manifest says how to read the label.
        slice_features: Columns to keep for slicing.
        buckets: How to cut those of them that are numbers.

    Raises:
        ModelFailure: A model cannot predict the rows.
        UserError: A file cannot be read.
    """
    start = time.perf_counter()
    manifest = next(iter(models.values())).manifest
    columns = {manifest.label, *slice_features}.union(*(model.manifest.features for model in models.values()))
    labels: list[NDArray[np.float64]] = []
    predictions: dict[str, list[NDArray[np.float32]]] = {role: [] for role in models}
    slices: dict[str, Values | Numbers] = {
        feature: Numbers(feature, buckets[feature]) if buckets and feature in buckets else Values()
        for feature in slice_features
    }
    unlabelled = 0
    for batch in rows.read_batches(folder, sorted(columns)):
        batch_labels = rows.label_numbers(batch.column(manifest.label), manifest)
        labelled = ~np.isnan(batch_labels)
        unlabelled += int((~labelled).sum())
        if not labelled.all():
            batch, batch_labels = batch.filter(pa.array(labelled)), batch_labels[labelled]
        if not batch.num_rows:
            continue
        labels.append(batch_labels)
        for role, predicted in predict(models, batch).items():
            predictions[role].append(predicted)
        for feature, gathered in slices.items():
            gathered.add(batch.column(feature))
    return ScoredRows(
        labels=np.concatenate(labels) if labels else np.empty(0),
        predictions={role: np.concatenate(parts) for role, parts in predictions.items() if parts},
        slices={feature: gathered.column() for feature, gathered in slices.items()},
        unlabelled=unlabelled,
        seconds=time.perf_counter() - start,
    )


def predict(models: Mapping[str, LoadedModel], batch: pa.RecordBatch) -> dict[str, NDArray[np.float32]]:
    """Returns each model's predictions for a batch; a feature that models share is converted once.

    Raises:
        ModelFailure: A column cannot be fed, or the model fails on the rows.
    """
    fed: dict[tuple[str, str], tf.Tensor] = {}
    predicted = {}
    for role, model in models.items():
        try:
            for feature, kind in model.manifest.features.items():
                if (feature, kind) not in fed:
                    convert = rows.numeric_feed if kind == "numeric" else rows.categorical_feed
                    fed[feature, kind] = tf.constant(convert(batch.column(feature)))
            output = model.signature(**{name: fed[name, kind] for name, kind in model.manifest.features.items()})
        except (TypeError, ValueError, UserError, tf.errors.OpError) as error:
            raise ModelFailure(role, f"fails on the eval rows: {str(error)[:300]}") from error
        predicted[role] = _shaped(role, model.manifest, output[OUTPUT].numpy(), batch.num_rows)
    return predicted


def fault(predictions: NDArray[np.float32], manifest: ModelManifest) -> str | None:
    """Returns what is wrong with predictions, in words, or None."""
    broken = int((~np.isfinite(predictions)).reshape(len(predictions), -1).any(axis=1).sum())
    if broken:
        return f"{broken:,} of {len(predictions):,} predictions are NaN or infinite"
    if manifest.task in (BINARY, MULTICLASS):
        outside = int(((predictions < 0) | (predictions > 1)).sum())
        if outside:
            return f"{outside:,} predicted probabilities are outside 0 to 1"
    if manifest.task == MULTICLASS:
        off = int((np.abs(predictions.sum(axis=1, dtype=np.float64) - 1) > SUM_TOLERANCE).sum())
        if off:
            return f"in {off:,} rows the class probabilities do not add up to 1"
    return None


def _shaped(role: str, manifest: ModelManifest, values: NDArray[Any], count: int) -> NDArray[np.float32]:
    expected = (count, len(manifest.classes)) if manifest.task == MULTICLASS else (count,)
    if manifest.task != MULTICLASS and values.shape == (count, 1):
        values = values[:, 0]
    if values.shape != expected or not np.issubdtype(values.dtype, np.floating):
        raise ModelFailure(
            role,
            f"{OUTPUT} has shape {list(values.shape)} and type {values.dtype} for {count} rows; "
            f"{manifest.task} needs float32 {list(expected)}",
        )
    return values.astype(np.float32)
