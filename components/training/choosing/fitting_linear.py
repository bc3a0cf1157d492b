"""A linear model of standardised quantities and categories, as a Keras model over the network's own encoded rows."""

from __future__ import annotations

import keras
import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from mainspring.components.common.manifests import BINARY
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import Encoder
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.progress import predictor
from mainspring.components.training.fitting.scores import loss_and_metric
from mainspring.components.training.hyperparameters import Hyperparameters, checked_class_weights
from mainspring.components.training.model.context import inputs_of
from mainspring.components.training.model.layers import Wide
from mainspring.components.training.rows.blocks import Blocks, unpack
from mainspring.components.training.rows.feed import Split
from mainspring.components.training.rows.preparing import Prepared

PENALTIES = (0.3, 3.0, 30.0, 300.0)
"""Tried for the sum of squared weights, against the sum of the rows' losses."""
FOLDS = 3
MOST_ROWS = 200_000
"""More rows say little more of so few weights."""
MOST_STEPS = 300


def fit_linear(prepared: Prepared, settings: Hyperparameters) -> tuple[keras.Model, Epoch]:
    """Fits the linear model; returns it, and how it does on the rows that `prepared` is judged by.

    Raises:
        UserError: The class weights do not fit the label.
    """
    label, encoder = prepared.label, prepared.encoder
    rows = _rows(prepared.train, settings.seed)
    design = _design(rows, encoder)
    weights = checked_class_weights(settings.class_weights, label.classes, prepared.class_rows)
    sample_weights = np.ones(rows.rows) if weights is None else np.asarray(weights)[rows.targets.astype(int)]
    penalty = _chosen_penalty(design, rows.targets, sample_weights, label, settings.seed)
    model = _model(_fitted(design, rows.targets, sample_weights, label, penalty), encoder, label)
    predict = predictor(model)
    loss, _ = loss_and_metric(predict(rows), rows.targets, label, weights)
    judged_loss, metric = loss_and_metric(predict(prepared.evaluation), prepared.evaluation.targets, label, weights)
    return model, Epoch(1, loss, judged_loss, metric, float("nan"))


def _rows(train: Blocks, seed: int) -> Split:
    """Returns encoded rows to fit on: of blocks on disk the first, which are a sample of the table."""
    packed = train.resident
    if packed is None:
        parts = [np.fromfile(train.files[0], np.int32).reshape(-1, train.layout.width)]
        packed = np.concatenate(parts)
    if len(packed) > MOST_ROWS:
        packed = packed[np.sort(np.random.default_rng(seed).permutation(len(packed))[:MOST_ROWS])]
    inputs, targets = unpack(packed, train.layout)
    return Split({name: tensor.numpy() for name, tensor in inputs.items()}, targets.numpy()[:, 0])


def _design(rows: Split, encoder: Encoder) -> sparse.csr_matrix:
    """Returns [rows, weights]: the numbers, then a column per id of each categorical feature."""
    parts = [sparse.csr_matrix(rows.inputs["numbers"].astype(np.float64))]
    for place, size in _categorical_places(encoder):
        ids = rows.inputs["ids"][:, place]
        ones = np.ones(len(ids))
        parts.append(sparse.csr_matrix((ones, (np.arange(len(ids)), ids)), shape=(len(ids), size)))
    return sparse.hstack(parts, format="csr")


def _categorical_places(encoder: Encoder) -> list[tuple[int, int]]:
    statistics = encoder.statistics
    first = len(statistics.numeric)
    return [(first + place, statistics.sizes[first + place]) for place in range(len(statistics.categorical))]


def _chosen_penalty(
    design: sparse.csr_matrix, targets: np.ndarray, weights: np.ndarray, label: LabelSpec, seed: int
) -> float:
    fold = np.random.default_rng(seed).permutation(np.arange(len(targets)) % FOLDS)
    if label.classes and any(len(np.unique(targets[fold != n])) < max(label.units, 2) for n in range(FOLDS)):
        return PENALTIES[1]  # A class of so few rows that a fold lacks it.
    losses = []
    for penalty in PENALTIES:
        loss = 0.0
        for number in range(FOLDS):
            kept, judged = fold != number, fold == number
            bias, factors = _fitted(design[kept], targets[kept], weights[kept], label, penalty)
            loss += loss_and_metric(design[judged] @ factors + bias, targets[judged], label)[0] * judged.sum()
        losses.append(loss)
    return PENALTIES[int(np.argmin(losses))]


def _fitted(
    design: sparse.csr_matrix, targets: np.ndarray, weights: np.ndarray, label: LabelSpec, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bias [units] and the weights [columns, units]."""
    if not label.classes:
        ridge = Ridge(alpha=penalty).fit(design, targets.astype(np.float64), weights)
        return np.atleast_1d(ridge.intercept_), ridge.coef_.reshape(-1, 1)
    logistic = LogisticRegression(C=1 / penalty, max_iter=MOST_STEPS).fit(design, targets.astype(int), weights)
    if label.task == BINARY or len(logistic.classes_) == label.units:
        return logistic.intercept_, logistic.coef_.T
    raise AssertionError("every class has rows in train")


def _model(fitted: tuple[np.ndarray, np.ndarray], encoder: Encoder, label: LabelSpec) -> keras.Model:
    """Returns the fitted weights as a Keras model: what the network has, without its hidden layers."""
    bias, factors = fitted
    quantities = len(encoder.statistics.numeric)
    inputs = inputs_of(len(encoder.sizes), quantities)
    wide = Wide(encoder.sizes, label.units, dtype="float32", name="wide")
    if label.units > 1 and len(bias) == 1:  # Two classes as a task of many: one logit is their difference.
        bias, factors = np.append(-bias, bias) / 2, np.hstack([-factors, factors]) / 2
    table, taken = np.zeros((sum(encoder.sizes), label.units), np.float32), 2 * quantities
    starts = np.cumsum(encoder.sizes) - encoder.sizes
    for number, (place, size) in enumerate(_categorical_places(encoder)):
        table[starts[place] : starts[place] + size] = factors[taken : taken + size]
        if not quantities and not number:  # A layer of no inputs, to hold the bias, is more than some kernels take.
            table[starts[place] : starts[place] + size] += bias
        taken += size
    outputs = wide(inputs["ids"])
    if quantities:
        dense = keras.layers.Dense(label.units, dtype="float32", name="numbers_effects")
        outputs = keras.layers.Add(dtype="float32", name="logits")([outputs, dense(inputs["numbers"])])
        dense.set_weights([factors[: 2 * quantities].astype(np.float32), bias.astype(np.float32)])
    wide.set_weights([table])
    return keras.Model(inputs, outputs)
