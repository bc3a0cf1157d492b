"""Training end to end, on tables that a test can afford."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from browser import opened
from samples import Trained, binary_rows, mixed_rows, table_of, write_examples

Train = Callable[..., Trained]


def test_a_binary_label_is_learned(binary: Trained) -> None:
    assert binary.metrics["eval_auc"] > 0.97
    assert binary.manifest["task"] == "binary_classification"
    assert binary.manifest["classes"] == ["0", "1"]
    assert binary.manifest["features"] == {"size": "numeric", "count": "numeric", "colour": "categorical"}


def test_the_manifest_says_what_made_the_model(binary: Trained) -> None:
    manifest = binary.manifest
    assert manifest["fingerprint"] == binary.fingerprint
    assert binary.fingerprint.startswith("sha256:")
    assert manifest["examples_fingerprint"] == "sha256:examples"
    assert manifest["hyperparameters"]["max_epochs"] == 8
    assert manifest["metrics"]["eval_auc"] == binary.metrics["eval_auc"]
    assert manifest["versions"]["tensorflow"] == tf.__version__
    assert (binary.folder / "schema.pbtxt").read_text() == (binary.examples / "schema.pbtxt").read_text()


def test_a_request_to_try_the_model_with_lies_beside_it(binary: Trained) -> None:
    [row] = json.loads((binary.folder / "request.json").read_text())["instances"]
    assert set(row) == {"size", "count", "colour"}
    tensors = {name: tf.constant([value], tf.string if name == "colour" else tf.float32) for name, value in row.items()}
    answer = tf.saved_model.load(str(binary.folder)).signatures["serving_default"](**tensors)
    assert 0 <= float(answer["prediction"][0]) <= 1


def test_the_report_shows_curves_features_and_hyperparameters(binary: Trained) -> None:
    assert binary.report.count("<svg") >= 2
    for text in ("Learning curves", "colour", " bins; standardised (mean ", "learning_rate", "1,200"):
        assert text in binary.report, text
    assert "http://" not in binary.report.replace("http://www.w3.org", "")


EPOCHS_WIDTHS = """<script>onload = () => {
  const sections = [...frames[0].document.querySelectorAll("section")];
  const epochs = sections.find(section => section.querySelector("h2").textContent == "Epochs").querySelector(".scroll");
  document.title = [epochs.scrollWidth, epochs.clientWidth];
}</script>"""


def test_the_epochs_are_whole_in_a_narrow_window(binary: Trained, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f'<title></title><iframe width="400" srcdoc="{escape(binary.report)}"></iframe>{EPOCHS_WIDTHS}')
    widths = re.search(r"<title>(\d+),(\d+)</title>", opened(page, tmp_path / "profile"))
    assert widths
    assert 0 < int(widths[1]) <= int(widths[2]) < 400


def test_a_text_label_of_three_values_becomes_classes(train: Train, tmp_path: Path) -> None:
    def rows(count: int, seed: int) -> Any:
        columns = mixed_rows(count, seed)
        score = np.array(columns.pop("score")[1])
        kind = np.array(["low", "middle", "high"])[np.digitize(score, [1, 4])].tolist()
        return table_of(**columns, kind=("string", kind))

    made = train(write_examples(tmp_path / "examples", rows(900, 1), rows(300, 2)), label="kind")
    assert made.manifest["task"] == "multiclass_classification"
    assert made.manifest["classes"] == ["high", "low", "middle"]
    assert made.metrics["eval_accuracy"] > 0.85
    answer = tf.saved_model.load(str(made.folder)).signatures["serving_default"](
        size=tf.constant([2.0, -2.0]), count=tf.constant([8.0, 0.0]), colour=tf.constant(["red", "blue"])
    )
    assert answer["label"].numpy().tolist() == [b"high", b"low"]
    np.testing.assert_allclose(answer["prediction"].numpy().sum(axis=1), 1, atol=1e-5)


def test_a_quantity_is_predicted_in_its_own_unit(train: Train, tmp_path: Path) -> None:
    def rows(count: int, seed: int) -> Any:
        columns = mixed_rows(count, seed)
        return table_of(**columns | {"score": ("double", [1000 + 50 * value for value in columns["score"][1]])})

    made = train(write_examples(tmp_path / "examples", rows(1500, 1), rows(400, 2)), label="score")
    assert made.manifest["task"] == "regression"
    assert made.manifest["classes"] == []
    assert made.metrics["eval_rmse"] < 55  # The label's own deviation is about 145; missing values explain the rest.
    answer = tf.saved_model.load(str(made.folder)).signatures["serving_default"](
        size=tf.constant([1.0]), count=tf.constant([4.0]), colour=tf.constant(["red"])
    )
    assert set(answer) == {"prediction"}
    assert answer["prediction"].numpy()[0] == pytest.approx(1350, abs=60)


def test_an_interaction_of_two_features_is_found_and_served(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(count: int, seed: int) -> Any:
        random = np.random.default_rng(seed)
        month, day = random.integers(1, 7, count), random.integers(1, 29, count)
        stormy = (month + day) % 2 == 0  # Neither month nor day alone says anything.
        late = random.random(count) < np.where(stormy, 0.9, 0.1)
        noise = random.normal(size=count)
        return table_of(
            month=("int64", month.tolist()),
            day=("int64", day.tolist()),
            noise=("double", noise.tolist()),
            late=("int64", late.astype(int).tolist()),
        )

    examples = write_examples(tmp_path / "examples", rows(9000, 1), rows(2000, 2))
    crossed = train(examples, label="late", max_epochs=6)
    assert "crosses: month × day\n" in capsys.readouterr().out
    assert crossed.metrics["eval_auc"] > 0.85
    known, unknown = (_spread_over_days(crossed, month) for month in (6.0, 9.0))
    assert known > 0.6 > 0.25 > unknown  # A month that train does not have gets no other month's days.
    assert train(examples, label="late", max_epochs=6, max_crosses=0).metrics["eval_auc"] < 0.7


def test_the_same_inputs_and_seed_give_the_same_model_and_another_seed_does_not(
    train: Train, binary: Trained, binary_examples: Path
) -> None:
    again = train(binary_examples, label="good", max_epochs=8)
    assert again.metrics == binary.metrics
    for name, value in _weights(binary).items():
        np.testing.assert_array_equal(value, _weights(again)[name])
    assert train(binary_examples, label="good", max_epochs=8, seed=1).metrics != binary.metrics


def test_rows_without_a_label_and_unknown_classes_are_left_out_and_said(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(count: int, seed: int, values: list[str | None]) -> Any:
        columns = mixed_rows(count, seed)
        columns.pop("score")
        return table_of(**columns, kind=("string", (values * count)[:count]))

    examples = write_examples(tmp_path / "e", rows(300, 1, ["a", "b", "c", None]), rows(100, 2, ["a", "b", "d", "c"]))
    made = train(examples, label="kind", max_epochs=1)
    out = capsys.readouterr().out
    assert "train: 75 rows without a label are left out" in out
    assert "eval: 25 rows of a class that train does not have are left out" in out
    assert made.metrics["train_rows"] == 225
    assert made.metrics["eval_rows"] == 75


def test_training_stops_early_and_keeps_the_best_weights(train: Train, tmp_path: Path) -> None:
    # A label of pure chance: eval only gets worse once training has begun to learn by heart.
    def rows(count: int, seed: int) -> Any:
        table = binary_rows(count, seed)
        chance = np.random.default_rng(seed).integers(0, 2, count).tolist()
        return table.drop_columns("good").append_column("good", [chance])

    examples = write_examples(tmp_path / "examples", rows(400, 1), rows(400, 2))
    made = train(examples, label="good", max_epochs=200, learning_rate=0.01, patience=3)
    losses = [
        float(loss)
        for loss in re.findall(r"<td[^>]*>\d+</td>\s*<td[^>]*>[\d.]+</td>\s*<td[^>]*>([\d.]+)</td>", made.report)
    ]
    assert 3 < len(losses) < 60
    assert made.metrics["eval_loss"] == pytest.approx(min(losses), rel=1e-3)
    assert made.metrics["eval_loss"] < losses[-1]


def test_the_first_line_names_the_device_and_each_epoch_has_a_line(
    train: Train, binary_examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(binary_examples, label="good", max_epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"training on (CPU \(\d+ cores\)|\d+ GPU)", lines[0])
    epochs = [line for line in lines if line.startswith("epoch ")]
    pattern = r"epoch \d/2: loss [\d.]+, eval loss [\d.]+, auc [\d.]+, [\d,]+ rows/s, \d+ s left"
    assert len(epochs) == 2
    assert all(re.fullmatch(pattern, line) for line in epochs)


def test_integers_that_the_schema_calls_categorical_are_looked_up_as_text(train: Train, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", binary_rows(400, 1), binary_rows(100, 2))
    schema = (examples / "schema.pbtxt").read_text()
    marked = schema.replace('"count" type: INT', '"count" type: INT int_domain { is_categorical: true }')
    (examples / "schema.pbtxt").write_text(marked)
    made = train(examples, label="good", max_epochs=2)
    assert made.manifest["features"]["count"] == "categorical"
    signatures = tf.saved_model.load(str(made.folder)).signatures
    rows = signatures["serving_default"](size=tf.constant([0.5]), count=tf.constant(["3"]), colour=tf.constant(["red"]))
    example = tf.train.Example()
    example.features.feature["size"].float_list.value.append(0.5)
    example.features.feature["count"].int64_list.value.append(3)
    example.features.feature["colour"].bytes_list.value.append(b"red")
    parsed = signatures["serving_examples"](examples=tf.constant([example.SerializeToString()]))
    np.testing.assert_array_equal(rows["prediction"], parsed["prediction"])


def test_numbers_alone_and_text_alone_can_be_trained_on(train: Train, binary_examples: Path) -> None:
    numbers = train(binary_examples, label="good", max_epochs=1, exclude=["colour"])
    text = train(binary_examples, label="good", max_epochs=1, exclude=["size", "count"])
    assert set(numbers.manifest["features"]) == {"size", "count"}
    assert set(text.manifest["features"]) == {"colour"}


def _weights(made: Trained) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(made.folder / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("weights/")]
    assert names
    return {name: reader.get_tensor(name) for name in names}


def _spread_over_days(made: Trained, month: float) -> float:
    """Returns how far the predictions for a month's days lie apart."""
    days = tf.range(1.0, 29.0)
    serve = tf.saved_model.load(str(made.folder)).signatures["serving_default"]
    answer = serve(month=tf.fill([28], month), day=days, noise=tf.zeros([28]))["prediction"].numpy()
    return float(answer.max() - answer.min())
