"""One row, one answer: by V1, V2, gRPC, batch prediction, evaluation, both signatures and TensorFlow alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from samples import Trained, write_examples
from thorough import IS_WHOLE

from mainspring.components.common import manifests
from mainspring.components.evaluation.predict_batch import predict_batch
from mainspring.components.evaluation.scoring import scoring
from mainspring.components.training.rows.preparing import open_examples, stated_row

Train = Callable[..., Trained]

NAMES = (
    *("class", "self", "in.subcohort", "a b", "a/b", "a[0]", '"quoted"', "it's", "🙂", "prediction", "label", "rows"),
    *(
        "examples",
        "x" * 200,
        "for",
        "a:b",
        "a-b",
        "A",
        "a",
        "ü",
        "0",
        "_x",
        "inputs",
        "name",
        "Größe (cm)",
        "a\\b",
        "%s",
    ),
)
WORDS = ("", "null", "NaN", "-1", "🙂", "a\nb", "a\u0000b", '"', "x" * 300, "Ü", " ", "true")
EXTREME = (0.0, -0.0, 1e-45, 3.4e38, -3.4e38, 2.0**24 + 1, 1e-38, 7.0)
BARE = """
import json, sys
import numpy as np
import tensorflow as tf
for folder in json.loads(sys.argv[1]):
    given = np.load(folder + "/fed.npz", allow_pickle=True)
    serve = tf.saved_model.load(folder + "/model").signatures["serving_default"]
    specs = serve.structured_input_signature[1]
    fed = {name: tf.constant(given[str(place)], specs[name].dtype) for place, name in enumerate(sorted(specs))}
    answer = serve(**fed)
    assert not any(name.startswith("mainspring") for name in sys.modules)
    np.savez(folder + "/bare.npz", **{name: value.numpy() for name, value in answer.items()})
"""


def _table(rows: int, seed: int, task: str) -> tuple[pa.Table, str, list[str]]:
    """Returns columns of hostile names, natures and values, the label's name, and which of them are true or false."""
    random = np.random.default_rng(seed)
    names = [NAMES[place] for place in random.permutation(len(NAMES))[:9]]
    label, *features = names
    score = random.normal(size=rows)
    columns: dict[str, pa.Array] = {}
    for place, name in enumerate(features):
        gap = random.random(rows) < 0.1
        if place < 3:
            values = random.normal(size=rows)
            odd = random.random(rows) < 0.1
            score += values
            values[odd] = random.choice(EXTREME, odd.sum())
            columns[name] = pa.array(values, pa.float64(), mask=gap)
        elif place == 3:
            columns[name] = pa.array(1_790_000_000 + random.integers(0, 5_000, rows), pa.int64(), mask=gap)
        elif place == 4:
            columns[name] = pa.array(random.integers(0, 2, rows), pa.int64(), mask=gap)
        elif place == 5:
            columns[name] = pa.array(random.integers(-5, 5, rows), pa.int64())
        else:
            codes = random.integers(0, len(WORDS), rows)
            score += codes % 3
            columns[name] = pa.array([WORDS[code] for code in codes], pa.string(), mask=gap)
    if task == "regression":
        columns[label] = pa.array(1e6 + score, pa.float64())
    else:
        borders = [0.9] if task == "binary" else [0.3, 0.7]
        classes = np.digitize(score, np.quantile(score, borders))
        words = ("no", "🙂 yes", 'it\'s "so"')
        columns[label] = pa.array([words[number] for number in classes], pa.string())
    order = random.permutation(len(names))
    return pa.table({names[place]: columns[names[place]] for place in order}), label, [features[4]]


@dataclass(frozen=True)
class Tried:
    """A model and the rows it is asked for."""

    folder: Path
    label: str
    loaded: Any
    evaluation: pa.Table


@pytest.fixture(scope="module")
def tried(train: Train, tmp_path_factory: pytest.TempPathFactory) -> list[Tried]:
    """Models of each kind and each task: by default one of each, under `make test-all` every pair, several times."""
    tasks, kinds = ("binary", "multiclass", "regression"), ("trees", "network", "linear")
    pairs = [(task, kind, seed) for seed in range(3) for task in tasks for kind in kinds]
    if not IS_WHOLE:
        pairs = [(task, kind, 7) for task, kind in zip(tasks, kinds, strict=True)]
    found = []
    for task, kind, seed in pairs:
        folder = tmp_path_factory.mktemp("table")
        table, label, booleans = _table(420, seed, task)
        examples = write_examples(folder / "examples", table.slice(0, 360), table.slice(360))
        manifest = json.loads((examples / "manifest.json").read_text())
        (examples / "manifest.json").write_text(json.dumps(manifest | {"booleans": booleans}))
        trained = train(examples, label=label, model_kind=kind, max_epochs=2 if kind == "network" else 0)
        trained.folder.rename(folder / "model")
        read = manifests.read(manifests.ModelManifest, folder / "model" / "manifest.json")
        found.append(Tried(folder, label, scoring.load(folder / "model", read), table.slice(360)))
    return found


