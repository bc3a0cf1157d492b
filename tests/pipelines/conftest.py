"""What the pipeline tests share: the command line as a process, and small sets of real data."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mainspring.pipelines import environments
from mainspring.pipelines.examples import flights
from tests import run_in_environments, warm, warm_client

MAINSPRING = str(Path(sys.executable).parent / "mainspring")
QUERY = "SELECT * EXCLUDE (year, flight, arr_delay), arr_delay > 15 AS late FROM source WHERE arr_delay IS NOT NULL"

SERVE = """
import os, sys
sys.path += sys.argv[1].split(":")
from gcs_server import google_storage
with google_storage():
    print(os.environ["STORAGE_EMULATOR_HOST"], flush=True)
    sys.stdin.read()
"""
WARM = "MAINSPRING_TESTS_WARM"
"""Names the folder of this run's warm interpreters."""

Mainspring = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure(config: pytest.Config) -> None:
    """Starts the switchboard of warm interpreters that all workers of this run of pytest share, once there are any."""
    if WARM in os.environ or not all(environments.environment(name).is_ready for name in environments.FOLDERS):
        return
    stack = contextlib.ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warm-")))
    serving = str(environments.environment("serving").python)
    running = stack.enter_context(warm.running(folder, serving, environments.task_variables()))
    names = [environments.environment(name).path.name for name in environments.FOLDERS]
    warm.environments_in(folder / "environments", environments.base_folder(), names, running)
    os.environ[WARM] = str(folder)
    stack.callback(os.environ.pop, WARM)
    config.add_cleanup(stack.close)


@pytest.fixture(scope="session")
def mainspring() -> Mainspring:
    """Runs the command line in a warm process of its own and returns what it printed; `anew`: all in new ones."""
    folder = Path(os.environ.get(WARM, ""))
    running = warm.Warm.in_folder(folder)
    made = {environments.ENVIRONMENTS_VARIABLE: str(folder / "environments")}
    given = made | {"MAINSPRING_SERVING_SOCKET": running.servers}

    def run(*arguments: str | Path, cwd: Path | None = None, anew: bool = False) -> subprocess.CompletedProcess[str]:
        command = [MAINSPRING, *map(str, arguments)]
        if anew or WARM not in os.environ:
            return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:
            descriptors = {0: nothing.fileno(), 1: out.fileno(), 2: err.fileno()}
            where = {"variables": dict(os.environ) | given, "folder": str(cwd or Path.cwd())}
            module = "mainspring.pipelines.cli:main"
            status = warm_client.call(running.calls, sys.executable, module, command[1:], descriptors, **where)
            said = [file.read().decode() for file in (out, err) if file.seek(0) == 0]
        return subprocess.CompletedProcess(command, status, *said)

    return run


@pytest.fixture(scope="session")
def flights_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """January to April and a poisoned May, every sixth flight: small enough to train on in seconds."""
    whole, sample = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("sample")
    flights.write_months(whole)
    flights.write_poisoned(whole, 5)
    for month in range(1, 6):
        name = f"flights-2013-{month:02d}.parquet"
        duckdb.execute(f"COPY (FROM '{whole / name}' WHERE flight % 6 < 2) TO '{sample / name}' (FORMAT parquet)")
    return sample


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, mainspring: Mainspring) -> Iterator[Path]:
    """A local root whose endpoints are stopped at the end."""
    folder = tmp_path_factory.mktemp("root")
    yield folder
    mainspring("endpoints", "stop", "--all", "--root", folder)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket; its server comes with the components' test tools and is not in the authoring environment."""
    environments.ensure(["deployment"], print)
    env = environments.environment("deployment")
    paths = f"{run_in_environments.tools(env)}:{run_in_environments.TESTS}"
    command = [str(env.python), "-c", SERVE, paths]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.stdout.readline().strip())
        from google.cloud import storage

        name = f"b{uuid.uuid4().hex}"
        storage.Client(project=None).create_bucket(name)
        try:
            yield f"gs://{name}"
        finally:
            server.stdin.close()
            server.wait()


def summary_of(path: Path) -> dict[str, Any]:
    """Returns a run's summary with the tasks by name."""
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["tasks"] = {task["name"]: task for task in summary["tasks"]}
    return summary
