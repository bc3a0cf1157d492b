"""The simplest model worth beating: ridge or logistic regression on the same features, fitted on the train split.

Numbers are standardised, with an indicator where they are missing; texts are one column for each of their most
frequent values. Logistic regression is fitted by Newton's method (Hastie, Tibshirani and Friedman, The Elements of
Statistical Learning, 2009, section 4.4.1); several classes one against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, MULTICLASS, MULTILABEL, RANKING, REGRESSION, ModelManifest
from mainspring.components.evaluation.scoring import rows

MOST_ROWS = 20_000
"""Rows fitted on, evenly from all of train: more move so few coefficients by less than the model's own bias."""

MOST_VALUES = 32
"""Values of a text that get a column; the others share the intercept."""

RIDGE = 1.0
"""Added to the diagonal: columns that say the same stay solvable."""

STEPS = 6
"""Of Newton's method: it converges quadratically, and the ridge keeps it from running away."""

CLIP = 8.0
"""Standardised numbers are kept this near: one odd value must not be the whole prediction."""

Design = Callable[[pa.RecordBatch], NDArray[np.float64]]


@dataclass(frozen=True)
class _Numbers:
    mean: float
    deviation: float


def fit(folder: Path, manifest: ModelManifest) -> Callable[[pa.RecordBatch], NDArray[np.float32]]:
    """Returns the fitted model: from a batch with the features to predictions as the manifest's task has them.

    Args:
        folder: The train split.
        manifest: Says task, label and features.

    Raises:
        UserError: Train cannot be read, or has no labelled rows.
    """
    batch, labels = _sample(folder, manifest)
    design = _design(batch, manifest)
    inputs, wanted = design(batch), _targets(labels, manifest)
    solve = _ridge if manifest.task in (REGRESSION, RANKING) else _logistic
    weights = np.column_stack([solve(inputs, column) for column in wanted.T])

    def predict(rows_to_predict: pa.RecordBatch) -> NDArray[np.float32]:
        scores = design(rows_to_predict) @ weights
        if manifest.task in (REGRESSION, RANKING):
            return scores[:, 0].astype(np.float32)
        likely = _sigmoid(scores)
        if manifest.task == BINARY:
            return likely[:, 0].astype(np.float32)
        if manifest.task == MULTICLASS:
            likely /= likely.sum(axis=1, keepdims=True)
        return likely.astype(np.float32)

    return predict


def _sample(folder: Path, manifest: ModelManifest) -> tuple[pa.RecordBatch, NDArray[np.float64]]:
    step = max(1, rows.count(folder) // MOST_ROWS)
    columns = sorted({manifest.label, *manifest.features} | ({manifest.query} - {""}))
    parts = [batch.take(np.arange(0, batch.num_rows, step)) for batch in rows.read_batches(folder, columns)]
    if not sum(len(part) for part in parts):
        raise UserError(f"{folder}: better_than_linear: there are no rows to fit a linear model on")
    batch = pa.Table.from_batches(parts).combine_chunks().to_batches(max_chunksize=None)[0]
    labels = rows.label_numbers(batch, manifest, {})
    known = np.isfinite(labels).reshape(len(labels), -1).all(axis=1)
    if manifest.task not in (REGRESSION, RANKING):
        known &= (labels != rows.UNKNOWN_CLASS).reshape(len(labels), -1).all(axis=1)
    if not known.any():
        raise UserError(f"{folder}: better_than_linear: no row has a known {manifest.label!r} to fit a linear model on")
    return batch.filter(pa.array(known)), labels[known]


def _targets(labels: NDArray[np.float64], manifest: ModelManifest) -> NDArray[np.float64]:
    """Returns what each column of weights is fitted to, [rows, outputs]."""
    if manifest.task == MULTICLASS:
        return (labels[:, None] == np.arange(len(manifest.classes))).astype(np.float64)
    if manifest.task == MULTILABEL:
        return labels
    return labels[:, :1] if manifest.task == RANKING else labels[:, None]


def _design(batch: pa.RecordBatch, manifest: ModelManifest) -> Design:
    learned: dict[str, _Numbers | list[str]] = {}
    for name, kind in manifest.features.items():
        if kind == "numeric":
            values = rows.numeric_feed(batch.column(name)).astype(np.float64)
            finite = values[np.isfinite(values)]
            deviation = float(finite.std()) if len(finite) else 0.0
            learned[name] = _Numbers(float(finite.mean()) if len(finite) else 0.0, deviation or 1.0)
        else:
            counts = pc.value_counts(rows.texts(batch.column(name)).drop_null()).to_pylist()
            counts.sort(key=lambda each: (-each["counts"], each["values"]))
            learned[name] = [each["values"] for each in counts[:MOST_VALUES]]

    def design(of: pa.RecordBatch) -> NDArray[np.float64]:
        return np.column_stack([np.ones(of.num_rows), *_columns(of, learned)])

    return design


def _columns(batch: pa.RecordBatch, learned: dict[str, _Numbers | list[str]]) -> Iterator[NDArray[np.float64]]:
    for name, known in learned.items():
        column = batch.column(name)
        if isinstance(known, _Numbers):
            values = rows.numeric_feed(column).astype(np.float64)
            missing = ~np.isfinite(values)
            scaled = np.where(missing, 0.0, (np.where(missing, 0.0, values) - known.mean) / known.deviation)
            yield np.clip(scaled, -CLIP, CLIP)
            yield missing.astype(np.float64)
        elif known:
            place = pc.index_in(rows.texts(column), pa.array(known, pa.string())).fill_null(len(known)).to_numpy()
            yield (place[:, None] == np.arange(len(known))).astype(np.float64)


def _ridge(inputs: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = wanted.mean()  # The ridge would pull a far intercept towards zero.
    found = np.linalg.solve(inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1]), inputs.T @ (wanted - mean))
    found[0] += mean
    return found


def _logistic(inputs: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        likely = _sigmoid(inputs @ weights)
        slope = inputs.T @ (wanted - likely) - RIDGE * weights
        curvature = (inputs * (likely * (1 - likely))[:, None]).T @ inputs + RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, slope)
    return weights


def _sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(scores, -30, 30)))
