"""Compiling and the commands that talk to a cluster are quick enough to be done at every change.

Wanted are a second and three seconds. Both are held as shares of what importing kfp takes, about a second of processor
time where they were measured: so they hold on a slow machine as well, and on one that other tests share.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.pipelines import environments
from tests.pipelines.cluster.kfp_server import running_server
from tests.pipelines.conftest import MAINSPRING
from tests.pipelines.doctor.kubernetes_server import running_kubernetes

CODE = """
import json, time
start = time.process_time()
import kfp, kfp.dsl, kfp.compiler, kfp.kubernetes
imported = time.process_time() - start
from mainspring.pipelines.compiling import catalogue, kfp_yaml
sizes = {name: len(kfp_yaml.compiled(catalogue.load(name))) for name in catalogue.BUILT_IN}
largest = max(sizes, key=sizes.get)
pipeline = catalogue.load(largest)
start = time.process_time()
kfp_yaml.compiled(pipeline)
print(json.dumps((time.process_time() - start) / imported))
"""
SUBMIT = ("submit", "continuous_training", "-p", "source=s", "-p", "label=l", "-p", "target=kserve://team/x")
PLAN = ("schedule", "plan", str(Path(environments.PIPELINES) / "examples" / "schedules.yaml"))


def processor_seconds(*command: str, **variables: str) -> float:
    """The least of three calls."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, check=False, env=os.environ | variables)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert b"Traceback" not in done.stderr
    return min(seconds)


@pytest.fixture(scope="module")
def kfp_seconds() -> float:
    return processor_seconds(sys.executable, "-W", "ignore", "-c", "import kfp")


def test_the_largest_pipeline_compiles_within_a_second_of_kfps_import() -> None:
    runs = [
        json.loads(subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(runs) < 1


@pytest.mark.parametrize("command", [SUBMIT, PLAN], ids=["submit", "plan"])
def test_the_clusters_commands_take_less_than_three_seconds(command: tuple[str, ...], kfp_seconds: float) -> None:
    with running_server() as server:
        assert processor_seconds(str(MAINSPRING), *command, "--host", server.url) < 3 * kfp_seconds


def test_doctor_takes_less_than_three_seconds_for_a_cluster_and_a_pipeline(tmp_path: Path, kfp_seconds: float) -> None:
    with running_server() as server, running_kubernetes() as kubernetes:
        variables = {"KUBECONFIG": str(kubernetes.write_kubeconfig(tmp_path / "config")), "NO_PROXY": "127.0.0.1"}
        command = (MAINSPRING, "doctor", str(kubernetes.write_pipeline(tmp_path / "l4.yaml")), "--host", server.url)
        said = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables).stdout
        assert processor_seconds(*command, **variables) < 3 * kfp_seconds
    for found in ("ok    Kubernetes: v1.33.1", "ok    node pool for train-model", "ok    image team/training"):
        assert found in said
