"""What goes wrong is said in one line that names the input, before anything is published."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from samples import Recorder, Trained, binary_rows, write_examples

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.training.features import surveying
from mainspring.components.training.rows import blocks
from mainspring.components.training.train_model import train_model


def refusal(examples: Path, tmp_path: Path, kind: type[UserError] = UserError, **parameters: Any) -> str:
    """Returns the message of the UserError that training ends with; nothing is left behind."""
    out = tmp_path / "out"
    arguments: dict[str, Any] = {"examples": str(examples), "schema": str(examples), "label": "good"}
    with pytest.raises(kind) as caught:
        train_model(
            **arguments
            | {"model": str(out / "model"), "metrics": Recorder(), "report": str(out / "r.html")}
            | parameters
        )
    assert not out.exists() or not list(out.iterdir())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def examples(binary_examples: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(binary_examples, tmp_path / "examples"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_units": [0]}, "hidden_units: 0 is out of range; give a whole number from 1 to 16,384"),
        ({"hidden_units": "128"}, "hidden_units: '128' is not a list"),
        ({"embedding_size": 1.5}, "embedding_size: 1.5 is out of range"),
        ({"max_crosses": -1}, "max_crosses: -1 is out of range; give a whole number from 0 to 64"),
        ({"dropout": 1}, "dropout: 1 is out of range; give a number from 0 up to, but not including, 1"),
        ({"learning_rate": 0}, "learning_rate: 0 is out of range; give a number above 0 and at most 1"),
        ({"learning_rate": float("nan")}, "learning_rate: nan is out of range"),
        ({"batch_size": 0}, "batch_size: 0 is out of range"),
        ({"batch_size": 10**400}, "batch_size: 1000"),
        ({"custom": {"a": float("nan")}}, "custom: {'a': nan} cannot be recorded as JSON"),
        ({"max_epochs": -3}, "max_epochs: -3 is out of range"),
        ({"patience": 0}, "patience: 0 is out of range"),
        ({"seed": -1}, "seed: -1 is out of range"),
        ({"task": "clustering"}, "task: 'clustering' is not one of auto, binary_classification"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused_before_anything_is_read(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    assert refusal(tmp_path / "nowhere", tmp_path, **parameters).startswith(message)


def test_whole_floats_are_taken_for_integers(train: Callable[..., Trained], binary_examples: Path) -> None:
    made = train(binary_examples, label="good", hidden_units=[8.0, 4.0], max_epochs=1)
    assert made.manifest["hyperparameters"]["hidden_units"] == [8, 4]


def test_a_name_that_is_no_column_is_answered_with_the_closest_one(examples: Path, tmp_path: Path) -> None:
    assert "label: 'god' is not a column of the examples; did you mean 'good'?" in refusal(
        examples, tmp_path, label="god"
    )
    assert "exclude: 'color' is not a column of the examples; did you mean 'colour'?" in refusal(
        examples, tmp_path, exclude=["color"]
    )


def test_no_feature_left_is_refused(examples: Path, tmp_path: Path) -> None:
    assert "exclude: no feature is left" in refusal(examples, tmp_path, exclude=["size", "count", "colour"])


@pytest.mark.parametrize(
    ("label", "task", "message"),
    [
        (pa.array([1] * 40), "auto", "label: 'good' is constant in train (1 only)"),
        (pa.array([None] * 40, pa.int64()), "auto", "label: 'good' has no value in train"),
        (pa.array([0, 1, 2, 3] * 10), "binary_classification", "task: 'good' has 4 values in train, not 2"),
        (pa.array(["a", "b"] * 20), "regression", "task: 'good' is text, which regression cannot predict"),
        (pa.array([*range(39), 1e300]), "auto", "label: 'good' has values too large to compute with"),
        (pa.array([str(n) for n in range(1001)]), "auto", "label: 'good' has more values than 1,000 classes"),
    ],
)
def test_a_label_that_cannot_be_learned_is_refused(tmp_path: Path, label: pa.Array, task: str, message: str) -> None:
    numbers = np.random.default_rng(0).normal(size=len(label))
    table = pa.table({"number": pa.array(numbers), "good": label})
    assert refusal(write_examples(tmp_path / "examples", table, table), tmp_path, task=task).startswith(message)


def test_no_rows_in_train_or_eval_are_refused(tmp_path: Path) -> None:
    some, none = binary_rows(50, 1), binary_rows(50, 1).slice(0, 0)
    assert "label: 'good' has no value in train" in refusal(write_examples(tmp_path / "a", none, some), tmp_path)
    assert "examples: eval has no row" in refusal(write_examples(tmp_path / "b", some, none), tmp_path)


def test_examples_that_cannot_be_read_are_refused(examples: Path, tmp_path: Path) -> None:
    assert "nowhere/manifest.json: no such file" in refusal(tmp_path / "nowhere", tmp_path)
    (examples / "train" / "2.parquet").write_bytes(b"PAR1 not really")
    assert "train/2.parquet cannot be read as Parquet" in refusal(examples, tmp_path)
    shutil.rmtree(examples / "train")
    assert "train holds no Parquet files" in refusal(examples, tmp_path)


def test_a_schema_that_does_not_fit_the_examples_is_refused(examples: Path, tmp_path: Path) -> None:
    schema = examples / "schema.pbtxt"
    good = schema.read_text()
    for text, message in [
        ("not a schema {", "schema.pbtxt cannot be read as a TFDV schema"),
        ("", "schema.pbtxt names no feature"),
        (good + 'feature { name: "weight" type: FLOAT }', "schema: feature 'weight' is not a column"),
        (good.replace("BYTES", "INT"), "schema: feature 'colour' is INT, but its column holds string"),
        (good.replace("BYTES", "STRUCT"), "schema: feature 'colour' is of type STRUCT"),
    ]:
        schema.write_text(text)
        assert message in refusal(examples, tmp_path)
    schema.unlink()
    assert "schema.pbtxt: no such file" in refusal(examples, tmp_path)


def test_a_column_of_another_type_than_the_manifest_says_is_refused(examples: Path, tmp_path: Path) -> None:
    manifest = examples / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"good": "int64"', '"good": "string"'))
    assert "holds columns of other types than its manifest says" in refusal(examples, tmp_path)


def test_a_loss_that_is_no_number_stops_training_with_one_line(tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def rows(count: int) -> pa.Table:
        target = random.normal(size=count)
        return pa.table({"number": pa.array(random.normal(size=count)), "good": pa.array(target)})

    module = tmp_path / "bursting.py"
    module.write_text(
        "import keras\n"
        "def build_model(context):\n"
        "    return keras.Model(context.inputs, keras.ops.log(context.output(context.embedded()) - 1e9))\n"
    )
    message = refusal(write_examples(tmp_path / "examples", rows(200), rows(50)), tmp_path, module=str(module))
    assert message.startswith("learning_rate: the loss is no longer a number in epoch 1")


def test_a_published_model_is_never_overwritten(binary: Trained, binary_examples: Path) -> None:
    before = (binary.folder / "manifest.json").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        train_model(
            examples=str(binary_examples),
            schema=str(binary_examples),
            label="good",
            model=str(binary.folder),
            metrics=Recorder(),
            report=str(binary.folder.parent / "other.html"),
            max_epochs=1,
        )
    assert (binary.folder / "manifest.json").read_bytes() == before
    assert json.loads(before)["fingerprint"] == binary.fingerprint


def test_a_killed_training_leaves_nothing_that_looks_finished(examples: Path, tmp_path: Path) -> None:
    call = (
        "from samples import Recorder\n"
        "from mainspring.components.training.train_model import train_model\n"
        f"train_model(examples={str(examples)!r}, schema={str(examples)!r}, label='good', metrics=Recorder(),\n"
        f"    model={str(tmp_path / 'model')!r}, report={str(tmp_path / 'r.html')!r},\n"
        "    max_epochs=10000, patience=10000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", call], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )
    assert process.stdout is not None
    while "epoch 3/" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(("kind", "status"), [("RetriableError", 75), ("UserError", 1)])
def test_the_exit_status_says_whether_a_retry_is_worth_it(kind: str, status: int) -> None:
    code = f"from mainspring.components.common import errors\nraise errors.{kind}('disk: full')\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr == "mainspring: error: disk: full\n"


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mounts a file system of so many bytes."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    can_mount = shutil.which("mount") and os.geteuid() == 0
    if not can_mount or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)


@pytest.mark.parametrize("size", ["16k", "100k"])
def test_a_disk_that_is_full_when_the_model_is_published_is_worth_a_retry(
    examples: Path, tmp_path: Path, size: str
) -> None:
    with small_disk(tmp_path / "small", size) as small:
        said = refusal(examples, tmp_path, model=str(small / "model"), max_epochs=1, kind=RetriableError)
        assert said == f"{small / 'model'}: the disk is full; nothing was published. Free some space, then run again"
        assert list(small.iterdir()) == []


def test_a_disk_that_fills_while_rows_are_dealt_is_worth_a_retry(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "RESIDENT_CELLS", 1000)
    # Room for the rows when it is looked at; somebody else takes it before they come.
    monkeypatch.setattr(blocks, "_check_room", lambda needed, folder: None)
    with small_disk(tmp_path / "small", "16k") as small:
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        said = refusal(examples, tmp_path, kind=RetriableError)
        assert re.fullmatch(rf"{small}/mainspring-rows-\w+: the disk is full; nothing was published\. .*", said)
        assert list(small.iterdir()) == []


def test_logs_that_do_not_fit_on_their_disk_do_not_end_the_training(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "small", "8k") as small:
        (small / "taken").write_bytes(bytes(8192))
        made = train(binary_examples, label="good", max_epochs=2, logs=str(small / "logs"))
    assert made.fingerprint
    assert capsys.readouterr().out.count("logs: no more is written") == 1


def test_a_checkpoint_folder_that_may_not_be_written_stops_nothing_but_is_said(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    train(binary_examples, label="good", max_epochs=2, checkpoints=str(tmp_path / "file"), checkpoint_seconds=0.001)
    assert f"is not saved: checkpoints: {tmp_path / 'file'}" in capsys.readouterr().out
