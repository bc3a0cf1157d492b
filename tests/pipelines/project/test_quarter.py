"""A quarter of daily runs of a team's `mainspring.yaml`, with all that goes wrong: its history is known beforehand."""

from __future__ import annotations

import http.server
import io
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mainspring.components.common import leases
from mainspring.components.deployment.local import local_target
from mainspring.pipelines import environments
from mainspring.pipelines.engines import process
from mainspring.pipelines.engines.one_at_a_time import alone_at_target
from mainspring.pipelines.engines.progress import PlainProgress
from mainspring.pipelines.events.arrivals import Arrival
from mainspring.pipelines.events.queue import Queue, Started
from mainspring.pipelines.history import lineage, records
from mainspring.pipelines.parameters import typed_arguments
from mainspring.pipelines.project import in_environment
from tests.pipelines.conftest import MAINSPRING
from tests.thorough import IS_WHOLE

LIGHT_SERVER = Path(__file__).parents[2] / "components" / "deployment" / "light_server.py"
REPOSITORY = Path(__file__).parents[3]
FIRST = date(2026, 1, 1)
DAYS = 90 if IS_WHOLE else 10
TARGET = "local://flights"
ANN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtQUDZWhs8k/cZcykMkaoX7ZE7DXld8TP79HyddNVTS ann"

FAULTS: dict[int, dict[str, Any]] = {
    3: {"preempt": True},
    4: {"valid": False},
    5: {"auc": 0.5},
    6: {"unfit": True},
    8: {"late": True},
    9: {"ask": True},
}
"""By the day of the month: what is wrong with it. On all others a better model is trained."""

PROJECT = """
project: team
pipelines:
  training:
    pipeline: tests.pipelines.project.quarter_pipeline:small_loop
    parameters:
      source: SOURCE
      memory: MEMORY
      approvers: "ann: ANN"
schedules:
  daily: {pipeline: training, cron: "0 3 * * *", parameters: {scheduled_time: due}}
environments:
  prod:
    parameters: {target: "local://flights", to: [WEBHOOK]}
"""


def expected(days: int) -> tuple[list[tuple[str, str, int]], list[tuple[str, str]]]:
    """Returns what a person writes down beforehand: the runs (day, status, version), and what people are told."""
    runs: list[tuple[str, str, int]] = []
    told: list[tuple[str, str]] = []
    published, trouble = 0, ""

    def tell(day: str, state: str) -> None:
        nonlocal trouble
        if state:
            told.append((day, state))
        elif trouble:
            told.append((day, "SUCCEEDED"))
        trouble = state

    for number in range(days):
        moment = FIRST + timedelta(days=number)
        day, fault = moment.isoformat(), FAULTS.get(moment.day, {})
        if fault.get("preempt"):
            runs.append((day, "interrupted", 0))
        if fault.get("late"):
            runs.append((day, "skipped", 0))
            tell(day, "REFUSED")
        if fault.get("valid") is False or "auc" in fault or fault.get("ask"):
            runs.append((day, "refused", 0))
            tell(day, "FAILED")
        elif fault.get("unfit"):
            published += 1  # Published, tried and not served.
            runs.append((day, "failed", 0))
            tell(day, "FAILED")
        else:
            published += 1
            runs.append((day, "succeeded", published))
            tell(day, "")
    return runs, told


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", got
        server.shutdown()


