"""What the pipeline tests share: the command line as a process, and small sets of real data."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mainspring.pipelines import environments
from mainspring.pipelines.examples import flights
from tests import run_in_environments

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

Mainspring = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def mainspring() -> Mainspring:
    """Runs the command line in its own process and returns what it printed."""

    def run(*arguments: str | Path, cwd: Path | None = None, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        command = [MAINSPRING, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=seconds, check=False)

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
