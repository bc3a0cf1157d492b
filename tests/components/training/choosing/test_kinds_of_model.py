"""Trees, linear models and the choice between kinds, from examples to what is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from samples import Trained, table_of, write_examples

from mainspring.components.common.errors import UserError

Train = Callable[..., Trained]


def _signature(folder: Path, name: str) -> Any:
    return tf.saved_model.load(str(folder)).signatures[name]


def _specs(signature: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs = {
        name: (spec.dtype, spec.shape.as_list()) for name, spec in signature.structured_input_signature[1].items()
    }
    outputs = {name: (spec.dtype, spec.shape.as_list()[1:]) for name, spec in signature.structured_outputs.items()}
    return inputs, outputs


@pytest.fixture(scope="module")
def binary_trees(train: Train, binary_examples: Path) -> Trained:
    return train(binary_examples, label="good", model_kind="trees", rises_with={"size": "rises"}, learning_rate=0.01)


def test_trees_are_served_by_the_networks_signatures(binary: Trained, binary_trees: Trained) -> None:
    assert binary_trees.metrics["eval_auc"] > 0.97
    assert binary_trees.manifest["hyperparameters"]["model"] == "trees"
    assert binary_trees.manifest["features"] == binary.manifest["features"]
    for name in ("serving_default", "serving_examples"):
        assert _specs(_signature(binary_trees.folder, name)) == _specs(_signature(binary.folder, name))
    graph = tf.saved_model.load(str(binary_trees.folder)).signatures["serving_default"].graph.as_graph_def()
    used = {node.op for function in graph.library.function for node in function.node_def} | {n.op for n in graph.node}
    assert not {op for op in used if "Decision" in op or "Py" in op}, "operations that TensorFlow Serving lacks"


def test_both_signatures_of_trees_give_the_same_answers(binary_trees: Trained) -> None:
    rows = [{"size": 1.5, "count": 3, "colour": "red"}, {"colour": "never seen"}, {"size": -2.0, "count": 0}]
    tensors = {
        "size": tf.constant([row.get("size", np.nan) for row in rows], tf.float32),
        "count": tf.constant([row.get("count", np.nan) for row in rows], tf.float32),
        "colour": tf.constant([row.get("colour", "") for row in rows]),
    }
    kinds = {float: "float_list", int: "int64_list", str: "bytes_list"}
    examples = []
    for row in rows:
        example = tf.train.Example()
        for name, value in row.items():
            given = value.encode() if isinstance(value, str) else value
            getattr(example.features.feature[name], kinds[type(value)]).value.append(given)
        examples.append(example.SerializeToString())
    by_rows = _signature(binary_trees.folder, "serving_default")(**tensors)
    by_examples = _signature(binary_trees.folder, "serving_examples")(examples=tf.constant(examples))
    for name in ("prediction", "label"):
        np.testing.assert_array_equal(by_rows[name].numpy(), by_examples[name].numpy())


def test_trees_say_in_their_report_what_was_done(binary_trees: Trained) -> None:
    for text in ("Rounds", "predictions only rise with it", "as categories", "trees"):
        assert text in binary_trees.report


def test_predictions_of_a_tree_model_never_fall_where_they_are_held_to_rise(binary_trees: Trained) -> None:
    steps = np.linspace(-4, 4, 200, dtype=np.float32)
    answer = _signature(binary_trees.folder, "serving_default")(
        size=tf.constant(steps), count=tf.fill([200], 4.0), colour=tf.fill([200], "blue")
    )
    assert (np.diff(answer["prediction"].numpy()) >= 0).all()


def test_what_only_a_network_has_is_said_in_one_line(
    train: Train, binary_examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(binary_examples, label="good", model_kind="linear", learning_rate=0.01, hidden_units=[8])
    said = [line for line in capsys.readouterr().out.splitlines() if "a network's" in line]
    assert said == ["hidden_units, learning_rate: a network's, and nothing to this model"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model_kind": "tree"}, "model_kind: 'tree' is not one of auto, network, trees, linear"),
        ({"model_kind": "trees", "module": "team.py"}, "a module is a network"),
        ({"rises_with": {"size": "rises"}}, "only trees"),
        ({"model_kind": "trees", "rises_with": {"colour": "rises"}}, "no numeric feature"),
        ({"model_kind": "trees", "rises_with": {"size": "up"}}, "neither rises nor falls"),
    ],
)
def test_what_does_not_go_together_is_refused(
    train: Train, binary_examples: Path, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        train(binary_examples, label="good", **parameters)


def _examples(folder: Path, rows: Callable[[int, int], pa.Table], count: int) -> Path:
    return write_examples(folder / "examples", rows(count, 1), rows(400, 2))


def _steps(rows: int, seed: int) -> pa.Table:
    """Returns a table of steps and missing values, as trees find them."""
    random = np.random.default_rng(seed)
    a, b, c = random.random((3, rows))
    y = 5.0 * (a > 0.37) * (b < 0.61) + 3.0 * (np.floor(c * 8) % 2) + random.normal(size=rows) / 10
    gaps = [None if gap else value for value, gap in zip(a.tolist(), random.random(rows) < 0.03, strict=True)]
    return table_of(a=("double", gaps), b=("double", b.tolist()), c=("double", c.tolist()), y=("double", y.tolist()))


def _plane(rows: int, seed: int) -> pa.Table:
    """Returns few rows of a plain sum of many quantities, as a linear model finds it."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 8))
    y = x @ np.arange(1, 9) + random.normal(size=rows) / 5
    return table_of(**{f"x{place}": ("double", x[:, place].tolist()) for place in range(8)}, y=("double", y.tolist()))