def _by_signature(one: Tried, name: str = "serving_default") -> dict[str, np.ndarray]:
    model = one.loaded
    batch = one.evaluation.combine_chunks().to_batches()[0]
    if name == "serving_default":
        fed = {given: scoring.feed(model, column, batch.column(column)) for column, given in model.inputs.items()}
        (one.folder / "fed.npz").unlink(missing_ok=True)
        np.savez(one.folder / "fed.npz", **{str(n): fed[key].numpy() for n, key in enumerate(sorted(fed))})
        answer = model.signature(**fed)
    else:
        serve = tf.saved_model.load(str(one.folder / "model")).signatures[name]
        answer = serve(examples=tf.constant([_example(row) for row in batch.to_pylist()]))
    return {key: value.numpy() for key, value in answer.items()}


def _example(row: dict[str, Any]) -> bytes:
    example = tf.train.Example()
    for name, value in row.items():
        if isinstance(value, str):
            example.features.feature[name].bytes_list.value.append(value.encode())
        elif value is not None:
            kind = "int64_list" if isinstance(value, int) else "float_list"
            getattr(example.features.feature[name], kind).value.append(value)
    return example.SerializeToString()


def _check(way: str, one: Tried, predictions: Any, labels: Any, whole: dict[str, np.ndarray]) -> None:
    wanted = whole["prediction"]
    scale = float(np.abs(wanted).max())
    np.testing.assert_allclose(
        np.asarray(predictions, wanted.dtype), wanted, rtol=2e-6, atol=2e-6 * min(scale, 1.0), err_msg=way
    )
    if "label" in whole and labels is not None:
        assert list(labels) == [name.decode() for name in whole["label"]], way


def test_batch_predictions_and_evaluation_and_tf_examples_say_what_the_model_says(tried: list[Tried]) -> None:
    for one in tried:
        whole, manifest = _by_signature(one), one.loaded.manifest
        batch = one.evaluation.combine_chunks().to_batches()[0]
        scored = scoring.predict({"model": one.loaded}, batch)["model"]
        _check("evaluation", one, scored, None, whole)
        if manifest.threshold is not None:
            named = np.where(scored >= manifest.threshold, manifest.classes[1], manifest.classes[0])
            _check("threshold", one, scored, named.tolist(), whole)
        predict_batch(str(one.folder / "model"), str(one.folder / "batch"), str(one.folder / "examples"), split="eval")
        written = pa.concat_tables(pq.read_table(path) for path in sorted((one.folder / "batch" / "eval").glob("*")))
        several = len(manifest.classes) > 2
        columns = [f"prediction_{name}" for name in manifest.classes] if several else ["prediction"]
        found = np.column_stack([written[name].to_numpy() for name in columns])
        labels = written["predicted_class"].to_pylist() if manifest.classes else None
        _check("predict_batch", one, found if several else found[:, 0], labels, whole)
        by_examples = _by_signature(one, "serving_examples")
        _check("tf.Example", one, by_examples["prediction"], None, whole)


def test_every_protocol_says_what_the_model_says(tried: list[Tried], tmp_path: Path) -> None:
    questions = []
    for one in tried:
        folder = one.folder / "examples"
        examples = open_examples(folder, folder, one.label, ())
        instances = [stated_row(one.evaluation.slice(row, 1), examples) for row in range(len(one.evaluation))]
        questions.append({"model": str(one.folder / "model"), "instances": instances})
    asked, answered = tmp_path / "questions.json", tmp_path / "answers.json"
    asked.write_text(json.dumps(questions), encoding="utf-8")
    script = Path(__file__).with_name("served_answers.py")
    command = [os.environ["MAINSPRING_SERVING_PYTHON"], str(script), str(asked), str(answered)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-3000:]
    for one, answers in zip(tried, json.loads(answered.read_text(encoding="utf-8")), strict=True):
        whole = _by_signature(one)
        for way, (places, predictions, labels) in answers.items():
            assert len(places) > 10
            some = {name: values[places] for name, values in whole.items()}
            _check(way, one, predictions, labels if one.loaded.manifest.classes else None, some)


def test_tensorflow_alone_says_what_the_model_says(tried: list[Tried]) -> None:
    wanted = [_by_signature(one) for one in tried]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", BARE, json.dumps([str(one.folder) for one in tried])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-3000:]
    for one, whole in zip(tried, wanted, strict=True):
        found = np.load(one.folder / "bare.npz", allow_pickle=True)
        for name, values in whole.items():
            np.testing.assert_array_equal(found[name], values)
