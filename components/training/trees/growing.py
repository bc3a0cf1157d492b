"""Growing boosted trees: scikit-learn's histogram learner over codes, stopped where held-out rows no longer gain.

Source of the method: Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree" (NIPS 2017), as
scikit-learn's HistGradientBoosting implements it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # Threads that spin take ten times as long on a busy machine.

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from mainspring.components.common.manifests import MULTICLASS
from mainspring.components.training.features.columns import Feature
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import RawColumns
from mainspring.components.training.trees.codes import MISSING, Codes, learn_codes
from mainspring.components.training.trees.forest import Forest, forest_of
from mainspring.components.training.trees.table_rows import TableRows

ROUNDS = 250
PATIENCE = 15
"""Rounds without a better held-out loss before boosting stops."""
ROWS_FOR_THREADS = 500_000
"""Smaller tables are grown by one thread: on a busy machine threads that wait for each other take far longer."""
FIRST_ROUNDS = 80
"""After so many it is looked at whether trees can still beat another model."""
MOST_MORE = 1.5
"""Later rounds together lower the loss by at most so many times what the second half of the first rounds did: twice as
many rounds gain less than the ones before, and there are about three times as many at most."""
MOST_TREES = 3_000
"""With many classes, fewer rounds: each round grows a tree per class."""


@dataclass(frozen=True)
class Shape:
    """How trees are grown."""

    learning_rate: float = 0.1
    leaves: int = 31
    """Of a tree, at most."""
    least_rows: int = 20
    """Of a leaf."""
    rounds: int = ROUNDS

    def __str__(self) -> str:
        """Says it as the log and the page do."""
        return f"step {self.learning_rate:g}, {self.leaves} leaves of {self.least_rows} rows or more"


@dataclass(frozen=True)
class Grown:
    """A fitted learner, and the rounds to take of it."""

    learner: Any
    codes: Codes
    label: LabelSpec
    shape: Shape
    rounds: int
    losses: tuple[float, ...]
    """Train's loss after each round."""
    held_out_losses: tuple[float, ...]
    """Empty where no rows were held out."""

    def forest(self) -> Forest:
        """Returns the trees as arrays."""
        return forest_of(self.learner, self.rounds, self.label.units, _order(self.codes))

    def outputs(self, columns: RawColumns) -> np.ndarray:
        """Returns what the learner itself says, float64 [rows, units]: logits, or standardised values."""
        taken = replace_rounds(self.learner, self.rounds)
        given = np.asarray(taken._raw_predict(_learnable(self.codes, self.codes.apply(columns))))
        if given.shape[1] == self.label.units:
            return given
        outputs = np.tile(self.forest().start, (len(given), 1))
        outputs[:, [int(number) for number in self.learner.classes_][-given.shape[1] :]] = given
        return outputs


