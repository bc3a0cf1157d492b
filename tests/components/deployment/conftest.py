from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import warm

sys.path.insert(0, str(Path(__file__).parent / "kserve"))  # What several rooms of tests share.
from kserve_cluster import cluster, limits, mode, version  # noqa: F401

from mainspring.components.deployment.local import endpoint_state, processes

SAVED_MODELS = Path(__file__).parents[1] / "serving" / "saved_models.py"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A local root of the test's own; every server started in it is ended afterwards."""
    folder = tmp_path / "root"
    monkeypatch.setenv("MAINSPRING_ROOT", str(folder))
    yield folder
    end_all()


def end_all() -> None:
    for name in endpoint_state.names():
        state = endpoint_state.read(name)
        for process in (state.front, *(server.process for server in state.servers)):
            processes.stop(process, 3)


def taken(port: int) -> socket.socket:
    """Listens on a port, as a foreign process would."""
    return socket.create_server(("127.0.0.1", port))


@pytest.fixture
def light(root, tmp_path, monkeypatch):
    """Model servers that start at once, behind the real front."""
    real, wrapper = os.environ["MAINSPRING_SERVING_PYTHON"], tmp_path / "python"
    light_server = Path(__file__).parent / "light_server.py"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$2" in *.front) exec {real} "$@";; esac\nexec {sys.executable} {light_server} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("MAINSPRING_SERVING_PYTHON", str(wrapper))


@pytest.fixture(scope="session")
def warm_sockets(tmp_path_factory) -> Iterator[warm.Warm]:
    # A Unix socket's path may have 107 characters, and pytest's folders are long.
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        serving = os.environ["MAINSPRING_SERVING_PYTHON"]
        with warm.running(Path(folder), serving, dict(os.environ)) as running:
            yield running


@pytest.fixture(scope="module")
def warm_serving(warm_sockets) -> Iterator[None]:
    """Has servers forked from an interpreter that has imported TensorFlow already (`tests/warm.py`)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAINSPRING_SERVING_SOCKET", warm_sockets.servers)
        yield


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory) -> Path:
    """Real SavedModels `a`, `b`, `c` and `unusable`, made in the serving environment."""
    folder = tmp_path_factory.mktemp("saved_models")
    subprocess.run([os.environ["MAINSPRING_SERVING_PYTHON"], str(SAVED_MODELS), str(folder)], check=True, timeout=120)
    return folder


def graph(inputs: list[str], outputs: list[str], signature: str = "serving_default") -> bytes:
    """A SavedModel's protocol buffer that holds one signature and nothing else."""

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128
        return bytes([number << 3 | 2, len(content)]) + content

    def entry(name: str, value: bytes) -> bytes:
        return field(1, name.encode()) + field(2, value)

    tensors = [field(number, entry(name, b"")) for number, names in ((1, inputs), (2, outputs)) for name in names]
    return field(2, field(5, entry(signature, b"".join(tensors))))


@pytest.fixture
def fake_model(tmp_path) -> Callable[..., Path]:
    """Makes a folder with a model's layout, for what never loads it."""

    def make(name: str = "a", inputs: list[str] | None = None, **changes: object) -> Path:
        folder = tmp_path / f"model-{name}"
        (folder / "variables").mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_bytes(graph(inputs or ["x"], ["prediction"]))
        (folder / "variables" / "variables.index").write_bytes(b"index")
        (folder / "variables" / "variables.data-00000-of-00001").write_bytes(name.encode())
        manifest = {
            "task": "regression",
            "label": "y",
            "classes": [],
            "features": {"x": "numeric"},
            "hyperparameters": {},
            "seed": 1,
            "examples_fingerprint": f"sha256:examples-{name}",
            "schema_fingerprint": "sha256:schema",
            "parent": "",
            "fingerprint": f"sha256:{name}",
            "versions": {},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest | changes))
        return folder

    return make


@pytest.fixture
def judged(tmp_path) -> Callable[..., tuple[str, str]]:
    """Makes the statistics and the evaluation that go with a model's fingerprint."""

    def make(name: str, **changes: object) -> tuple[str, str]:
        statistics, evaluation = tmp_path / f"statistics-{name}", tmp_path / f"evaluation-{name}"
        for folder in (statistics, evaluation):
            shutil.rmtree(folder, ignore_errors=True)
        (statistics / "train").mkdir(parents=True)
        (statistics / "train" / "FeatureStats.pb").write_bytes(b"statistics")
        evaluation.mkdir()
        verdict = {"blessed": True, "model_fingerprint": f"sha256:{name}"} | changes
        (evaluation / "evaluation.json").write_text(json.dumps(verdict))
        (evaluation / "replay.json").write_text(json.dumps(replay_of(name)))
        return str(statistics), str(evaluation)

    return make


def replay_of(name: str) -> dict[str, list[object]]:
    """What evaluation leaves beside the models of `saved_models.py`: rows, and what a model predicts for them."""
    rows = [{"distance": distance, "carrier": carrier} for distance in (None, 0.0, 250.0) for carrier in ("AA", "UA")]
    shift = {"b": 2.0, "c": -2.0}.get(name, 0.0)

    def prediction(row: dict[str, object]) -> float:
        logit = (row["distance"] or 0.0) * 0.01 + shift + (row["carrier"] == "AA")
        return 0.5 if name == "slow" else 1 / (1 + math.exp(-logit))

    return {"instances": rows, "predictions": [prediction(row) for row in rows]}


def parent_of(pid: int) -> int:
    """Returns the process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
