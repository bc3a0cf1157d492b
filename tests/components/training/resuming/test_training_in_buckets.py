"""Modules and checkpoints in buckets: a training that is interrupted on one machine goes on on another."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import Recorder, Trained

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.training.resuming.checkpoints import Checkpoints, State
from mainspring.components.training.train_model import train_model

sys.path.append(str(Path(__file__).parents[2] / "deployment"))
import bucket_servers


@pytest.fixture(scope="module", params=["gs", "s3"])
def scheme(request: pytest.FixtureRequest) -> Iterator[str]:
    with (bucket_servers.google if request.param == "gs" else bucket_servers.s3)():
        yield request.param


def test_a_training_told_to_end_goes_on_from_a_bucket(
    scheme: str,
    binary: Trained,
    binary_examples: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = f"{bucket_servers.new_bucket(scheme)}/checkpoints"
    arguments = {"examples": str(binary_examples), "schema": str(binary_examples), "label": "good", "max_epochs": 8}
    save = Checkpoints.save

    def save_and_be_told_to_end(checkpoints: Checkpoints, state: State) -> None:
        save(checkpoints, state)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Checkpoints, "save", save_and_be_told_to_end)
    with pytest.raises(SystemExit) as ended:
        _train(tmp_path, **arguments, checkpoints=root, checkpoint_seconds=1e-9)
    monkeypatch.setattr(Checkpoints, "save", save)
    assert ended.value.code == 143
    assert 1 <= len(buckets.list_objects(root)) <= 2
    figures = _train(tmp_path, **arguments, checkpoints=root)
    assert f" from {root}/" in capsys.readouterr().out
    assert figures == pytest.approx(binary.metrics, rel=1e-5)
    assert buckets.list_objects(root) == []


def test_a_bucket_that_is_not_there_is_said_before_training(scheme: str, binary_examples: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        _train(
            tmp_path,
            examples=str(binary_examples),
            schema=str(binary_examples),
            label="good",
            checkpoints=f"{scheme}://nowhere-at-all/x",
        )
    assert "nowhere-at-all" in str(caught.value)


def test_a_checkpoint_that_cannot_be_saved_does_not_stop_training(
    scheme: str, train: Callable[..., Trained], binary_examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = bucket_servers.new_bucket(scheme)
    original = Checkpoints.latest

    def latest_then_no_bucket(self: Checkpoints, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        _remove_bucket(bucket)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "latest", latest_then_no_bucket)
        patch.setattr(Checkpoints, "remove", lambda self: None)
        train(binary_examples, label="good", max_epochs=2, checkpoints=bucket, checkpoint_seconds=0.01)
    assert "is not saved: checkpoints: " in capsys.readouterr().out


def test_a_module_is_fetched_from_a_bucket(scheme: str, train: Callable[..., Trained], binary_examples: Path) -> None:
    uri = f"{bucket_servers.new_bucket(scheme)}/models/small.py"
    buckets.create(
        uri,
        b"import keras\n"
        b"def build_model(context):\n"
        b"    return keras.Model(context.inputs, context.output(context.embedded()))\n",
    )
    made = train(binary_examples, label="good", module=uri, max_epochs=1)
    assert made.manifest["hyperparameters"]["module"] == uri
    with pytest.raises(UserError, match=r"gone.py"):
        train(binary_examples, label="good", module=uri.replace("small", "gone"))


def _train(folder: Path, **arguments: object) -> dict[str, float]:
    recorder = Recorder()
    train_model(model=str(folder / "model"), report=str(folder / "r.html"), metrics=recorder, **arguments)  # type: ignore[arg-type]
    return recorder.figures


def _remove_bucket(uri: str) -> None:
    if uri.startswith("gs"):
        from google.cloud import storage

        storage.Client(project=None).bucket(uri[5:]).delete(force=True)
    else:
        bucket_servers._boto3().delete_bucket(Bucket=uri[5:])
