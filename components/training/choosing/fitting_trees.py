"""Trees from examples to a publishable model: their shape and rounds chosen on held-out rows of train."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import tensorflow as tf

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import MULTICLASS
from mainspring.components.training.features.columns import CATEGORICAL, Feature
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.scores import loss_and_metric
from mainspring.components.training.hyperparameters import Hyperparameters, checked_class_weights
from mainspring.components.training.publishing.exporting import export_trees
from mainspring.components.training.publishing.published_model import Fitted
from mainspring.components.training.rows.preparing import Examples, stated_row
from mainspring.components.training.trees.growing import Grown, Shape, at_most, grow
from mainspring.components.training.trees.table_rows import TableRows, TrainRows, read_eval, read_train
from mainspring.components.training.trees.tree_graph import TreeGraph

SMALL_ROWS = 20_000
"""Smaller tables try several shapes by cross-validation, and are grown anew on all rows."""
LARGE_ROWS = 50_000
"""Of a larger table: larger trees in larger steps, of which fewer do better."""
LARGE = Shape(0.2, 63)
FOLDS = 5
HELD_OUT = 0.1
"""Share of a larger table's rows that say when to stop."""
MOST_HELD_OUT = 20_000


@dataclass(frozen=True)
class TreeJob:
    """What trees are grown from."""

    examples: Examples
    task: str
    settings: Hyperparameters
    rises_with: Mapping[str, int]

    def weights(self, label: LabelSpec, class_rows: Sequence[int]) -> list[float] | None:
        """Returns the classes' weights."""
        return checked_class_weights(self.settings.class_weights, label.classes, class_rows)


def fit_trees(job: TreeJob) -> Fitted:
    """Grows trees on train, and makes them publishable.

    Raises:
        UserError: The examples cannot be learned from.
    """
    train = read_train(job.examples, job.task, job.settings.seed)
    return publishable(job, train, best_grown(job, train))


def best_grown(
    job: TreeJob, train: TrainRows, held_out: TableRows | None = None, to_beat: float | None = None
) -> Grown:
    """Grows trees in the shape that held-out rows prefer.

    Args:
        job: The job.
        train: The rows to learn from.
        held_out: Rows that say when to stop; None: some of the rows to learn from. Small tables do without.
        to_beat: Another model's loss on these rows; see `growing.grow`.

    Raises:
        UserError: The trees cannot be held to what they are to be.
    """
    table, label, seed = train.table, train.label, job.settings.seed
    if job.rises_with and label.task == MULTICLASS:
        raise UserError("rises_with: trees of more than two classes cannot be held to it; leave it out")
    weights = job.weights(label, train.class_rows)
    if table.rows < SMALL_ROWS:
        return grown_as(job, train, best_shape(job, train))
    random = np.random.default_rng(seed)
    if held_out is None:
        order = random.permutation(table.rows)
        held = min(int(HELD_OUT * table.rows), MOST_HELD_OUT)
        held_out, table = table.take(np.sort(order[:held])), table.take(np.sort(order[held:]))
    to_beat = None if weights else to_beat  # The learner weighs its loss otherwise.
    shape = LARGE if table.rows >= LARGE_ROWS else Shape()
    return grow(job.examples.features, table, label, shape, seed, held_out, weights, job.rises_with, to_beat)


def grown_as(job: TreeJob, train: TrainRows, shape: Shape) -> Grown:
    """Grows all rounds of a shape: on all rows, once some have shown how."""
    weights = job.weights(train.label, train.class_rows)
    return grow(
        job.examples.features, train.table, train.label, shape, job.settings.seed, None, weights, job.rises_with
    )