def grow(
    features: Sequence[Feature],
    train: TableRows,
    label: LabelSpec,
    shape: Shape,
    seed: int,
    held_out: TableRows | None = None,
    class_weights: Sequence[float] | None = None,
    rises_with: Mapping[str, int] = {},
    to_beat: float | None = None,
) -> Grown:
    """Grows trees on train's rows.

    Args:
        features: The features.
        train: The rows to learn from.
        label: The label.
        shape: Of the trees; with rows held out its rounds are the most.
        seed: Of everything random.
        held_out: Rows whose loss says when to stop; None: all rounds are grown.
        class_weights: Per class.
        rises_with: By quantity, 1 where the output must not fall as it rises, -1 where it must not rise.
        to_beat: A held-out loss. Where the first rounds show that it is out of reach, they are all.
    """
    codes, coded = learn_codes(features, train, label, seed)
    most = max(MOST_TREES // label.units, 10)
    settings = {
        "learning_rate": shape.learning_rate,
        "max_leaf_nodes": shape.leaves,
        "min_samples_leaf": shape.least_rows,
        "max_iter": min(shape.rounds, most) if to_beat is None else min(FIRST_ROUNDS, shape.rounds, most),
        "warm_start": to_beat is not None,
        "max_bins": MISSING,
        "categorical_features": _is_category(codes) if any(codes.is_native) else None,
        "monotonic_cst": [rises_with.get(name, 0) for name in codes.names] if rises_with else None,
        "early_stopping": held_out is not None,
        "n_iter_no_change": PATIENCE,
        "scoring": "loss",
        "random_state": seed,
    }
    kind = HistGradientBoostingClassifier if label.classes else HistGradientBoostingRegressor
    learner = kind(**settings)
    given: dict[str, Any] = {"sample_weight": _weights(train.targets, class_weights)}
    if held_out is not None:
        judged = _known(held_out, train, label)
        given |= {
            "X_val": _learnable(codes, codes.apply(judged.columns)),
            "y_val": _learnable_targets(judged.targets, label),
            "sample_weight_val": _weights(judged.targets, class_weights),
        }
    with threadpool_limits(1 if train.rows < ROWS_FOR_THREADS else None, user_api="openmp"):
        learned = _learnable(codes, coded), _learnable_targets(train.targets, label)
        learner.fit(*learned, **given)
        if to_beat is not None and _is_within_reach(learner, label, to_beat):
            learner.set_params(max_iter=min(shape.rounds, most)).fit(*learned, **given)
    held = -np.asarray(learner.validation_score_) if held_out is not None else np.zeros(0)
    rounds = max(int(held.argmin()), 1) if len(held) else len(learner._predictors)
    losses = -np.asarray(learner.train_score_) if len(learner.train_score_) else np.zeros(0)
    return Grown(learner, codes, label, shape, rounds, tuple(losses[1:].tolist()), tuple(held[1:].tolist()))


def _is_within_reach(learner: Any, label: LabelSpec, to_beat: float) -> bool:
    """Returns whether more rounds may reach a held-out loss; not where boosting has stopped by itself."""
    losses = -np.asarray(learner.validation_score_) * (1 if label.classes else 2)  # It halves squared errors.
    if len(learner._predictors) < learner.max_iter:
        return False
    gained = losses[len(losses) // 2] - losses[-1]
    return bool(losses[-1] - MOST_MORE * gained < to_beat)


def replace_rounds(learner: Any, rounds: int) -> Any:
    """Returns the learner with its first rounds only; the learner itself stays as it is."""
    taken = object.__new__(type(learner))
    taken.__dict__.update(learner.__dict__)
    taken._predictors = learner._predictors[:rounds]
    return taken


def at_most(shape: Shape, rounds: int) -> Shape:
    """Returns the shape with so many rounds."""
    return replace(shape, rounds=max(rounds, 1))


def _is_category(codes: Codes) -> np.ndarray:
    return np.array([*codes.is_native, *(False for _ in codes.numeric)])


def _order(codes: Codes) -> np.ndarray:
    """Returns the columns in the learner's order: what it treats as categories comes first."""
    is_category = _is_category(codes)
    return np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])


def _learnable(codes: Codes, coded: np.ndarray) -> np.ndarray:
    return np.where(coded == MISSING, np.nan, coded.astype(np.float64))


def _learnable_targets(targets: np.ndarray, label: LabelSpec) -> np.ndarray:
    return targets.astype(np.int64) if label.classes else targets.astype(np.float64)


def _known(held_out: TableRows, train: TableRows, label: LabelSpec) -> TableRows:
    """Returns the held-out rows of the classes that train has: of others the learner has no loss."""
    if label.task != MULTICLASS:
        return held_out
    return held_out.take(np.flatnonzero(np.isin(held_out.targets, np.unique(train.targets))))


def _weights(targets: np.ndarray, class_weights: Sequence[float] | None) -> np.ndarray | None:
    return None if class_weights is None else np.asarray(class_weights, np.float64)[targets.astype(np.int64)]