class Team:
    """A team's folder, its loop, and what became of it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.data, self.root = folder / "data", folder / "root"
        self.data.mkdir()
        places = {"SOURCE": f"{self.data}/{{YYYY}}-{{MM}}-{{DD}}.json", "MEMORY": str(folder / "memory")}
        text = PROJECT
        for word, value in (places | {"ANN": ANN, "WEBHOOK": url}).items():
            text = text.replace(word, value)
        (folder / "mainspring.yaml").write_text(text)
        self.folder, self.url = folder, url
        self.spec = in_environment.load("training@prod", str(folder / "mainspring.yaml")).pipeline_spec
        self.days: list[str] = []

    def put(self, day: date) -> None:
        """Writes a day's file, as whoever delivers it does."""
        better = {"auc": 0.6 + 0.001 * (day - FIRST).days}
        (self.data / f"{day}.json").write_text(json.dumps(better | FAULTS.get(day.day, {})))

    def run(self, day: str, **given: Any) -> Any:
        """Makes one run here."""
        self.days.append(day)
        arguments = typed_arguments(self.spec, given)
        with alone_at_target(self.spec, arguments, self.root, print, leases.FAIL):
            return process.run_here(self.spec, arguments, self.root, PlainProgress(Console(file=io.StringIO())))

    def run_that_is_killed(self, day: str, due: str) -> None:
        """Makes a run in a process of its own, which the day's step kills."""
        self.days.append(day)
        command = [MAINSPRING, "run", "training@prod", "-p", f"scheduled_time={due}", "--root", str(self.root)]
        paths = f"{self.folder}:{REPOSITORY}"
        environment = os.environ | {"PYTHONPATH": paths}
        run = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        (self.data / "victim").write_text(str(run.pid))
        assert run.wait() == -9


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Team, list[dict[str, Any]]]]:
    """A team whose model servers start at once, behind the real front."""
    environments.ensure(["ingestion", "deployment", "serving"], print)
    real, wrapper = environments.environment("serving").python, tmp_path / "python"
    deployment = environments.environment("deployment").python
    wrapper.write_text(
        f'#!/bin/sh\ncase "$2" in *.front) exec {real} "$@";; esac\nexec {deployment} {LIGHT_SERVER} "$@"\n'
    )
    wrapper.chmod(0o755)
    variables = environments.task_variables
    light = {"MAINSPRING_SERVING_PYTHON": str(wrapper)}
    monkeypatch.setattr(environments, "task_variables", lambda: variables() | light)
    monkeypatch.setenv("MAINSPRING_ROOT", str(tmp_path / "root"))
    monkeypatch.syspath_prepend(str(REPOSITORY))
    with webhook() as (url, got):
        yield Team(tmp_path, url), got
    local_target.stop_all()


def test_a_quarter_ends_as_a_person_wrote_down_beforehand(team: tuple[Team, list[dict[str, Any]]]) -> None:
    loop, got = team
    told: list[str] = []

    def noted(day: str) -> None:
        told.extend([day] * (len(got) - len(told)))

    def arrive(span: str) -> Started:
        result = loop.run(span, span=span)
        return Started(result.folder.name, result.is_success)

    arrivals = Queue(str(loop.folder / "events"), arrive, lambda line: None)
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        due = datetime.combine(day + timedelta(days=1), datetime.min.time(), timezone.utc) + timedelta(hours=3)
        fault, time = FAULTS.get(day.day, {}), due.isoformat()
        if not fault.get("late"):
            loop.put(day)
        if fault.get("preempt"):
            loop.run_that_is_killed(day.isoformat(), time)
        loop.run(day.isoformat(), scheduled_time=time)
        noted(day.isoformat())
        if fault.get("late"):
            loop.put(day)
            arrival = Arrival(str(loop.data / f"{day}.json"), "etag")
            assert arrivals.accept(arrival, day.isoformat())
            arrivals.wait_until_idle()
            assert not arrivals.accept(arrival, day.isoformat()), "a duplicate event starts nothing"
            noted(day.isoformat())
    arrivals.close()

    runs, news = expected(DAYS)
    history = records.all_runs(loop.root)[::-1]
    assert len(history) == len(loop.days)
    made = [(day, run.status, run.outcome.version) for day, run in zip(loop.days, history, strict=True)]
    assert made == runs
    assert [(day, each["state"].partition(" ")[0]) for day, each in zip(told, got, strict=True)] == news
    served = local_target.champion("flights")
    last = max(version for _, _, version in runs)
    assert served is not None
    assert served[0] == last
    found = lineage.explain(TARGET, 0, loop.root)
    assert found.run == next(run.run for run in history if run.outcome.version == last)
    assert f"<h2>auc of {TARGET}</h2>" in (loop.root / "runs.html").read_text()
