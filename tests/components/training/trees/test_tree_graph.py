"""The served graph says what the learner says, on whatever rows come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from mainspring.components.common.manifests import BINARY, MULTICLASS, REGRESSION
from mainspring.components.training.features.columns import CATEGORICAL, NUMERIC, Feature
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import raw_columns
from mainspring.components.training.trees.codes import MISSING, bin_codes, borders_of
from mainspring.components.training.trees.growing import FIRST_ROUNDS, Grown, Shape, grow
from mainspring.components.training.trees.table_rows import TableRows
from mainspring.components.training.trees.tree_graph import TreeGraph

pytestmark = pytest.mark.filterwarnings("ignore:overflow")  # 1e308 is infinite, and so missing, in float32.

LABELS = {
    REGRESSION: LabelSpec("y", REGRESSION, ()),
    BINARY: LabelSpec("y", BINARY, ("no", "yes")),
    MULTICLASS: LabelSpec("y", MULTICLASS, ("a", "b", "c", "d")),
}
EXTREME = [1e308, -1e308, 3.4e38, 1e-45, -1e-45, 0.0, -0.0, 2.0**24, 2.0**24 + 1, np.inf, -np.inf, np.nan]


def _features(numbers: int, words: int) -> list[Feature]:
    return [Feature(f"n{i}", NUMERIC, False) for i in range(numbers)] + [
        Feature(f"c{i}", CATEGORICAL, False) for i in range(words)
    ]


def _table(rows: int, numbers: int, words: int, seed: int, categories: int = 6) -> dict[str, list[Any]]:
    """Returns columns of every nature: smooth, tied, constant, skewed; missing values and extremes in each."""
    random = np.random.default_rng(seed)
    natures = [
        random.normal(size=rows),
        random.integers(0, 5, rows).astype(float),  # Ties at every border.
        np.full(rows, 7.0),
        np.exp(random.normal(size=rows) * 20),
        np.where(random.random(rows) < 0.9, 0.0, random.normal(size=rows)),
    ]
    columns: dict[str, list[Any]] = {}
    for place in range(numbers):
        values = natures[place % len(natures)].copy()
        odd = random.random(rows) < 0.05
        values[odd] = random.choice(EXTREME, odd.sum())
        columns[f"n{place}"] = values.tolist()
    for place in range(words):
        codes = random.integers(0, categories, rows)
        columns[f"c{place}"] = [None if gap else f"w{code}" for code, gap in zip(codes, random.random(rows) < 0.05)]  # noqa: B905
    return columns


def _rows(columns: dict[str, list[Any]], features: list[Feature], label: LabelSpec, seed: int) -> TableRows:
    random = np.random.default_rng(seed)
    kinds = {feature.name: pa.string() if feature.kind == CATEGORICAL else pa.float64() for feature in features}
    table = pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()})
    score = random.normal(size=len(table))
    for name, values in columns.items():
        if kinds[name] == pa.string():
            score += np.array([0.0 if word is None else (hash(len(word) + ord(word[-1])) % 3) for word in values])
        else:
            numbers = np.nan_to_num(np.array(values), nan=1.0, posinf=3, neginf=-3)
            score += np.clip(numbers, -3, 3)
    if label.classes:
        edges = np.quantile(score, np.linspace(0, 1, len(label.classes) + 1)[1:-1])
        return TableRows(raw_columns(table, features), np.searchsorted(edges, score).astype(np.int32))
    return TableRows(raw_columns(table, features), score.astype(np.float32))


def _served(grown: Grown, columns: dict[str, list[Any]], features: list[Feature]) -> np.ndarray:
    graph = TreeGraph(grown.codes, grown.forest())
    tensors = {
        feature.name: tf.constant([word or "" for word in columns[feature.name]], tf.string)
        if feature.kind == CATEGORICAL
        else tf.constant(np.array(columns[feature.name]).astype(np.float32))
        for feature in features
    }
    return tf.function(graph.outputs, autograph=False)(tensors).numpy()


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize(("numbers", "words", "categories"), [(6, 3, 6), (1, 0, 1), (0, 1, 4), (2, 1, 400)])
def test_the_graph_says_what_the_learner_says(task: str, numbers: int, words: int, categories: int) -> None:
    label, features = LABELS[task], _features(numbers, words)
    train = _rows(_table(1500, numbers, words, 1, categories), features, label, 1)
    held_out = _rows(_table(400, numbers, words, 2, categories), features, label, 2)
    grown = grow(features, train, label, Shape(rounds=12), 3, held_out)
    columns = _table(700, numbers, words, 4, categories + 3)  # Categories that training never saw.
    rows = _rows(columns, features, label, 4)
    served, said = _served(grown, columns, features), grown.outputs(rows.columns)
    assert served.shape == (700, label.units)
    np.testing.assert_allclose(served, said, rtol=0, atol=1e-9)
    assert np.ptp(served) > 0.01, "the trees tell rows apart"


def test_a_class_of_a_fold_that_lacks_it_gets_next_to_no_probability() -> None:
    label, features = LABELS[MULTICLASS], _features(2, 0)
    train = _rows(_table(600, 2, 0, 1), features, label, 1)
    without = train.take(np.flatnonzero(train.targets != 2))
    grown = grow(features, without, label, Shape(rounds=5), 1)
    columns = _table(50, 2, 0, 2)
    served = _served(grown, columns, features)
    np.testing.assert_allclose(served, grown.outputs(_rows(columns, features, label, 2).columns), rtol=0, atol=1e-9)
    assert (tf.nn.softmax(served).numpy()[:, 2] < 1e-3).all()


def test_an_answer_does_not_depend_on_the_rows_beside_it_and_no_rows_give_none() -> None:
    label, features = LABELS[BINARY], _features(5, 1)
    grown = grow(features, _rows(_table(900, 5, 1, 1), features, label, 1), label, Shape(rounds=9), 1)
    columns = _table(1300, 5, 1, 5)
    together = _served(grown, columns, features)
    for row in (0, 511, 512, 1299):
        alone = _served(grown, {name: values[row : row + 1] for name, values in columns.items()}, features)
        np.testing.assert_array_equal(alone[0], together[row])
    assert _served(grown, {name: values[:0] for name, values in columns.items()}, features).shape == (0, 1)


def test_the_same_seed_grows_the_same_trees() -> None:
    label, features = LABELS[REGRESSION], _features(3, 1)
    train = _rows(_table(900, 3, 1, 1, 400), features, label, 1)
    first, second = (grow(features, train, label, Shape(rounds=9), 5).forest() for _ in range(2))
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(second, name))


@pytest.mark.parametrize("task", [BINARY, REGRESSION])
def test_trees_stop_where_another_model_is_out_of_reach_and_else_grow_as_without_one(task: str) -> None:
    features, label = _features(4, 1), LABELS[task]
    train, held_out = (_rows(_table(rows, 4, 1, seed), features, label, seed) for rows, seed in ((600, 1), (300, 2)))
    shape = Shape(learning_rate=0.005)
    alone = grow(features, train, label, shape, 1, held_out)
    assert alone.rounds > FIRST_ROUNDS
    reachable = grow(features, train, label, shape, 1, held_out, to_beat=10.0)
    assert reachable.rounds == alone.rounds
    np.testing.assert_allclose(reachable.held_out_losses, alone.held_out_losses, rtol=1e-6)
    assert grow(features, train, label, shape, 1, held_out, to_beat=0.0).rounds == FIRST_ROUNDS


@pytest.mark.parametrize("direction", [1, -1])
def test_predictions_keep_the_direction_they_are_held_to(direction: int) -> None:
    random = np.random.default_rng(1)
    features, label = _features(2, 0), LABELS[REGRESSION]
    columns = {"n0": random.normal(size=2000).tolist(), "n1": random.normal(size=2000).tolist()}
    first = np.array(columns["n0"])
    table = pa.table(columns)
    wanted = (np.sin(first * 3) + np.array(columns["n1"])).astype(np.float32)
    grown = grow(
        features,
        TableRows(raw_columns(table, features), wanted),
        label,
        Shape(rounds=30),
        1,
        rises_with={"n0": direction},
    )
    steps = np.linspace(-3, 3, 300)
    served = _served(grown, {"n0": steps.tolist(), "n1": [0.0] * 300}, features)[:, 0]
    assert (np.diff(served) * direction >= 0).all()
    free = grow(features, TableRows(raw_columns(table, features), wanted), label, Shape(rounds=30), 1)
    assert (np.diff(_served(free, {"n0": steps.tolist(), "n1": [0.0] * 300}, features)[:, 0]) * direction < 0).any()


def test_borders_part_neighbouring_numbers_and_zero_has_a_bin_of_its_own() -> None:
    close = np.array([1.0, np.nextafter(1.0, 2), 1e300, -1e300, np.nan, np.inf])
    codes = bin_codes(close, borders_of(close))
    assert len({*codes[:4].tolist()}) == 4
    assert codes[4:].tolist() == [MISSING, MISSING]
    random = np.random.default_rng(1)
    mostly_zero = np.where(random.random(10_000) < 0.9, 0.0, random.normal(size=10_000))
    borders = borders_of(mostly_zero)
    assert len(borders) < MISSING
    zero = bin_codes(np.zeros(1), borders)[0]
    assert set(mostly_zero[bin_codes(mostly_zero, borders) == zero]) == {0.0}
