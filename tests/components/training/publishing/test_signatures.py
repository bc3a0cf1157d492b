"""The exported SavedModel: what it takes, what it gives, and that it needs nothing of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from samples import Trained, table_of, write_examples
from tensorflow.core.protobuf import saved_model_pb2

from mainspring.components.common import signature_names, storage

SERVE = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
rows = {name: tf.constant(values) for name, values in json.loads(sys.argv[2]).items()}
answer = model.signatures["serving_default"](**rows)
assert not any(name.startswith("mainspring") for name in sys.modules)
print(json.dumps([answer["prediction"].numpy().tolist(), [x.decode() for x in answer["label"].numpy()]]))
"""


@pytest.fixture(scope="module")
def signatures(binary: Trained):
    model = tf.saved_model.load(str(binary.folder))
    yield model.signatures
    del model


def _rows(size: list[float], count: list[float], colour: list[str]) -> dict[str, tf.Tensor]:
    return {"size": tf.constant(size), "count": tf.constant(count), "colour": tf.constant(colour)}


def test_the_signatures_are_the_contracts(signatures) -> None:
    _, rows = signatures["serving_default"].structured_input_signature
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in rows.items()} == {
        "size": (tf.float32, [None]),
        "count": (tf.float32, [None]),
        "colour": (tf.string, [None]),
    }
    _, examples = signatures["serving_examples"].structured_input_signature
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in examples.items()} == {
        "examples": (tf.string, [None])
    }
    for signature in signatures.values():
        outputs = signature.structured_outputs
        assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in outputs.items()} == {
            "prediction": (tf.float32, [None]),
            "label": (tf.string, [None]),
        }


def test_a_fresh_process_without_our_code_gives_the_same_answers(binary: Trained, signatures) -> None:
    rows = {"size": [1.5, -1.5], "count": [7.0, 1.0], "colour": ["red", "blue"]}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", SERVE, str(binary.folder), json.dumps(rows)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    predictions, labels = json.loads(done.stdout)
    assert labels == ["1", "0"]
    here = signatures["serving_default"](**_rows(**rows))["prediction"].numpy()
    np.testing.assert_allclose(predictions, here, atol=1e-6)


def test_missing_values_and_unseen_categories_are_answered(signatures) -> None:
    nan = float("nan")
    rows = _rows([nan, 0.0, nan, float("inf"), 1e30], [3.0, nan, nan, 3.0, 3.0], ["red", "", "", "mauve", "red"])
    predictions = signatures["serving_default"](**rows)["prediction"].numpy()
    assert np.isfinite(predictions).all()
    assert ((predictions >= 0) & (predictions <= 1)).all()
    empty = signatures["serving_default"](**_rows([], [], tf.constant([], tf.string)))
    assert empty["prediction"].shape == [0]


def test_the_positive_class_is_the_last_one(signatures) -> None:
    answer = signatures["serving_default"](**_rows([2.0, -2.0], [8.0, 0.0], ["red", "blue"]))
    assert answer["prediction"].numpy()[0] > 0.9 > 0.1 > answer["prediction"].numpy()[1]
    assert answer["label"].numpy().tolist() == [b"1", b"0"]


def test_the_model_scores_rows_as_training_did(binary: Trained, signatures) -> None:
    table = pq.read_table(binary.examples / "eval")
    columns = {name: table[name].to_pylist() for name in ("size", "count", "colour")}
    predictions = signatures["serving_default"](
        size=tf.constant([float("nan") if value is None else value for value in columns["size"]], tf.float32),
        count=tf.constant([float("nan") if value is None else value for value in columns["count"]], tf.float32),
        colour=tf.constant([value or "" for value in columns["colour"]]),
    )["prediction"].numpy()
    label = np.array(table["good"].to_pylist())
    loss = -np.mean(np.log(np.where(label == 1, predictions, 1 - predictions)))
    assert loss == pytest.approx(binary.metrics["eval_loss"], rel=1e-4)


