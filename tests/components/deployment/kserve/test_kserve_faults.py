"""Rollouts on a cluster whose API fails, and runs that are killed or meet another one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from kserve_cluster import STEPS, WHERE, deploy, is_serving, only
from kube_stand_in import Cluster, Fault

from mainspring.components.common import kubernetes_api as api
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import objects, record, target
from mainspring.components.deployment.kserve.objects import Version
from mainspring.components.deployment.rollouts import Plan, RolloutFailed

FAULTS = {
    "429": lambda: [Fault(status=429, after="1", times=3)],
    "500": lambda: [Fault(status=500, times=4)],
    "resets": lambda: [Fault(drop="before", times=3), Fault(drop="before", times=2, matching="PATCH|PUT|POST")],
    "answers lost": lambda: [Fault(drop="after", times=2, matching="PATCH|PUT|configmaps$")],
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_rollout_survives_an_api_that_fails_in_passing(cluster, version, fault):
    deploy(version(1))
    cluster.faults = FAULTS[fault]()
    deploy(version(2))
    assert not any(each.times for each in cluster.faults), "they were met"
    assert is_serving(cluster, version(2))


def test_an_expired_token_is_read_anew(cluster, version, tmp_path):
    deploy(version(1))
    connection = api.connect()
    cluster.token = "newer"
    with pytest.raises(UserError, match="401"):
        connection.get(objects.path(WHERE))
    (tmp_path / "token").write_text("newer")
    assert connection.get(objects.path(WHERE))["kind"] == "InferenceService"


def test_an_api_that_never_answers_is_one_line_and_changes_nothing(cluster, version, limits):
    deploy(version(1))
    limits(api, PATIENCE_SECONDS=0.1)
    cluster.faults = [Fault(status=500, times=10_000)]
    with pytest.raises(UserError, match=r"Kubernetes API: GET .*500: in passing"):
        deploy(version(2))
    cluster.faults = []
    assert is_serving(cluster, version(1))


RECORD = "/api/v1/namespaces/team/configmaps/mainspring-flights"


def is_write(named: str) -> bool:
    """Whether a call changes something: between two of those, a run has nothing that could be lost."""
    return bool(re.match(r"(PATCH|PUT|POST|DELETE) .*/(inferenceservices|configmaps)", named))


class EverySecond:
    """Matches each write's first attempt."""

    def __init__(self) -> None:
        self.writes = 0

    def search(self, named: str) -> bool:
        self.writes += is_write(named)
        return is_write(named) and self.writes % 2 == 1


def test_a_conflict_at_every_write_of_a_rollout_is_no_reason_to_stop(cluster, version):
    fault = Fault(status=409, times=10_000)
    fault.matching = conflicts = EverySecond()
    cluster.faults = [fault]
    deploy(version(1))
    deploy(version(2))
    assert conflicts.writes > 20, "each of them was met"
    assert is_serving(cluster, version(2))


class Apart:
    """Runs orders in a process that is killed once the cluster has done a write and before it is told."""

    def __init__(self, cluster: Cluster, kubeconfig: Path, runner: subprocess.Popen[str]) -> None:
        self.cluster, self.kubeconfig, self.runner = cluster, kubeconfig, runner
        self.pid, self.started, self.signal = 0, threading.Event(), signal.SIGKILL

    def deploy(self, version: Version, percents: tuple[float, ...], writes: int) -> int:
        """Returns the exit status of a deployment that is killed after so many writes; positive: it ended before."""
        policy = {"ready_seconds": 30.0}
        return self.run({"version": asdict(version), "percents": percents, "policy": policy}, writes)

    def run(self, order: dict[str, object], writes: int) -> int:
        """Returns the exit status of an order (`run_apart`) that is killed after so many writes."""
        done, handle = 0, self.cluster.handle
        self.started.clear()

        def killing(method, path, query, body):
            nonlocal done
            answer = handle(method, path, query, body)
            is_done = is_write(f"{method} {path}") and "dryRun" not in query
            done += is_done
            if done == writes and is_done:
                assert self.started.wait()
                os.kill(self.pid, self.signal)
            return answer

        self.cluster.handle = killing
        self.runner.stdin.write(json.dumps(order | {"kubeconfig": str(self.kubeconfig)}) + "\n")
        self.runner.stdin.flush()
        self.pid = int(self.runner.stdout.readline())
        self.started.set()
        status = int(self.runner.stdout.readline())
        self.cluster.handle = handle
        return status


@pytest.fixture(scope="module")
def runner():
    command = [sys.executable, str(Path(__file__).with_name("run_apart.py"))]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as running:
        yield running
        running.stdin.close()
        assert running.wait() == 0


@pytest.fixture
def apart(cluster, runner, tmp_path):
    return Apart(cluster, tmp_path / "kubeconfig", runner)


def recorded(cluster) -> dict:
    return json.loads(cluster.objects[RECORD]["data"]["record.json"])


