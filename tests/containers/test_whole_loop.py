"""The whole loop in the images: the same verdicts and the same figures as the process engine, and an endpoint."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from mainspring.components.common.images import image
from mainspring.pipelines.engines.serving_container import LABEL
from tests.pipelines.conftest import QUERY, summary_of

from .conftest import until

TARGET = "local://flights"
AUC_TOLERANCE = 0.02
"""Threads add up floats in another order each time; two runs of one engine differ by as much."""


class Loop:
    """Runs the pipeline on the sample with one of the engines."""

    def __init__(self, mainspring, sample: Path, root: Path) -> None:
        self.mainspring, self.sample, self.root = mainspring, sample, root

    def run(self, engine: str) -> dict[str, Any]:
        summary = self.root / "summary.json"
        done = self.mainspring(
            *("run", "continuous_training", "--engine", engine, "--root", self.root, "--summary", summary),
            *("-p", f"source={self.sample}/flights-2013-{{SPAN}}.parquet", "-p", f"query={QUERY}", "-p", "label=late"),
            *("-p", f"target={TARGET}", "-p", "span=3", "-p", "window=3", "-p", "max_epochs=3"),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.printed = done.stdout
        return summary_of(summary)

    def endpoint(self) -> dict[str, Any]:
        return json.loads(self.mainspring("endpoints", "list", "--json", "--root", self.root).stdout)[0]


@pytest.fixture(scope="module")
def loops(mainspring, flights_sample: Path, tmp_path_factory) -> Iterator[dict[str, Loop]]:
    """One loop for each engine, each with a root of its own."""
    flights_sample.chmod(0o755)  # pytest makes folders for their owner alone, and a container is somebody else.
    made = {
        engine: Loop(mainspring, flights_sample, tmp_path_factory.mktemp(engine)) for engine in ("process", "docker")
    }
    yield made
    for loop in made.values():
        mainspring("endpoints", "stop", "--all", "--root", loop.root)


@pytest.fixture(scope="module")
def summaries(loops: dict[str, Loop]) -> dict[str, dict[str, Any]]:
    return {engine: loop.run(engine) for engine, loop in loops.items()}


def outputs(summary: dict[str, Any], task: str) -> dict[str, Any]:
    return summary["tasks"][task]["outputs"]


def test_both_engines_give_the_same_verdicts_on_the_same_data(summaries: dict[str, dict[str, Any]]) -> None:
    ours, theirs = summaries["process"], summaries["docker"]
    assert {name: task["state"] for name, task in theirs["tasks"].items()} == {
        name: task["state"] for name, task in ours["tasks"].items()
    }
    fingerprint = outputs(ours, "ingest-examples")["fingerprint"]
    assert fingerprint.startswith("sha256:")
    assert outputs(theirs, "ingest-examples")["fingerprint"] == fingerprint
    for task, verdict in (("validate-examples", "valid"), ("evaluate-model", "blessed"), ("deploy-model", "version")):
        assert outputs(theirs, task)[verdict] == outputs(ours, task)[verdict]


def test_both_engines_give_the_same_metrics(summaries: dict[str, dict[str, Any]]) -> None:
    ours, theirs = (
        outputs(summaries[engine], "evaluate-model")["metrics"]["metadata"] for engine in ("process", "docker")
    )
    assert set(ours) == set(theirs)
    assert theirs["auc"] == pytest.approx(ours["auc"], abs=AUC_TOLERANCE)
    assert ours["auc"] > 0.6


def test_both_engines_infer_the_same_schema(summaries: dict[str, dict[str, Any]]) -> None:
    # On an older glibc, the process engine has another TFDV than the image: its schema is to be the same.
    schemas = [outputs(summaries[engine], "validate-examples")["schema"]["uri"] for engine in ("process", "docker")]
    texts = [next(Path(uri).rglob("*.pbtxt")).read_text() for uri in schemas]
    assert texts[0] == texts[1]


def test_the_endpoint_answers_from_the_serving_image(
    loops: dict[str, Loop], summaries: dict[str, dict[str, Any]], engine: docker.DockerClient
) -> None:
    loop = loops["docker"]
    (container,) = engine.containers.list(filters={"label": LABEL})
    assert container.attrs["Image"].removeprefix("sha256:") == engine.images.get(image("serving")).id[7:]
    # The front and the model server are among the container's processes, by the numbers that they have on the machine.
    assert loop.endpoint()["pid"] in _processes(container)
    published = Path(outputs(summaries["docker"], "deploy-model")["version_uri"])
    posted = urllib.request.Request(loop.endpoint()["url"], (published / "request.json").read_bytes())
    with urllib.request.urlopen(posted, timeout=10) as answer:
        assert 0 <= json.load(answer)["predictions"][0]["prediction"] <= 1
    curl = next(line for line in loop.printed.splitlines() if line.strip().startswith("curl "))
    assert "prediction" in subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True).stdout


def test_an_unchanged_run_is_answered_from_the_cache_and_the_endpoint_stays(
    loops: dict[str, Loop], summaries: dict[str, dict[str, Any]]
) -> None:
    before = loops["docker"].endpoint()
    again = loops["docker"].run("docker")
    assert {name for name, task in again["tasks"].items() if task["state"] == "cached"} == {
        "ingest-examples",
        "validate-examples",
        "train-model",
    }
    assert loops["docker"].endpoint() == before


def test_the_serving_container_goes_once_the_endpoint_is_stopped(
    loops: dict[str, Loop], summaries: dict[str, dict[str, Any]], engine: docker.DockerClient, mainspring
) -> None:
    stopped = mainspring("endpoints", "stop", "flights", "--root", loops["docker"].root)
    assert stopped.returncode == 0, stopped.stderr
    until(lambda: not engine.containers.list(all=True, filters={"label": LABEL}, sparse=True), 90)


def _processes(container: Any) -> set[int]:
    """Returns the processes in a container's control group, by their numbers on the machine."""
    group = _text(Path(f"/proc/{container.attrs['State']['Pid']}/cgroup"))
    assert group
    return {int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cgroup") if _text(path) == group}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
