"""A training that is killed goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from samples import binary_rows, write_examples
from thorough import sampled

from mainspring.components.training.fitting import loop

SETTINGS = {
    "label": "good",
    "hidden_units": [8],
    "dropout": 0.2,
    "batch_size": 32,
    "max_epochs": 90,
    "patience": 90,
    "checkpoint_seconds": 1e-9,
}
"""A checkpoint is due whenever steps are done, of which there are at least as many times as epochs."""
KILLS = [
    ("preparing begins", 1, signal.SIGTERM),
    ("steps begin", 1, signal.SIGKILL),
    ("steps are done", 2, signal.SIGTERM),
    ("a checkpoint is half-written", 1, signal.SIGKILL),
    ("an epoch is over", 1, signal.SIGKILL),
    ("a checkpoint is saved", 3, signal.SIGKILL),
    ("a checkpoint is half-written", 2, signal.SIGTERM),
    ("an epoch is over", 2, signal.SIGTERM),
    ("a checkpoint is half-written", 5, signal.SIGKILL),
    ("preparing begins", 1, signal.SIGKILL),
    ("steps begin", 4, signal.SIGTERM),
    ("steps are done", 1, signal.SIGKILL),
    ("a checkpoint is saved", 1, signal.SIGTERM),
    ("an epoch is over", 3, signal.SIGKILL),
    ("a checkpoint is half-written", 4, signal.SIGKILL),
    ("steps are done", 3, signal.SIGKILL),
    ("a checkpoint is saved", 2, signal.SIGKILL),
    ("steps begin", 2, signal.SIGTERM),
    ("publishing begins", 1, signal.SIGTERM),
    ("publishing begins", 1, signal.SIGKILL),
]
"""Where a training is hit: an event, the how-manieth of this try, and by which signal."""


SAVED_ONCE = ("a checkpoint is saved", 1, signal.SIGKILL)


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

    def run(self, **order: Any) -> int:
        """Returns the training's exit status; of a killed one, the signal's negative number."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


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
    assert trainings.run(**order, **_outputs(folder)) == 0, (folder / "log").read_text()
    return folder


