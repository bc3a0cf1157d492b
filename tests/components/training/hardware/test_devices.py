"""What training runs on: chosen, said, or refused; and one model on two devices or two workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import warm
from samples import binary_rows, table_of, write_examples

from mainspring.components.common.errors import UserError
from mainspring.components.training.hardware.devices import choose_hardware

EPOCHS = 12
NOTICE = json.dumps(["an epoch is over", 2, int(signal.SIGTERM)])
"""A spot node's notice, in the midst of the training."""
TRAINING = Path(__file__).parents[1]
HAS_GPU = bool(tf.config.list_physical_devices("GPU"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hardware") / "examples"
    return str(write_examples(folder, binary_rows(1200, 1), binary_rows(400, 2)))


@pytest.fixture(scope="module")
def train_once() -> Iterator[list[str]]:
    """The command of `train_once.py`: run with an order and `TRAINING` as folder, it is a fork that has imported."""
    # A Unix socket's path may have 107 characters, and pytest's folders are long.
    with (
        tempfile.TemporaryDirectory(prefix="warm-") as folder,
        warm.running(Path(folder), sys.executable, dict(os.environ)) as running,
    ):
        yield running.command(sys.executable, "train_once:main")


def test_workers_with_tpus_are_refused_before_each_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    for accelerator, tpu in (("tpu", ""), ("", "0")):
        monkeypatch.setenv("TPU_WORKER_ID", tpu)
        with pytest.raises(UserError, match=r"^TF_CONFIG: 2 workers with TPUs\. TensorFlow trains on TPUs of several"):
            choose_hardware(accelerator)


@pytest.mark.parametrize(
    ("accelerator", "message"),
    [
        ("gpu", "accelerator: a GPU asked for, and TensorFlow sees 0"),
        ("gpu:4", "accelerator: 4 GPUs asked for, and TensorFlow sees 0"),
        ("tpu", "accelerator: a TPU was asked for, and TensorFlow cannot start one"),
        ("gpus", "accelerator: 'gpus' is not cpu, gpu or tpu, or one with a count such as gpu:4"),
        ("gpu:0", "accelerator: 'gpu:0' is not cpu, gpu or tpu"),
    ],
)
@pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU")
def test_an_accelerator_that_is_not_there_is_refused_and_never_replaced_by_the_cpu(
    accelerator: str, message: str
) -> None:
    with pytest.raises(UserError, match=r"^" + re.escape(message)):
        choose_hardware(accelerator)


def test_an_unknown_precision_and_a_cluster_without_this_worker_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"precision: 'float16' is not one of float32, mixed_bfloat16"):
        choose_hardware("", "float16")
    for text in ("{", "[]", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(UserError, match=r"TF_CONFIG: .* names no cluster with this worker in it"):
            choose_hardware()


def test_two_devices_in_bfloat16_train_one_model_that_is_served_in_float32(
    train_once: list[str], examples: str, tmp_path: Path
) -> None:
    order = _order(examples, tmp_path) | {"accelerator": "cpu:2", "precision": "mixed_bfloat16", "max_epochs": 8}
    done = _run(train_once, order)
    assert done.returncode == 0, done.stderr
    assert re.match(r"training on CPU \(\d+ cores\), mirrored over 2 devices\n", done.stdout)
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["metrics"]["eval_auc"] > 0.95
    answer = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    kinds = {tensor.dtype for operation in answer.graph.get_operations() for tensor in operation.outputs}
    assert tf.bfloat16 not in kinds
    scores = answer(size=tf.constant([2.0, -2.0]), count=tf.constant([8.0, 0.0]), colour=tf.constant(["red", "blue"]))
    assert scores["prediction"].numpy()[0] > 0.8 > 0.2 > scores["prediction"].numpy()[1]


def test_fewer_rows_than_devices_are_one_line(train_once: list[str], tmp_path: Path) -> None:
    few = table_of(x=("double", [1.0, 2.0, 3.0]), good=("int64", [0, 1, 0]))
    examples = str(write_examples(tmp_path / "few", few, few))
    order = _order(examples, tmp_path) | {"accelerator": "cpu:4"}
    done = _run(train_once, order)
    assert done.returncode == 1
    assert done.stderr.endswith("mainspring: error: examples: train has 3 rows for 4 devices; train on fewer\n")


def test_operations_keep_to_one_order_where_that_is_asked_for(
    train_once: list[str], examples: str, tmp_path: Path
) -> None:
    models = []
    for number in range(2):
        order = _order(examples, tmp_path / str(number)) | {"deterministic": True, "max_epochs": 2}
        done = _run(train_once, order)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("\ndeterministic: True\n")
        assert "as asked for" in (tmp_path / str(number) / "report.html").read_text()
        models.append(json.loads((tmp_path / str(number) / "model" / "manifest.json").read_text())["fingerprint"])
    assert models[0] == models[1]


def test_two_workers_train_one_model_that_the_chief_alone_publishes_and_one_notice_saves_for_both(
    train_once: list[str], examples: str, tmp_path: Path
) -> None:
    settings = {"max_epochs": EPOCHS, "patience": EPOCHS, "batch_size": 64, "checkpoint_seconds": 3600}
    settings |= {"checkpoints": str(tmp_path / "checkpoints")}

    workers, logs = _two_workers(train_once, examples, tmp_path, settings, "first", {"TOLD_TO_END": NOTICE})
    statuses = [worker.wait() for worker in workers]
    said = [log.read_text() for log in logs]
    assert statuses == [143, 143], said
    [saved] = {line for text in said for line in text.splitlines() if line.startswith("told to end at step")}
    step = re.search(r"goes on at step ([\d,]+)", saved)
    assert step
    assert not (tmp_path / "of-0").exists()

    workers, logs = _two_workers(train_once, examples, tmp_path, settings, "again")
    statuses = [worker.wait() for worker in workers]
    said = [log.read_text() for log in logs]
    assert statuses == [0, 0], said
    for number, text in enumerate(said):
        assert f"training on worker {number + 1} of 2" in text
        assert f"resumed at step {step[1]} from" in text
    # Both judge the same model on the same rows, and both stop at the same place.
    epochs = [re.findall(r"^epoch (\d+)/\d+: loss ([\d.]+), eval loss ([\d.]+)", text, re.MULTILINE) for text in said]
    assert epochs[0] == epochs[1]
    assert epochs[0][-1][0] == str(EPOCHS)
    manifest = json.loads((tmp_path / "of-0" / "model" / "manifest.json").read_text())
    assert manifest["metrics"]["eval_auc"] > 0.9
    assert not (tmp_path / "of-1").exists()
    weights = tf.train.load_checkpoint(str(tmp_path / "of-0" / "model" / "variables" / "variables"))
    assert all(np.isfinite(weights.get_tensor(name)).all() for name in _names(weights))


def _two_workers(
    train_once: list[str],
    examples: str,
    folder: Path,
    settings: dict[str, Any],
    attempt: str,
    of_the_second: dict[str, str] | None = None,
) -> tuple[list[subprocess.Popen[bytes]], list[Path]]:
    """Starts the workers of one cluster; returns them, and the files that they write what they say to."""
    cluster = {"worker": [f"127.0.0.1:{_free_port()}" for _ in range(2)]}
    logs = [folder / f"{attempt}-{number}.log" for number in range(2)]
    workers = []
    for number, log in enumerate(logs):
        variables = {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": number}})}
        # A notice comes to one machine, and not to the chief's.
        variables |= (of_the_second or {}) if number else {}
        command = [*train_once, json.dumps(_order(examples, folder / f"of-{number}") | settings)]
        given = {"env": os.environ | variables, "cwd": TRAINING}
        with log.open("wb") as file:
            started = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, **given)
        workers.append(started)
    return workers, logs


def _names(reader: Any) -> list[str]:
    return [name for name in reader.get_variable_to_shape_map() if name.startswith("weights/")]


def _order(examples: str, folder: Path) -> dict[str, Any]:
    places = {"model": str(folder / "model"), "report": str(folder / "report.html")}
    return {"examples": examples, "schema": examples, "label": "good", **places}


def _run(train_once: list[str], order: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*train_once, json.dumps(order)], cwd=TRAINING, capture_output=True, text=True, check=False)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
