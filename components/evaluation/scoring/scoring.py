"""Challenger and champion, loaded and run over the very same rows in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from numpy.typing import NDArray

from mainspring.components.common import published, signature_names
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import (
    BINARY,
    MULTICLASS,
    MULTILABEL,
    RANKING,
    REGRESSION,
    ModelManifest,
)
from mainspring.components.evaluation.policy.policy import Buckets
from mainspring.components.evaluation.scoring import rows
from mainspring.components.evaluation.scoring.rows import Labels, Predictions
from mainspring.components.evaluation.slices.slice_columns import Numbers, SliceColumn, Values, edges_of, numbers_of

SIGNATURE = "serving_default"
OUTPUT = "prediction"

EDGE_ROWS = 100_000
"""From about so many rows the edges of equal buckets are told."""

Predictor = Callable[[pa.RecordBatch], Predictions]

SUM_TOLERANCE = 1e-3
"""How far a row's class probabilities may be from adding up to 1: float32 softmax in any kernel stays well within."""


class ModelFailure(UserError):
    """A model that cannot predict the eval rows."""

    def __init__(self, role: str, message: str) -> None:
        super().__init__(f"{role}: {message}")
        self.role = role
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets a Beam worker send it."""
        return type(self), (self.role, self.message)


@dataclass(frozen=True)
class LoadedModel:
    """A SavedModel ready to predict."""

    manifest: ModelManifest
    signature: Any
    """The concrete function of `serving_default`."""
    saved_model: Any
    """Keeps the signature's variables alive."""
    folder: Path
    """Where it lies."""
    inputs: Mapping[str, str]
    """The function's input by feature."""

    def input_type(self, feature: str) -> tf.DType:
        """Returns the type that the signature takes a feature as."""
        return self.signature.structured_input_signature[1][self.inputs[feature]].dtype


@dataclass(frozen=True)
class ScoredRows:
    """The labelled rows of the eval split, with each model's predictions on them."""

    labels: Labels
    """As `accumulators.Labels` has them; classes as the smallest integers that hold them."""
    predictions: Mapping[str, Predictions]
    """By role (`challenger`, `champion`, `linear`): [rows], or [rows, classes] where there are several classes."""
    slices: Mapping[str, SliceColumn]
    """By feature, its value in each row."""
    unlabelled: int
    """Rows left out because their label is missing."""
    seconds: float
    """What reading and predicting took."""
    queries: tuple[str, ...] = ()
    """Ranking: the queries by their numbers in the labels."""

    def __len__(self) -> int:
        """Returns the number of labelled rows."""
        return len(self.labels)


def load(folder: Path, manifest: ModelManifest) -> LoadedModel:
    """Loads the SavedModel of a model's folder or of a published version.

    Raises:
        UserError: It cannot be loaded, or its signature is not what the manifest says.
    """
    try:
        saved_model = tf.saved_model.load(str(published.saved_model(folder)))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{folder}: cannot be loaded as a SavedModel: {str(error)[:300]}") from error
    if SIGNATURE not in saved_model.signatures:
        raise UserError(f"{folder}: the SavedModel has no signature {SIGNATURE!r}")
    signature = saved_model.signatures[SIGNATURE]
    inputs = {signature_names.column(name): name for name in signature.structured_input_signature[1]}
    if set(inputs) != set(manifest.features):
        odd = ", ".join(sorted(set(inputs) ^ set(manifest.features)))
        raise UserError(f"{folder}: the signature's inputs and the manifest's features differ: {odd}")
    if OUTPUT not in signature.structured_outputs:
        raise UserError(f"{folder}: the signature has no output {OUTPUT!r}")
    return LoadedModel(manifest, signature, saved_model, folder, inputs)


def score(
    folder: Path,
    models: Mapping[str, LoadedModel],
    slice_features: Sequence[str],
    buckets: Mapping[str, Buckets] | None = None,
    others: Mapping[str, Predictor] | None = None,
) -> ScoredRows:
    """Runs all models over the rows of `folder`, batch by batch; what stays is some bytes a row.

    Args:
        folder: The split's folder of Parquet files.
        models: By role; the first one's manifest says how to read the label.
        slice_features: Columns to keep for slicing.
        buckets: How to cut those of them that are numbers.
        others: By role, further predictors, which take a batch of the models' columns.

    Raises:
        ModelFailure: A model cannot predict the rows.
        UserError: A file cannot be read.
    """
    edges = edges_by_feature(folder, {name: cut for name, cut in (buckets or {}).items() if name in slice_features})
    return score_files(rows.files(folder), models, slice_features, edges, others)