def publishable(job: TreeJob, train: TrainRows, grown: Grown) -> Fitted:
    """Judges the trees on eval, by the graph that is going to be served."""
    started = time.perf_counter()
    evaluation, sample = read_eval(job.examples, train.label, job.settings.seed)
    graph = TreeGraph(grown.codes, grown.forest())
    weights = job.weights(train.label, train.class_rows)
    loss, metric = loss_and_metric(graph_outputs(graph, evaluation), evaluation.targets, train.label, weights)
    rounds = _rounds(grown)
    kept = Epoch(grown.rounds, rounds[grown.rounds - 1].loss, loss, metric, time.perf_counter() - started)
    codes = grown.codes
    treatments = [
        (feature.name, feature.kind, f"{len(values):,} values, {'as categories' if native else 'by their mean label'}")
        for feature, values, native in zip(codes.categorical, codes.values, codes.is_native, strict=True)
    ]
    treatments += [
        (feature.name, feature.kind, f"{len(borders) + 1} bins{_direction(feature, job.rises_with)}")
        for feature, borders in zip(codes.numeric, codes.borders, strict=True)
    ]
    print(f"trees: {grown.rounds} rounds, {grown.shape}; eval loss {loss:.4f}", flush=True)

    def write(folder: Path, threshold: float) -> None:
        export_trees(graph, train.label, folder, threshold)

    return Fitted(
        kind="trees",
        label=train.label,
        epochs=[*rounds[: grown.rounds - 1], kept],
        kept=kept,
        train_rows=train.labelled_rows,
        eval_rows=evaluation.rows,
        sample_row=stated_row(sample, job.examples),
        treatments=treatments,
        write=write,
        said={"Trees": f"{grown.rounds} rounds, {grown.shape}"},
    )


def graph_outputs(graph: TreeGraph, table: TableRows) -> np.ndarray:
    """Returns what the served graph says of rows, float64 [rows, units]."""
    columns, rows = table.columns, {}
    numeric = [feature for feature in graph.features if feature.kind != CATEGORICAL]
    for place, feature in enumerate(numeric):
        rows[feature.name] = tf.constant(columns.numbers[:, place])
    for feature, column in zip(graph.features[len(numeric) :], columns.categories, strict=True):
        words = np.array([*column.dictionary.to_pylist(), ""], object)[:-1]
        rows[feature.name] = tf.constant(words[column.indices.to_numpy()], tf.string)
    outputs: np.ndarray = tf.function(graph.outputs, autograph=False)(rows).numpy()
    return outputs


def best_shape(job: TreeJob, train: TrainRows) -> Shape:
    """Returns the shape with the least loss over folds of train, with as many rounds as they needed.

    Raises:
        UserError: The trees cannot be held to what they are to be.
    """
    table, label = train.table, train.label
    if job.rises_with and label.task == MULTICLASS:
        raise UserError("rises_with: trees of more than two classes cannot be held to it; leave it out")
    random = np.random.default_rng(job.settings.seed)
    weights = job.weights(label, train.class_rows)
    fold = random.permutation(np.arange(table.rows) % FOLDS)
    best, least = Shape(rounds=1), np.inf
    for shape in _shapes(table.rows):
        losses, rounds = [], []
        for number in range(FOLDS):
            kept, judged = table.take(np.flatnonzero(fold != number)), table.take(np.flatnonzero(fold == number))
            if not judged.rows or (label.classes and len(np.unique(kept.targets)) < 2):
                continue
            grown = grow(job.examples.features, kept, label, shape, job.settings.seed, judged, weights, job.rises_with)
            losses.append(min(grown.held_out_losses, default=np.inf) * judged.rows)
            rounds.append(grown.rounds)
        if rounds and sum(losses) < least:
            best, least = at_most(shape, round(median(rounds) * FOLDS / (FOLDS - 1))), sum(losses)
    return best


def _shapes(rows: int) -> list[Shape]:
    """Returns the shapes to try: what a table is too small for overfits, and what is too plain misses something."""
    if rows >= 5_000:
        return [Shape(), Shape(leaves=12)]
    least = int(np.clip(rows // 40, 2, 10))
    return [Shape(), Shape(least_rows=5), Shape(0.08, 8, least), Shape(0.08, 3, least)]


def _rounds(grown: Grown) -> list[Epoch]:
    """Returns each round as the page has an epoch; NaN where nothing was measured."""
    held = grown.held_out_losses or (float("nan"),) * grown.rounds
    losses = grown.losses or (float("nan"),) * grown.rounds
    count = min(grown.rounds, len(held), len(losses))
    rounds = [Epoch(n + 1, losses[n], held[n], float("nan"), float("nan")) for n in range(count)]
    return rounds or [Epoch(1, *[float("nan")] * 4)]


def _direction(feature: Feature, rises_with: Mapping[str, int]) -> str:
    return {1: "; predictions only rise with it", -1: "; predictions only fall with it"}.get(
        rises_with.get(feature.name, 0), ""
    )
