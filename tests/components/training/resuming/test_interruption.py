"""A training that is killed goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from samples import binary_rows, write_examples

KILLS = 20
CHECKPOINT_SECONDS = 0.15
SETTINGS = {
    "label": "good",
    "hidden_units": [8],
    "dropout": 0.2,
    "batch_size": 32,
    "max_epochs": 300,
    "patience": 300,
    "checkpoint_seconds": CHECKPOINT_SECONDS,
}


class Trainings:
    """Runs trainings in forked processes."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "trainer_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(temporary)},
        )

    def start(self, **order: Any) -> int:
        """Returns the process id."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return self._line()

    def end(self) -> int:
        """Waits for the training and returns its exit status; of a killed one, the signal's negative number."""
        return self._line()

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)
        self._server.stdout.close()

    def _line(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    server = Trainings(tmp_path_factory.mktemp("temporary"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("interrupted")
    examples = str(write_examples(folder / "examples", binary_rows(1000, 1), binary_rows(200, 2)))
    return {"examples": examples, "schema": examples, **SETTINGS}


@pytest.fixture(scope="module")
def undisturbed(trainings: Trainings, order: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    trainings.start(**order, **_outputs(folder))
    assert trainings.end() == 0, (folder / "log").read_text()
    return folder


def test_a_training_killed_twenty_times_ends_with_the_weights_of_an_undisturbed_one(
    trainings: Trainings, order: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    chance = random.Random(5)
    log = tmp_path / "log"
    checkpoints = tmp_path / "checkpoints"
    steps_lost, statuses = [], []
    for kill in range(KILLS):
        number = signal.SIGTERM if kill % 2 else signal.SIGKILL
        already = len(_said(log))
        process = trainings.start(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
        # Most are killed while they train, some before, wherever they happen to be.
        if kill % 5:
            _wait_until(lambda already=already: any("epochs at most" in line for line in _said(log)[already:]))
        time.sleep(chance.uniform(0, 0.9))
        before = _last_step(checkpoints)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
        statuses.append(trainings.end())
        steps_lost.append(_last_step(checkpoints) >= before)
        assert not (tmp_path / "model").exists(), "it was over before it was killed: train longer"
    assert all(steps_lost)  # No kill takes a checkpoint away.
    assert set(statuses) <= {-signal.SIGKILL, -signal.SIGTERM, 143}
    assert 143 in statuses  # SIGTERM while it trained: saved, and worth a retry.

    trainings.start(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
    assert trainings.end() == 0, log.read_text()
    steps = [step for line in _said(log) for step in re.findall(r"^resumed at step ([\d,]+)", line)]
    resumed = [int(step.replace(",", "")) for step in steps]
    assert len(resumed) >= KILLS // 2
    assert resumed == sorted(resumed)
    whole, patched = _weights(undisturbed / "model"), _weights(tmp_path / "model")
    for name, value in whole.items():
        np.testing.assert_allclose(patched[name], value, rtol=1e-5, atol=1e-6)
    assert _metrics(tmp_path) == pytest.approx(_metrics(undisturbed), rel=1e-5)
    assert not list(checkpoints.rglob("*.npz"))  # The training is done.


def test_sigterm_saves_the_very_step_and_says_so(trainings: Trainings, order: dict[str, Any], tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    rarely = order | {"checkpoint_seconds": 3600, "checkpoints": str(checkpoints)}
    process = trainings.start(**rarely, **_outputs(tmp_path))
    _wait_until(lambda: any(line.startswith("epoch 2/") for line in _said(tmp_path / "log")))
    os.kill(process, signal.SIGTERM)
    assert trainings.end() == 143
    [said] = [line for line in _said(tmp_path / "log") if line.startswith("told to end")]
    step = f"{_last_step(checkpoints):,}"
    assert said == f"told to end at step {step}: a retry goes on at step {step}"


SLOW = """
import time

import keras
import tensorflow as tf


class Slow(keras.layers.Layer):
    def call(self, x, training=False):
        return tf.ensure_shape(tf.numpy_function(lambda y: (time.sleep(0.5), y)[1], [x], x.dtype), x.shape)

    def compute_output_shape(self, shape):
        return shape


def build_model(context):
    return keras.Model(context.inputs, context.output(keras.layers.Dense(4)(Slow()(context.inputs["numbers"]))))
"""
LOOP = """
import time

import keras


def train(context):
    model = keras.Model(context.inputs, context.output(context.embedded()))
    context.epoch_ended(model, 0.7)
    time.sleep(600)
    return model
"""


def test_sigterm_is_answered_in_seconds_where_a_step_is_slow(
    trainings: Trainings, order: dict[str, Any], tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    (tmp_path / "slow.py").write_text(SLOW)
    slow = order | {"checkpoints": str(checkpoints), "module": str(tmp_path / "slow.py"), "batch_size": 16}
    process = trainings.start(**slow | {"checkpoint_seconds": 4.0}, **_outputs(tmp_path))
    _wait_until(lambda: bool(list(checkpoints.rglob("step-*.npz"))))
    told = time.monotonic()
    os.kill(process, signal.SIGTERM)
    assert trainings.end() == 143
    assert time.monotonic() - told < 10  # 32 of these steps take 16 s and more.
    assert "told to end at step" in (tmp_path / "log").read_text()


def test_sigterm_ends_a_training_loop_of_ones_own(trainings: Trainings, order: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(LOOP)
    own = order | {"checkpoints": str(tmp_path / "checkpoints"), "module": str(tmp_path / "loop.py")}
    process = trainings.start(**own, **_outputs(tmp_path))
    _wait_until(lambda: any(line.startswith("epoch 1/") for line in _said(tmp_path / "log")))
    os.kill(process, signal.SIGTERM)
    assert trainings.end() == 143


def test_a_file_that_is_no_checkpoint_is_passed_over_and_leftovers_go(
    trainings: Trainings, order: dict[str, Any], tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    process = trainings.start(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
    _wait_until(lambda: bool(list(checkpoints.rglob("step-*.npz"))))
    os.kill(process, signal.SIGKILL)
    trainings.end()
    folder = next(checkpoints.iterdir())
    (folder / ".step-0000000007.npz.x1y2").write_bytes(b"half")
    np.save(folder / "array.npy", np.zeros(3))
    np.savez(folder / "list.npz", state=np.array("[]"))
    for number, file in enumerate(("array.npy", "list.npz")):
        (folder / file).rename(folder / f"step-900000000{number}.npz")
    trainings.start(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
    assert trainings.end() == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().count("is passed over: it cannot be read") == 2
    assert "resumed at step" in (tmp_path / "log").read_text()
    assert not list(folder.iterdir())


def test_a_half_written_checkpoint_is_passed_over_for_the_one_before(
    trainings: Trainings, order: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    process = trainings.start(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
    _wait_until(lambda: len(list(checkpoints.rglob("step-*.npz"))) >= 2)
    os.kill(process, signal.SIGKILL)
    trainings.end()
    before, newest = sorted(checkpoints.rglob("step-*.npz"))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    trainings.start(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
    assert trainings.end() == 0
    log = (tmp_path / "log").read_text()
    assert f"{newest.name} is passed over: it cannot be read" in log
    assert f"resumed at step {_number(before)}" in log.replace(",", "")
    for name, value in _weights(undisturbed / "model").items():
        np.testing.assert_allclose(_weights(tmp_path / "model")[name], value, rtol=1e-5, atol=1e-6)


def test_another_trainings_checkpoints_are_not_met(trainings: Trainings, order: dict[str, Any], tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    process = trainings.start(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
    _wait_until(lambda: bool(list(checkpoints.rglob("step-*.npz"))))
    os.kill(process, signal.SIGKILL)
    trainings.end()
    other = order | {"learning_rate": 0.01, "max_epochs": 2}
    trainings.start(**other, checkpoints=str(checkpoints), **_outputs(tmp_path))
    assert trainings.end() == 0
    assert "resumed" not in (tmp_path / "log").read_text()


def test_rows_on_disk_are_resumed_as_exactly_as_rows_in_memory(
    trainings: Trainings, order: dict[str, Any], tmp_path: Path
) -> None:
    on_disk = order | {"resident_cells": 2000, "max_epochs": 60}
    (tmp_path / "whole").mkdir()
    trainings.start(**on_disk, **_outputs(tmp_path / "whole"))
    assert trainings.end() == 0
    assert "encoded rows go to" in (tmp_path / "whole" / "log").read_text()
    checkpoints = tmp_path / "checkpoints"
    process = trainings.start(**on_disk, checkpoints=str(checkpoints), **_outputs(tmp_path))
    _wait_until(lambda: bool(list(checkpoints.rglob("step-*.npz"))))
    os.kill(process, signal.SIGKILL)
    trainings.end()
    trainings.start(**on_disk, checkpoints=str(checkpoints), **_outputs(tmp_path))
    assert trainings.end() == 0
    assert "resumed at step" in (tmp_path / "log").read_text()
    assert not list(trainings.temporary.glob("mainspring-rows-*"))  # The retry removed what the killed try had left.
    for name, value in _weights(tmp_path / "whole" / "model").items():
        np.testing.assert_allclose(_weights(tmp_path / "model")[name], value, rtol=1e-5, atol=1e-6)


def _outputs(folder: Path) -> dict[str, str]:
    return {"model": str(folder / "model"), "report": str(folder / "report.html"), "log": str(folder / "log")}


def _said(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _last_step(checkpoints: Path) -> int:
    return max(map(_number, checkpoints.rglob("step-*.npz")), default=0)


def _wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "model" / "manifest.json").read_text())["metrics"]


def _weights(model: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith("weights/")}
