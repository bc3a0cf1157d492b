"""Live requests to a real endpoint, its payload log judged, and a retraining in the same run where that pays."""

from __future__ import annotations

import inspect
import json
import shutil
import time
import urllib.request
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mainspring.pipelines.compiling import catalogue
from mainspring.pipelines.examples import live_flights

from .conftest import QUERY, Mainspring, summary_of

WITHOUT_DATES = QUERY.replace("year, flight", "year, month, day, flight, seats, tailnum")
FEATURES = "weekday, sched_dep_time, sched_arr_time, carrier, origin, dest, distance, plane_year"
POLICY = "limits: {min_requests: 20, min_rows: 300}\nretrain: {min_requests: 20, causes: [skew]}"


class Live:
    """An endpoint that serves January and February, and requests to it."""

    def __init__(self, mainspring: Mainspring, sample: Path, root: Path) -> None:
        self.mainspring, self.sample, self.root, self.sent = mainspring, sample, root, 0

    def run(self, pipeline: str, *arguments: str) -> dict[str, Any]:
        """Runs a pipeline with parameters, `name=value` each, in place of the usual ones."""
        summary = self.root / "summary.json"
        summary.unlink(missing_ok=True)
        given = {
            "target": "local://live",
            "source": f"{self.sample}/flights-2013-{{SPAN}}.parquet",
            "query": WITHOUT_DATES,
            **{"label": "late", "span": "2", "window": "2", "max_epochs": "1"},
        }
        given |= dict(one.split("=", 1) for one in arguments)
        asked = [text for name, value in given.items() for text in ("-p", f"{name}={value}")]
        self.done = self.mainspring("run", pipeline, "--root", self.root, "--summary", summary, *asked)
        assert summary.is_file(), self.done.stdout + self.done.stderr
        return summary_of(summary)

    def send(self, columns: str = FEATURES) -> None:
        """Asks for flights of all days of March, ten at a time."""
        listed = json.loads(self.mainspring("endpoints", "list", "--json", "--root", self.root).stdout)
        query = f"SELECT {columns} FROM '{self.sample}/flights-2013-03.parquet' QUALIFY row_number() OVER () % 9 = 0"
        rows = duckdb.sql(f"{query} LIMIT 800").fetchall()
        instances = [dict(zip(FEATURES.split(", "), row, strict=True)) for row in rows]
        for start in range(0, len(instances), 10):
            body = json.dumps({"instances": instances[start : start + 10]}).encode()
            headers = {"Content-Type": "application/json", "Ce-Id": f"request-{self.sent}"}
            urllib.request.urlopen(urllib.request.Request(listed[0]["url"], body, headers), timeout=300).read()
            self.sent += 1

    def log(self, name: str) -> Path:
        """Takes the payload log away, as a rotation does, once all that was sent is in it."""
        payloads = self.root / "endpoints" / "live" / "payloads"
        assert live_flights.wait_for_log(payloads, 2 * self.sent, time.sleep) >= 2 * self.sent
        self.sent = 0
        return Path(shutil.move(payloads, self.root / name))

    def monitor(self, logs: Path, day: int, *arguments: str) -> dict[str, Any]:
        common = (f"logs={logs}", f"as_of=2013-04-{day:02d}", f"monitoring_policy={POLICY}")
        return self.run("continuous_monitoring", *common, *arguments)


@pytest.fixture(scope="module")
def live(mainspring: Mainspring, flights_sample: Path, root: Path) -> Live:
    live = Live(mainspring, flights_sample, root)
    assert live.run("continuous_training")["status"] == "succeeded"
    return live


def test_traffic_like_the_training_data_keeps_the_model(live: Live) -> None:
    live.send()
    summary = live.monitor(live.log("march"), 1)
    assert live.done.returncode == 0
    assert summary["status"] == "succeeded"
    assert summary["tasks"]["decide-retraining"]["outputs"]["retrain"] is False
    assert summary["tasks"]["train-model"]["state"] == "skipped"
    assert summary["tasks"]["monitor-endpoint"]["outputs"]["requests"] >= 80
    decision = json.loads((live.root / "monitoring/live/decisions/20130401T000000Z.json").read_text())
    assert decision["reason"] == "nothing that a new model would mend was found"


def test_traffic_unlike_it_is_trained_on_in_the_same_run(live: Live) -> None:
    live.send(FEATURES.replace("distance", "distance * 2 AS distance"))
    logs = live.log("kilometres")
    summary = live.monitor(logs, 8, "span=3", "window=1", "on_refusal=skip")
    assert live.done.returncode == 0, live.done.stdout + live.done.stderr
    assert summary["tasks"]["decide-retraining"]["outputs"]["retrain"] is True
    assert "distance" in summary["tasks"]["decide-retraining"]["outputs"]["reason"]
    assert summary["tasks"]["ingest-examples"]["state"] == "succeeded"
    assert summary["tasks"]["validate-examples"]["state"] == "succeeded"


def test_nothing_served_is_one_line(live: Live) -> None:
    summary = live.monitor(live.root, 9, "target=local://nobody")
    assert live.done.returncode == 1
    assert "nothing is served yet" in summary["error"]
    assert "Traceback" not in live.done.stdout + live.done.stderr


def test_it_takes_every_parameter_of_continuous_training() -> None:
    training, monitoring = (
        inspect.signature(catalogue.load(name).pipeline_func).parameters
        for name in ("continuous_training", "continuous_monitoring")
    )
    assert set(training) <= set(monitoring)
    assert {name: training[name].default for name in training} == {name: monitoring[name].default for name in training}
