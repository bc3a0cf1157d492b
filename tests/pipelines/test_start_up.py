"""Compiling and the commands that talk to a cluster are quick enough to be done at every change."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.pipelines import environments

from .conftest import MAINSPRING
from .kfp_server import running_server

CODE = """
import json, time
import kfp, kfp.dsl, kfp.compiler, kfp.kubernetes
from mainspring.pipelines import catalogue, compiling
sizes = {name: len(compiling.compiled(catalogue.load(name))) for name in catalogue.BUILT_IN}
largest = max(sizes, key=sizes.get)
pipeline = catalogue.load(largest)
start = time.perf_counter()
compiling.compiled(pipeline)
print(json.dumps(time.perf_counter() - start))
"""


def test_the_largest_pipeline_compiles_within_a_second_of_kfps_import() -> None:
    runs = [
        json.loads(subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(runs) < 1


SUBMIT = ("submit", "continuous_training", "-p", "source=s", "-p", "label=l", "-p", "target=kserve://team/x")
PLAN = ("schedule", "plan", str(Path(environments.PIPELINES) / "examples" / "schedules.yaml"))
DOCTOR = ("doctor", "--no-cluster")


@pytest.mark.parametrize("command", [SUBMIT, PLAN, DOCTOR], ids=["submit", "plan", "doctor"])
def test_the_clusters_commands_take_less_than_three_seconds(command: tuple[str, ...]) -> None:
    # Processor time: they wait for nothing but the server, and other tests may share the machine.
    seconds = []
    with running_server() as server:
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run([MAINSPRING, *command, "--host", server.url], capture_output=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            assert b"Traceback" not in done.stderr
    assert min(seconds) < 3
