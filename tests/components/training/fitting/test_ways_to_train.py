"""Warm starts, class weights, what is recorded for people and machines, and losses that run away."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from samples import Trained, binary_rows, table_of, write_examples

from mainspring.components.common.errors import UserError
from mainspring.components.training.hyperparameters import checked

Train = Callable[..., Trained]


def test_a_warm_start_begins_where_the_champion_ended(
    train: Train, binary: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = write_examples(tmp_path / "newer", binary_rows(1200, 7), binary_rows(400, 8))
    cold = train(newer, label="good", max_epochs=1)
    capsys.readouterr()
    warm = train(newer, label="good", max_epochs=1, warm_start=True, parent_uri=str(binary.folder))
    assert f"weights are those of {binary.folder}" in capsys.readouterr().out
    assert warm.metrics["eval_loss"] < cold.metrics["eval_loss"] / 2
    assert warm.manifest["parent"] == str(binary.folder)
    assert "Warm start" in warm.report


def test_weights_that_do_not_fit_start_cold_and_the_rest_warm(
    train: Train, binary: Trained, binary_examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    champion = {"warm_start": True, "parent_uri": str(binary.folder), "label": "good", "max_epochs": 1}
    made = train(binary_examples, **champion, hidden_units=[32])
    said = capsys.readouterr().out
    assert f"weights are those of {binary.folder}" in said
    assert "warm start: 0 of" not in said
    assert made.metrics["eval_auc"] > 0.9
    train(binary_examples, **champion, exclude=["size"])
    assert f"cold start, not from {binary.folder}: its features are others (size)" in capsys.readouterr().out


def test_a_warm_start_before_the_first_champion_is_a_cold_one(
    train: Train, binary: Trained, binary_examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(binary_examples, label="good", max_epochs=8, warm_start=True)
    assert "cold start: there is no champion to begin with yet" in capsys.readouterr().out
    assert first.metrics == binary.metrics


def test_a_warm_start_from_what_is_no_model_is_refused(train: Train, binary_examples: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"parent_uri: .* holds no model to start from"):
        train(binary_examples, label="good", warm_start=True, parent_uri=str(tmp_path))


def test_class_weights_move_the_predictions_towards_the_rare_class(train: Train, tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def rows(count: int) -> pa.Table:
        rare = random.random(count) < 0.05
        return table_of(
            x=("double", (random.normal(size=count) + rare).tolist()),
            y=("string", np.where(rare, "yes", "no").tolist()),
        )

    examples = write_examples(tmp_path / "examples", rows(2000), rows(500))
    means = {
        weights: _mean_prediction(train(examples, label="y", max_epochs=6, class_weights=weights), rows(500))
        for weights in ("", "balanced", '{"yes": 3}')
    }
    assert means[""] < 0.12 < means['{"yes": 3}'] < means["balanced"]
    with pytest.raises(UserError, match=r"class_weights: 'yea' is no class of the label; did you mean 'yes'"):
        train(examples, label="y", class_weights='{"yea": 3}')
    with pytest.raises(UserError, match=r"class_weights: the label is a quantity"):
        train(examples, label="x", class_weights="balanced")


def test_weight_decay_keeps_the_weights_small(train: Train, binary: Trained, binary_examples: Path) -> None:
    decayed = train(binary_examples, label="good", max_epochs=8, weight_decay=0.01)
    assert _norm(decayed) < 0.8 * _norm(binary)


def test_hyperparameters_as_json_go_before_the_parameters(train: Train, binary_examples: Path) -> None:
    given = '{"hidden_units": [4], "learning_rate": 0.01, "max_epochs": 2}'
    made = train(binary_examples, label="good", hidden_units=[64], hyperparameters=given)
    assert made.manifest["hyperparameters"]["hidden_units"] == [4]
    assert made.manifest["hyperparameters"]["learning_rate"] == 0.01


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"learning_rte": 1}', "hyperparameters: 'learning_rte' is not one; did you mean 'learning_rate'?"),
        ("{", "hyperparameters: not JSON"),
        ("[1]", "hyperparameters: '[1]' is no JSON object"),
        ('{"weight_decay": 1}', "weight_decay: 1 is out of range"),
        ('{"class_weights": {"a": 0}}', "class_weights: {'a': 0} is neither balanced nor a JSON object"),
        ('{"custom": 3}', "custom: 3 is no JSON object"),
    ],
)
def test_a_wrong_hyperparameter_is_one_line(given: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        checked(given)
    assert str(caught.value).startswith(message)


def test_tensorboard_finds_each_epochs_figures(train: Train, binary_examples: Path, tmp_path: Path) -> None:
    made = train(binary_examples, label="good", max_epochs=3, logs=str(tmp_path / "logs"))
    [file] = (tmp_path / "logs").glob("events.out.tfevents.*")
    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    assert events[0].file_version == "brain.Event:2"
    figures = {(event.step, value.tag): value.simple_value for event in events[1:] for value in event.summary.value}
    assert {step for step, _ in figures} == {1, 2, 3}
    best = min(figures[step, "loss/eval"] for step in (1, 2, 3))
    assert best == pytest.approx(made.metrics["eval_loss"])
    assert math.isfinite(figures[3, "auc/eval"])


def test_a_loss_that_is_no_number_names_the_batch(train: Train, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    label = random.normal(size=400)
    label[137] = 1e30
    rows = table_of(x=("double", random.normal(size=400).tolist()), y=("double", label.tolist()))
    examples = write_examples(tmp_path / "examples", rows, rows.slice(0, 50))
    module = tmp_path / "fragile.py"
    module.write_text(
        "import keras\n"
        "class Fragile(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return x * keras.ops.where(keras.ops.max(x) > -1e9, 1.0, 0.0) / keras.ops.zeros_like(x)\n"
        "def build_model(context):\n"
        "    return keras.Model(context.inputs, Fragile()(context.output(context.embedded())))\n"
    )
    with pytest.raises(UserError) as caught:
        train(examples, label="y", module=str(module), batch_size=20)
    said = str(caught.value)
    assert said.startswith("learning_rate: the loss is no longer a number in epoch 1, at step 1; its batch of 20 rows:")
    assert "labels from" in said


def test_a_loss_that_diverges_stops_training(train: Train, binary_examples: Path, tmp_path: Path) -> None:
    module = tmp_path / "runaway.py"
    module.write_text(
        "import keras\n"
        "class Runaway(keras.layers.Layer):\n"
        "    def build(self, shape):\n"
        "        self.factor = self.add_weight(shape=(), initializer='ones', trainable=False)\n"
        "    def call(self, x, training=False):\n"
        "        if training:\n"
        "            self.factor.assign(self.factor * 1.2)\n"
        "        return x + self.factor\n"
        "def build_model(context):\n"
        "    return keras.Model(context.inputs, Runaway()(context.output(context.embedded())))\n"
    )
    says = (
        r"learning_rate: the loss diverges: .* at step \d+ of epoch \d+, its batch of 60 rows: labels '0' \d+, '1' \d+"
    )
    with pytest.raises(UserError, match=says):
        train(binary_examples, label="good", module=str(module), max_epochs=30, patience=30)


def test_one_label_far_from_all_others_is_no_divergence(train: Train, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    label = random.normal(size=40_000)
    label[20_000] = 1e6
    rows = table_of(x=("double", random.normal(size=40_000).tolist()), y=("double", label.tolist()))
    examples = write_examples(tmp_path / "examples", rows, rows.slice(0, 500))
    assert train(examples, label="y", batch_size=64, max_epochs=1).metrics["eval_loss"] < 0.01


def _mean_prediction(made: Trained, rows: pa.Table) -> float:
    serve = tf.saved_model.load(str(made.folder)).signatures["serving_default"]
    return float(serve(x=tf.constant(rows["x"].to_pylist(), tf.float32))["prediction"].numpy().mean())


def _norm(made: Trained) -> float:
    reader = tf.train.load_checkpoint(str(made.folder / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("weights/")]
    return float(np.sqrt(sum((reader.get_tensor(name) ** 2).sum() for name in names)))


def test_the_manifest_leaves_out_what_was_not_given(binary: Trained) -> None:
    recorded = json.loads((binary.folder / "manifest.json").read_text())["hyperparameters"]
    assert "class_weights" not in recorded
    assert "custom" not in recorded
