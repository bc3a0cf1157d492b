"""One run at a time for each target, here and on a bucket; the lease of a run that was killed ends by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mainspring.components.common import buckets, leases
from mainspring.components.common.errors import RetriableError
from mainspring.pipelines.engines.one_at_a_time import alone_at_target, place_of
from tests.pipelines import small_pipelines
from tests.until import until

HOLD = """
import sys
from mainspring.components.common import leases
with leases.held(sys.argv[1], "local://flights", "the first run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def held_by_another(place: str) -> subprocess.Popen[str]:
    """Returns a process that holds a lease."""
    command = [sys.executable, "-c", HOLD, place]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    return other


def take(place: str) -> None:
    with leases.held(place, "local://flights", "the second run", if_busy=leases.FAIL):
        pass


def test_a_second_run_waits_here_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    place = str(tmp_path / "leases" / "flights.lock")
    other = held_by_another(place)
    with pytest.raises(RetriableError, match="local://flights: the first run is under way"):
        take(place)
    said: list[str] = []
    ended = threading.Event()

    def wait(seconds: float) -> None:
        other.send_signal(signal.SIGKILL)
        other.wait()
        ended.set()

    with leases.held(place, "local://flights", "the second run", say=said.append, wait=wait):
        assert ended.is_set()
        assert said == ["local://flights: waiting for the first run to end"]
    take(place)


def test_in_a_bucket_it_is_renewed_given_back_and_after_a_kill_free_in_time(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    place = f"{bucket}/models/flights/.lease.json"
    with leases.held(place, "t", "the first run"):
        first = buckets.stat(place)
        until(lambda: buckets.stat(place) != first)
        with pytest.raises(RetriableError, match="the first run is under way"):
            take(place)
    assert buckets.stat(place) is None
    other = held_by_another(place)
    other.kill()
    other.wait()
    with pytest.raises(RetriableError):
        take(place)
    monkeypatch.setattr("mainspring.components.common.leases.time.time", lambda: 4e9)
    take(place)
    assert buckets.stat(place) is None


def test_a_pipeline_holds_the_lease_of_the_target_that_it_deploys_to(tmp_path: Path) -> None:
    spec, target = small_pipelines.by_span.pipeline_spec, {"target": "local://small"}
    with alone_at_target(spec, target, tmp_path, print):
        with pytest.raises(RetriableError), alone_at_target(spec, target, tmp_path, print, leases.FAIL):
            pass
        with alone_at_target(spec, {"target": "local://other"}, tmp_path, print, leases.FAIL):
            pass
        with alone_at_target(small_pipelines.another_teams.pipeline_spec, target, tmp_path, print, leases.FAIL):
            pass
    given = {"models_root": "gs://team/models"}
    assert place_of("kserve://team/flights", given, tmp_path) == (
        "gs://team/models/flights/.lease-kserve-team-flights.json"
    )
