"""The docker engine runs each task in a locked-down container of its image, and leaves none behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from mainspring.pipelines.engines.docker import NOBODY, RUN_LABEL
from mainspring.pipelines.engines.mounts import mounts
from mainspring.pipelines.engines.results import RunResult
from mainspring.pipelines.engines.serving_container import LABEL, image_beside
from tests.pipelines.conftest import MAINSPRING, summary_of

from .conftest import until

HERE = Path(__file__).parent


@pytest.fixture
def run(mainspring, tmp_path: Path):
    def run_contained(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ["--engine", "docker", "--root", str(tmp_path / "root"), "--summary", str(tmp_path / "summary.json")]
        return mainspring("run", f"contained:{name}", *options, *arguments, cwd=HERE)

    return run_contained


def containers(engine) -> list[str]:
    """Returns the containers of runs and endpoints, whatever their state."""
    return [
        found.id
        for label in (RUN_LABEL, LABEL)
        for found in engine.containers.list(all=True, filters={"label": label}, sparse=True)
    ]


def test_a_task_is_nobody_on_a_read_only_file_system_and_reads_what_the_parameters_name(
    run, engine, tmp_path: Path
) -> None:
    data, models = tmp_path / "data", tmp_path / "models"
    data.mkdir(mode=0o755)
    (data / "words.txt").write_text("hello")
    done = run("looks", "-p", f"source={data}/words.txt", "-p", f"models_root={models}")
    assert done.returncode == 0, done.stdout + done.stderr
    seen = summary_of(tmp_path / "summary.json")["tasks"]["look"]["outputs"]["Output"]
    assert seen["user"] == (os.getuid() or NOBODY)
    assert (seen["capabilities"], seen["may_gain_privileges"]) == (0, False)
    assert seen["writes"] == ["/tmp", str(models)]
    assert (seen["read"], seen["folder"]) == ("hello", str(HERE))
    assert containers(engine) == []


def test_an_unchanged_run_is_answered_from_the_cache(run, tmp_path: Path) -> None:
    states = []
    for _ in range(2):
        assert run("looks").returncode == 0
        states.append(summary_of(tmp_path / "summary.json")["tasks"]["look"]["state"])
    assert states == ["succeeded", "cached"]


def test_a_task_that_fails_too_soon_to_be_watched_has_failed(run, tmp_path: Path) -> None:
    done = run("ends_at_once")
    assert done.returncode == 1
    assert summary_of(tmp_path / "summary.json")["tasks"]["end-at-once"]["state"] == "failed"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_container_is_left_however_a_run_is_ended(engine, tmp_path: Path, ending: signal.Signals) -> None:
    flag = tmp_path / "models" / "runs"
    command = [MAINSPRING, "run", "contained:waits", "--engine", "docker", "-p", f"models_root={flag.parent}"]
    started = subprocess.Popen(
        [*command, "--root", str(tmp_path / "root")], cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    until(flag.exists, 120)
    started.send_signal(ending)
    _, said = started.communicate(timeout=60)
    assert started.returncode == (-signal.SIGKILL if ending == signal.SIGKILL else 130)
    assert ending == signal.SIGKILL or b"mainspring: error: interrupted" in said.splitlines()[-1]
    until(lambda: not engine.containers.list(all=True, filters={"label": RUN_LABEL}, sparse=True), 60)


def test_an_image_that_is_not_here_is_one_line_before_anything_runs(run, engine) -> None:
    done = run("lacks_an_image")
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith(
            "mainspring: error: image mainspring/unheard-of:0.1.0 is not here; build the images with `make images`"
        )
    )


def test_no_engine_is_one_line(run, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    done = run("looks")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no container engine answers" in done.stderr
    assert "start Docker, or Podman's socket" in done.stderr


def test_what_parameters_name_is_mounted_and_the_system_is_not(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "policy.yaml").touch()
    arguments = {
        "source": f"file://{tmp_path}/data/flights-{{SPAN}}.parquet",
        "policy": "../policy.yaml",
        "label": "late",
        "query": "SELECT *\nFROM source",
        "bucket": "gs://bucket/data",
        "models_root": str(tmp_path / "models"),
        "odd": "/etc",
        "epochs": 3,
    }
    found = mounts(arguments, tmp_path / "root", tmp_path / "work")
    assert found == {
        str(tmp_path / "work"): "ro",
        str(tmp_path / "data"): "ro",
        str(tmp_path / "policy.yaml"): "ro",
        str(tmp_path / "models"): "rw",
        str(tmp_path / "root"): "rw",
    }


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["mainspring/training:0.1.0", "mainspring/deployment:0.1.0"], "mainspring/serving:0.1.0"),
        (["registry:5000/team/mainspring/deployment:0.2.0"], "registry:5000/team/mainspring/serving:0.2.0"),
        ([f"registry/mainspring/deployment@sha256:{'0' * 64}"], "mainspring/serving:0.1.0"),
        (["mainspring/training:0.1.0", "python:3.12"], ""),
    ],
)
def test_the_serving_image_is_the_one_beside_the_deployment_image(images: list[str], expected: str) -> None:
    assert image_beside(images) == expected


def test_the_summary_is_the_same_kind_of_json_as_the_process_engines(run, tmp_path: Path) -> None:
    run("looks")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary) == {"run", *(field.name for field in fields(RunResult))} - {"values"}