def score_files(
    files: Sequence[Path],
    models: Mapping[str, LoadedModel],
    slice_features: Sequence[str],
    edges: Mapping[str, NDArray[np.float64]],
    others: Mapping[str, Predictor] | None = None,
) -> ScoredRows:
    """Runs all models over the rows of some files; see `score`.

    Args:
        files: Parquet files.
        models: By role.
        slice_features: Columns to keep for slicing.
        edges: Where those of them that are numbers are cut.
        others: By role, further predictors.
    """
    start = time.perf_counter()
    manifest = next(iter(models.values())).manifest
    columns = {manifest.label, *slice_features}.union(*(model.manifest.features for model in models.values()))
    if manifest.query:
        columns.add(manifest.query)
    labels: list[Labels] = []
    predictions: dict[str, list[Predictions]] = {role: [] for role in [*models, *(others or {})]}
    slices: dict[str, Values | Numbers] = {
        feature: Numbers(feature, edges[feature]) if feature in edges else Values() for feature in slice_features
    }
    unlabelled, queries = 0, dict[str | None, int]()
    for batch in (batch for file in files for batch in rows.read_batches_of(file, sorted(columns))):
        batch_labels = rows.label_numbers(batch, manifest, queries)
        labelled = ~np.isnan(batch_labels).reshape(batch.num_rows, -1).any(axis=1)
        unlabelled += int((~labelled).sum())
        if not labelled.all():
            batch, batch_labels = batch.filter(pa.array(labelled)), batch_labels[labelled]
        if not batch.num_rows:
            continue
        labels.append(batch_labels.astype(_label_type(manifest), copy=False))
        for role, predicted in predict(models, batch).items():
            predictions[role].append(predicted)
        for role, predictor in (others or {}).items():
            predictions[role].append(predictor(batch))
        for feature, gathered in slices.items():
            gathered.add(batch.column(feature))
    return ScoredRows(
        labels=np.concatenate(labels) if labels else np.empty(0),
        predictions={role: np.concatenate(parts) for role, parts in predictions.items() if parts},
        slices={feature: gathered.column() for feature, gathered in slices.items()},
        unlabelled=unlabelled,
        seconds=time.perf_counter() - start,
        queries=tuple(str(name) for name in queries),
    )


def edges_by_feature(folder: Path, buckets: Mapping[str, Buckets]) -> dict[str, NDArray[np.float64]]:
    """Returns the inner edges by feature; those not given are told from every row, or from every n-th of many."""
    told = sorted(name for name, cut in buckets.items() if isinstance(cut, int))
    sampled: dict[str, list[NDArray[np.float64]]] = {name: [] for name in told}
    if told:
        step = max(1, rows.count(folder) // EDGE_ROWS)
        for batch in rows.read_batches(folder, told):
            for name in told:
                sampled[name].append(numbers_of(name, batch.column(name))[::step])
    joined = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in sampled.items()}
    return {name: edges_of(joined.get(name, np.empty(0)), cut) for name, cut in buckets.items()}


def _label_type(manifest: ModelManifest) -> Any:
    if manifest.task in (REGRESSION, RANKING):
        return np.float64
    return np.int8 if manifest.task == MULTILABEL or len(manifest.classes) < np.iinfo(np.int8).max else np.int32


def predict(models: Mapping[str, LoadedModel], batch: pa.RecordBatch) -> dict[str, Predictions]:
    """Returns each model's predictions for a batch; a feature that models share is converted once.

    Raises:
        ModelFailure: A column cannot be fed, or the model fails on the rows.
    """
    fed: dict[tuple[str, str, tf.DType], tf.Tensor] = {}
    predicted = {}
    for role, model in models.items():
        try:
            for feature, kind in model.manifest.features.items():
                place = feature, kind, model.input_type(feature)
                if place not in fed:
                    fed[place] = feed(model, feature, batch.column(feature))
            features = model.manifest.features.items()
            output = model.signature(
                **{model.inputs[name]: fed[name, kind, model.input_type(name)] for name, kind in features}
            )
        except (TypeError, ValueError, UserError, tf.errors.OpError) as error:
            raise ModelFailure(role, f"fails on the eval rows: {str(error)[:300]}") from error
        predicted[role] = _shaped(role, model.manifest, output[OUTPUT].numpy(), batch.num_rows)
    return predicted


def feed(model: LoadedModel, feature: str, column: pa.Array) -> tf.Tensor:
    """Returns a column as the model takes it: a number in the precision of the signature, missing as NaN or "".

    Raises:
        UserError: A value is no number where the model takes one.
    """
    if model.manifest.features[feature] != "numeric":
        return tf.constant(rows.categorical_feed(column))
    numbers = rows.numeric_feed(column)
    if model.input_type(feature) == tf.float64:
        return tf.constant(numbers)
    with np.errstate(over="ignore"):
        return tf.constant(numbers.astype(np.float32))


def fault(predictions: Predictions, manifest: ModelManifest) -> str | None:
    """Returns what is wrong with predictions, in words, or None."""
    broken = int((~np.isfinite(predictions)).reshape(len(predictions), -1).any(axis=1).sum())
    if broken:
        return f"{broken:,} of {len(predictions):,} predictions are NaN or infinite"
    if manifest.task in (BINARY, MULTICLASS, MULTILABEL):
        outside = int(((predictions < 0) | (predictions > 1)).sum())
        if outside:
            return f"{outside:,} predicted probabilities are outside 0 to 1"
    if manifest.task == MULTICLASS:
        off = int((np.abs(predictions.sum(axis=1, dtype=np.float64) - 1) > SUM_TOLERANCE).sum())
        if off:
            return f"in {off:,} rows the class probabilities do not add up to 1"
    return None


def _shaped(role: str, manifest: ModelManifest, values: NDArray[Any], count: int) -> Predictions:
    several = manifest.task in (MULTICLASS, MULTILABEL)
    expected = (count, len(manifest.classes)) if several else (count,)
    if not several and values.shape == (count, 1):
        values = values[:, 0]
    if values.shape != expected or not np.issubdtype(values.dtype, np.floating):
        raise ModelFailure(
            role,
            f"{OUTPUT} has shape {list(values.shape)} and type {values.dtype} for {count} rows; "
            f"{manifest.task} needs float32 {list(expected)}",
        )
    return values if values.dtype == np.float64 and manifest.task == REGRESSION else values.astype(np.float32)