def test_tf_examples_and_rows_give_the_same_predictions(signatures) -> None:
    size, count, colour = [0.25, None, -1.0], [3, 4, None], ["red", "green", None]
    examples = []
    for values in zip(size, count, colour, strict=True):
        example = tf.train.Example()
        for name, kind, value in zip(("size", "count", "colour"), ("float", "int64", "bytes"), values, strict=True):
            feature = getattr(example.features.feature[name], f"{kind}_list")
            feature.value.extend([] if value is None else [value.encode() if kind == "bytes" else value])
            if value is None and name != "size":  # One is there but empty, the others are not there at all.
                del example.features.feature[name]
        examples.append(example.SerializeToString())
    parsed = signatures["serving_examples"](examples=tf.constant(examples))
    nan = float("nan")
    rows = signatures["serving_default"](**_rows([0.25, nan, -1.0], [3.0, 4.0, nan], ["red", "green", ""]))
    np.testing.assert_array_equal(parsed["prediction"], rows["prediction"])
    np.testing.assert_array_equal(parsed["label"], rows["label"])


HOSTILE = (
    *(
        "class",
        "self",
        "in.subcohort",
        "two words",
        "a[b]",
        "x/y",
        "a-b",
        "a_b",
        "a\\b",
        'q"uote',
        "it's",
        "{{x}}",
        "$1",
    ),
    *("1st", "_x", "größe", "😀", "n" * 200, "None", "utf8_6162", "A", "a", "prediction", "label", "examples", "rows"),
)


def test_any_column_name_is_an_input_under_that_very_name(train: Callable[..., Trained], tmp_path: Path) -> None:
    random = np.random.default_rng(4)

    def table(rows: int) -> pa.Table:
        values = random.normal(size=(rows, len(HOSTILE)))
        texts = random.choice(["red", "green"], rows).tolist()
        columns = {name: ("double", values[:, place].tolist()) for place, name in enumerate(HOSTILE)}
        columns |= {"is it?": ("string", texts), "my label!": ("int64", (values[:, 1] > 0).astype(int).tolist())}
        return table_of(**columns)

    examples = write_examples(tmp_path / "examples", table(300), table(100))
    made = train(examples, label="my label!", max_epochs=1)
    features = [*HOSTILE, "is it?"]
    assert set(made.manifest["features"]) == set(features)
    content = saved_model_pb2.SavedModel.FromString((made.folder / "saved_model.pb").read_bytes())
    assert set(content.meta_graphs[0].signature_def["serving_default"].inputs) == set(features)
    signatures = tf.saved_model.load(str(made.folder)).signatures
    given = signature_names.inputs(features)
    assert {signature_names.column(name): name for name in given.values()} == given
    # Each column moves its own answer, and the same row by tf.Example gives the same.
    numbers = {name: float(place) / 10 for place, name in enumerate(HOSTILE)}
    rows = {given[name]: tf.constant([value], tf.float32) for name, value in numbers.items()}
    answer = signatures["serving_default"](**rows, **{given["is it?"]: tf.constant(["red"])})
    example = tf.train.Example()
    for name, value in numbers.items():
        example.features.feature[name].float_list.value.append(value)
    example.features.feature["is it?"].bytes_list.value.append(b"red")
    parsed = signatures["serving_examples"](examples=tf.constant([example.SerializeToString()]))
    np.testing.assert_array_equal(parsed["prediction"], answer["prediction"])


def test_the_fingerprint_is_of_the_saved_model_without_its_manifest(binary: Trained, tmp_path) -> None:
    for path in binary.folder.rglob("*"):
        if path.is_file() and path.name not in ("manifest.json", "schema.pbtxt", "request.json", "examples.json"):
            copy = tmp_path / path.relative_to(binary.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    assert storage.fingerprint_of_files(tmp_path) == binary.fingerprint