def test_the_data_choose_trees_where_they_win(train: Train, tmp_path: Path) -> None:
    trained = train(
        _examples(tmp_path, _steps, 2500), label="y", model_kind="auto", hidden_units=[16], max_epochs=6, max_crosses=0
    )
    tried = {one["model"]: one for one in trained.manifest["tried"]}
    assert set(tried) == {"trees", "linear", "network"}
    assert trained.manifest["hyperparameters"]["model"] == "trees"
    assert tried["trees"]["loss"] == min(one["loss"] for one in tried.values())
    assert all(one["seconds"] > 0 and 300 < one["rows"] < 700 for one in tried.values())
    assert "Models tried" in trained.report
    assert trained.metrics["eval_rmse"] < 1.0


def test_the_data_choose_a_linear_model_where_it_wins(train: Train, tmp_path: Path) -> None:
    trained = train(
        _examples(tmp_path, _plane, 300), label="y", model_kind="auto", hidden_units=[8], max_epochs=4, max_crosses=0
    )
    assert trained.manifest["hyperparameters"]["model"] == "linear"
    assert trained.metrics["eval_rmse"] < 1.0
    assert json.loads((trained.folder / "request.json").read_text())["instances"]


def test_eval_decides_nothing(train: Train, tmp_path: Path) -> None:
    rows, other = _plane(300, 1), _plane(60, 2)
    turned = other.set_column(other.column_names.index("y"), "y", pa.array((-np.array(other["y"])).tolist()))
    chosen = [
        train(
            write_examples(tmp_path / name / "examples", rows, evaluation),
            label="y", model_kind="auto", hidden_units=[8], max_epochs=2, max_crosses=0,
        ).manifest["tried"]
        for name, evaluation in (("as_it_is", other), ("turned", turned))
    ]  # fmt: skip
    first, second = ([(one["model"], one["loss"]) for one in tried] for tried in chosen)
    assert first == second


def test_a_linear_model_of_categories_alone_has_its_bias(train: Train, tmp_path: Path) -> None:
    def rows(count: int, seed: int) -> pa.Table:
        random = np.random.default_rng(seed)
        colour = random.choice(["red", "green", "blue"], count)
        shares = {"red": 0.9, "green": 0.2, "blue": 0.6}
        good = random.random(count) < np.array([shares[name] for name in colour])
        return table_of(colour=("string", colour.tolist()), good=("int64", good.astype(int).tolist()))

    trained = train(_examples(tmp_path, rows, 2_000), label="good", model_kind="linear")
    answer = _signature(trained.folder, "serving_default")(colour=tf.constant(["red", "green", "blue"]))
    np.testing.assert_allclose(answer["prediction"].numpy(), [0.9, 0.2, 0.6], atol=0.08)