def test_a_training_killed_again_and_again_ends_with_the_weights_of_an_undisturbed_one(
    trainings: Trainings, order: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    log, checkpoints = tmp_path / "log", tmp_path / "checkpoints"
    steps = [0]
    for kill in sampled(KILLS, 11):
        status = trainings.run(**order, checkpoints=str(checkpoints), signal=kill, **_outputs(tmp_path))
        event, _, number = kill
        # While it trains, SIGTERM is noticed: what was trained is saved, and a retry is worth it.
        is_noticed = number == signal.SIGTERM and event not in ("preparing begins", "publishing begins")
        assert status == (143 if is_noticed else -number), f"{kill}: {log.read_text()[-2000:]}"
        assert not (tmp_path / "model").exists()
        steps.append(_last_step(checkpoints))
    assert steps == sorted(steps), "no kill takes a checkpoint away"
    assert len(set(steps)) >= 5, "the tries went on"

    assert trainings.run(**order, checkpoints=str(checkpoints), **_outputs(tmp_path)) == 0, log.read_text()
    resumed = [_as_number(step) for line in _said(log) for step in re.findall(r"^resumed at step ([\d,]+)", line)]
    assert len(resumed) >= 5
    assert resumed == sorted(resumed)
    whole, patched = _weights(undisturbed / "model"), _weights(tmp_path / "model")
    for name, value in whole.items():
        np.testing.assert_allclose(patched[name], value, rtol=1e-5, atol=1e-6)
    assert _metrics(tmp_path) == pytest.approx(_metrics(undisturbed), rel=1e-5)
    assert not list(checkpoints.rglob("*.npz"))  # The training is done.


def test_sigterm_saves_the_very_step_and_says_so(trainings: Trainings, order: dict[str, Any], tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    rarely = order | {"checkpoint_seconds": 3600, "checkpoints": str(checkpoints)}
    told = ("an epoch is over", 2, signal.SIGTERM)
    assert trainings.run(**rarely, signal=told, **_outputs(tmp_path)) == 143
    [said] = [line for line in _said(tmp_path / "log") if line.startswith("told to end")]
    step = f"{_last_step(checkpoints):,}"
    assert said == f"told to end at step {step}: a retry goes on at step {step}"


SLOW = """
import time

import keras
import tensorflow as tf

SECONDS = 0.4


class Slow(keras.layers.Layer):
    def call(self, x, training=False):
        return tf.ensure_shape(tf.numpy_function(lambda y: (time.sleep(SECONDS), y)[1], [x], x.dtype), x.shape)

    def compute_output_shape(self, shape):
        return shape


def build_model(context):
    return keras.Model(context.inputs, context.output(keras.layers.Dense(4)(Slow()(context.inputs["numbers"]))))
"""
LOOP = """
import os
import signal
import time

import keras


def train(context):
    model = keras.Model(context.inputs, context.output(context.embedded()))
    context.epoch_ended(model, 0.7)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)
    return model
"""


def test_sigterm_is_answered_in_seconds_where_a_step_is_slow(
    trainings: Trainings, order: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    slow = order | {"module": str(tmp_path / "slow.py"), "batch_size": 16}
    told = ("steps begin", 3, signal.SIGTERM)
    checkpoints = str(tmp_path / "checkpoints")
    assert trainings.run(**slow, checkpoints=checkpoints, signal=told, **_outputs(tmp_path)) == 143
    saved = sorted(map(_as_number, re.findall(r"told to end at step ([\d,]+)", (tmp_path / "log").read_text())))
    # One step each for the first two calls; the third has no more than fit into its time, and not 32.
    assert 2 < saved[0] <= 2 + loop.SECONDS_PER_CALL / 0.4


def test_sigterm_ends_a_training_loop_of_ones_own(trainings: Trainings, order: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(LOOP)
    own = order | {"checkpoints": str(tmp_path / "checkpoints"), "module": str(tmp_path / "loop.py")}
    assert trainings.run(**own, **_outputs(tmp_path)) == 143
    assert any(line.startswith("epoch 1/") for line in _said(tmp_path / "log"))


def test_a_file_that_is_no_checkpoint_is_passed_over_and_leftovers_go(
    trainings: Trainings, order: dict[str, Any], tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    killed = trainings.run(**order, checkpoints=str(checkpoints), signal=SAVED_ONCE, **_outputs(tmp_path))
    assert killed == -signal.SIGKILL
    folder = next(checkpoints.iterdir())
    (folder / ".step-0000000007.npz.x1y2").write_bytes(b"half")
    np.save(folder / "array.npy", np.zeros(3))
    np.savez(folder / "list.npz", state=np.array("[]"))
    for number, file in enumerate(("array.npy", "list.npz")):
        (folder / file).rename(folder / f"step-900000000{number}.npz")
    done = trainings.run(**order, checkpoints=str(checkpoints), **_outputs(tmp_path))
    assert done == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "log").read_text().count("is passed over: it cannot be read") == 2
    assert "resumed at step" in (tmp_path / "log").read_text()
    assert not list(folder.iterdir())


def test_a_half_written_checkpoint_is_passed_over_for_the_one_before(
    trainings: Trainings, order: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "checkpoints"
    saved_twice = ("a checkpoint is saved", 2, signal.SIGKILL)
    trainings.run(**order, checkpoints=str(checkpoints), signal=saved_twice, **_outputs(tmp_path))
    before, newest = sorted(checkpoints.rglob("step-*.npz"))
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    assert trainings.run(**order, checkpoints=str(checkpoints), **_outputs(tmp_path)) == 0
    log = (tmp_path / "log").read_text()
    assert f"{newest.name} is passed over: it cannot be read" in log
    assert f"resumed at step {_number(before)}" in log.replace(",", "")
    for name, value in _weights(undisturbed / "model").items():
        np.testing.assert_allclose(_weights(tmp_path / "model")[name], value, rtol=1e-5, atol=1e-6)


def test_another_trainings_checkpoints_are_not_met(trainings: Trainings, order: dict[str, Any], tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    trainings.run(**order, checkpoints=str(checkpoints), signal=SAVED_ONCE, **_outputs(tmp_path))
    other = order | {"learning_rate": 0.01, "max_epochs": 2}
    assert trainings.run(**other, checkpoints=str(checkpoints), **_outputs(tmp_path)) == 0
    assert "resumed" not in (tmp_path / "log").read_text()


def test_rows_on_disk_are_resumed_as_exactly_as_rows_in_memory(
    trainings: Trainings, order: dict[str, Any], tmp_path: Path
) -> None:
    on_disk = order | {"resident_cells": 2000, "max_epochs": 30}
    (tmp_path / "whole").mkdir()
    assert trainings.run(**on_disk, **_outputs(tmp_path / "whole")) == 0
    assert "encoded rows go to" in (tmp_path / "whole" / "log").read_text()
    checkpoints = tmp_path / "checkpoints"
    trainings.run(**on_disk, checkpoints=str(checkpoints), signal=SAVED_ONCE, **_outputs(tmp_path))
    assert trainings.run(**on_disk, checkpoints=str(checkpoints), **_outputs(tmp_path)) == 0
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


def _as_number(text: str) -> int:
    return int(text.replace(",", ""))


def _last_step(checkpoints: Path) -> int:
    return max(map(_number, checkpoints.rglob("step-*.npz")), default=0)


def _metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "model" / "manifest.json").read_text())["metrics"]


def _weights(model: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith("weights/")}
