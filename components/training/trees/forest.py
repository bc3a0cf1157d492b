"""Grown trees as arrays: each tree's questions, and which answers lead to which leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mainspring.components.training.trees.codes import MISSING

NEVER = 1e6
"""What a leaf that there is not would have to score."""
ABSENT_CLASS = -12.0
"""Added to the lowest start of all classes: the score of a class that the rows to learn from lack."""


@dataclass(frozen=True)
class Forest:
    """All trees, padded to the same numbers of questions and leaves.

    A question is `value <= limit`, which leads to the left. The values asked for are, one row each: the columns with
    missing values as -1 (left), the columns with missing values as `MISSING` (right), and 0 (left) or 1 for each
    question about a set of categories. A leaf is reached where `paths @ answers` equals `lefts`: each of its left turns
    counts 1, each of its right turns -1.
    """

    columns: int
    asked: np.ndarray
    """int32 [trees, questions]: which row of values."""
    limits: np.ndarray
    """float32 [trees, questions]"""
    paths: np.ndarray
    """float32 [trees, leaves, questions]"""
    lefts: np.ndarray
    """float32 [trees, leaves]"""
    leaves: np.ndarray
    """float64 [units, trees, leaves]: what a leaf adds to each output."""
    set_columns: np.ndarray
    """int32 [sets]: the column that each question about categories asks."""
    sets: np.ndarray
    """float32 [sets, MISSING + 1]: 0 where a code goes left."""
    start: np.ndarray
    """float64 [units]: the outputs before any tree."""

    @property
    def trees(self) -> int:
        """How many there are."""
        return len(self.asked)


def forest_of(learner: Any, rounds: int, units: int, order: np.ndarray) -> Forest:
    """Takes the trees out of scikit-learn's fitted HistGradientBoosting estimator.

    Args:
        learner: Fitted on codes.
        rounds: How many rounds of boosting to take.
        units: Outputs: one, or one per class; classes are numbers below it.
        order: The columns in the learner's order: it puts categories first.
    """
    classes = getattr(learner, "classes_", np.zeros(1))
    output_of = [int(number) for number in classes] if units > 1 and len(classes) > 2 else [units - 1]
    trees = [(tree, output_of[k]) for some in learner._predictors[:rounds] for k, tree in enumerate(some)]
    questions = max([int((~tree.nodes["is_leaf"].astype(bool)).sum()) for tree, _ in trees], default=0) or 1
    shape = (len(trees), questions)
    asked, limits = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    paths = np.zeros((len(trees), questions + 1, questions), np.float32)
    lefts = np.full((len(trees), questions + 1), NEVER, np.float32)
    leaves = np.zeros((units, len(trees), questions + 1))
    columns, sets = int(learner.n_features_in_), _Sets()
    for number, (tree, unit) in enumerate(trees):
        inner = np.flatnonzero(tree.nodes["is_leaf"] == 0)
        for place, node in enumerate(inner):
            asked[number, place], limits[number, place] = _question(tree, tree.nodes[node], order, sets)
        place_of = {int(node): place for place, node in enumerate(inner)}
        for leaf, (end, turns) in enumerate(_leaves(tree.nodes)):
            for parent, turn in turns:
                paths[number, leaf, place_of[parent]] = turn
            lefts[number, leaf] = sum(turn > 0 for _, turn in turns)
            leaves[unit, number, leaf] = tree.nodes[end]["value"]
    return Forest(
        columns=columns,
        asked=asked,
        limits=limits,
        paths=paths,
        lefts=lefts,
        leaves=leaves,
        set_columns=np.array(sets.columns, np.int32),
        sets=np.array(sets.rows, np.float32).reshape(-1, MISSING + 1),
        start=_start(learner, output_of, units),
    )


class _Sets:
    """The questions about categories, each once."""

    def __init__(self) -> None:
        self.columns: list[int] = []
        self.rows: list[np.ndarray] = []
        self._seen: dict[tuple[int, bytes], int] = {}

    def place(self, column: int, goes_right: np.ndarray) -> int:
        """Returns the place of a question."""
        key = (column, goes_right.tobytes())
        if key not in self._seen:
            self._seen[key] = len(self.rows)
            self.columns.append(column)
            self.rows.append(goes_right)
        return self._seen[key]


def _question(tree: Any, node: Any, order: np.ndarray, sets: _Sets) -> tuple[int, float]:
    column, missing_left = int(order[node["feature_idx"]]), bool(node["missing_go_to_left"])
    if not node["is_categorical"]:
        # A limit beyond all codes parts missing values from all others.
        limit = min(float(np.floor(node["num_threshold"])), MISSING - 1.0)
        return column + (0 if missing_left else len(order)), limit
    words = np.ascontiguousarray(tree.raw_left_cat_bitsets[node["bitset_idx"]], np.uint32)
    goes_left = np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)
    goes_left[MISSING] = missing_left
    return 2 * len(order) + sets.place(column, np.where(goes_left, 0, 1).astype(np.float32)), 0.5


def _leaves(nodes: np.ndarray) -> list[tuple[int, list[tuple[int, int]]]]:
    """Returns each leaf's node and the turns on the way to it: (node, 1 for left or -1 for right)."""
    found, open_nodes = [], [(0, [])]  # type: ignore[var-annotated]
    while open_nodes:
        node, turns = open_nodes.pop()
        if nodes[node]["is_leaf"]:
            found.append((node, turns))
            continue
        open_nodes.append((int(nodes[node]["right"]), [*turns, (node, -1)]))
        open_nodes.append((int(nodes[node]["left"]), [*turns, (node, 1)]))
    return found


def _start(learner: Any, output_of: list[int], units: int) -> np.ndarray:
    given = np.asarray(learner._baseline_prediction, np.float64).ravel()
    if len(output_of) == units:
        start = np.empty(units)
        start[output_of] = given
        return start
    start = np.full(units, given.min() + ABSENT_CLASS)
    start[output_of] = given
    return start