def lease_runs_out(cluster):
    cluster.objects[RECORD]["data"]["record.json"] = json.dumps(recorded(cluster) | {"until": 0.0})


def test_a_run_killed_after_any_write_is_put_right_by_the_next(cluster, version, apart):
    plan, number, writes, blessed = STEPS[cluster.mode].percents, 1, 0, {version(1).uri}
    deploy(version(1))
    while True:
        writes, number = writes + 1, number + 1
        blessed.add(version(number).uri)
        status = apart.deploy(version(number), plan, writes)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        assert sum(cluster.seen[-1].values()) == 100, "somebody serves everything, though nobody leads"
        if (writes + (cluster.mode == "Knative")) % 2:
            # A run of another version takes it back or finishes it, once the dead one's lease has run out.
            lease_runs_out(cluster)
            number += 1
            blessed.add(version(number).uri)
        deploy(version(number), Plan(plan, 0.0))
        assert is_serving(cluster, version(number))
    assert writes > 8, "every write was tried"
    assert all(sum(share.values()) == 100 and set(share) <= blessed for share in cluster.seen), "never neither"


def test_a_version_that_failed_never_serves_whenever_its_run_is_killed(cluster, version, apart):
    """The judge says no; the run is killed while it takes the version back, and the next one deploys it again."""
    deploy(version(1))
    writes = 0
    while True:
        writes += 1
        unfit = version(writes + 1)
        cluster.shift[unfit.uri] = 1.0
        status = apart.deploy(unfit, STEPS[cluster.mode].percents, writes)
        if status == 1:
            break
        assert status == -signal.SIGKILL
        lease_runs_out(cluster)
        with pytest.raises(RolloutFailed):
            deploy(unfit)
        assert is_serving(cluster, version(1))
    assert writes > 4, "every write was tried"
    assert is_serving(cluster, version(1))
    assert all(share == only(version(1)) for share in cluster.seen), "it never had traffic"


def test_a_rollback_killed_after_any_write_is_put_right_by_the_next_and_goes_no_further(cluster, version, apart):
    first, second, third = version(1), version(2), version(3)
    for each in (first, second, third):
        deploy(each, Plan((0.0, 100.0), 0.0))
    began, writes = len(cluster.seen), 0
    while True:
        writes += 1
        status = apart.run({}, writes)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        assert sum(cluster.seen[-1].values()) == 100, "somebody serves everything, though nobody leads"
        lease_runs_out(cluster)
        if not (is_serving(cluster, second) and not recorded(cluster)["candidate"]):
            assert target.rollback(WHERE)[0] == second
        assert is_serving(cluster, second)
        assert [gone["version"] for gone in recorded(cluster)["withdrawn"]] == [3]
        assert target.rollback(WHERE, to=3)[0] == third
    assert writes > 5, "every write was tried"
    assert is_serving(cluster, second)
    assert all(sum(share.values()) == 100 for share in cluster.seen[began:])
    assert all(set(share) <= {second.uri, third.uri} for share in cluster.seen[began:]), "never neither, nor the first"


def test_a_run_that_is_cancelled_after_any_write_takes_its_version_back_and_leaves_nothing(cluster, version, apart):
    """SIGTERM, as Kubernetes sends it; what a run says is its last line."""
    deploy(version(1))
    apart.signal, writes = signal.SIGTERM, 0
    while True:
        writes += 1
        coming = version(writes + 1)
        if apart.deploy(coming, STEPS[cluster.mode].percents, writes) == 0:
            break
        settled = recorded(cluster)
        assert settled["candidate"] is None or settled["until"] == 0.0, "the next run need not wait"
        assert set(cluster.services()) == {"flights"}
        assert target.champion(WHERE)[0] in (1, coming.number)
        deploy(version(1))
    assert writes > 5, "every write was tried"


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_a_first_version_that_does_not_come_up_leaves_no_service(cluster, version):
    cluster.broken.add(version(1).uri)
    with pytest.raises(UserError, match="does not start"):
        deploy(version(1))
    assert cluster.services() == {}
    deploy(version(2))
    assert is_serving(cluster, version(2))


def test_two_runs_at_once_follow_each_other_or_one_is_told(cluster, version, limits):
    deploy(version(1))
    limits(LOCK_SECONDS=0.1)
    connection = api.connect()
    held = record.read(connection, WHERE)
    record.write(connection, WHERE, held, held.record)
    with pytest.raises(record.Overtaken, match="another run changes it at the same moment"):
        record.write(connection, WHERE, held, record.Record())
    held = record.read(connection, WHERE)
    busy = record.Record(champion=held.record.champion, candidate=version(7), holder="other", until=2e9)
    record.write(connection, WHERE, held, busy)
    with pytest.raises(UserError, match="another run has been rolling out version 7"):
        deploy(version(2))
    assert cluster.seen[-1] == only(version(1))
