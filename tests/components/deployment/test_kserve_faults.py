"""Rollouts on a cluster whose API fails, and runs that are killed or meet another one."""

from __future__ import annotations

import json

import pytest
from kserve_cluster import WHERE, deploy, is_serving, only
from kube_stand_in import Fault

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import api, objects, record
from mainspring.components.deployment.rollouts import Plan

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


def test_an_api_that_never_answers_is_one_line_and_changes_nothing(cluster, version):
    deploy(version(1))
    cluster.faults = [Fault(status=500, times=10_000)]
    with pytest.raises(UserError, match=r"Kubernetes API: GET .*500: in passing"):
        deploy(version(2))
    cluster.faults = []
    assert is_serving(cluster, version(1))


class Killed(BaseException):
    pass


RECORD = "/api/v1/namespaces/team/configmaps/mainspring-flights"
KILLS = 6
"""Places at which a run is killed, spread over all its calls."""


def test_a_run_killed_at_any_call_leaves_a_service_that_the_next_run_puts_right(cluster, version, monkeypatch):
    call, calls, last = api.Api.call, [], [10**9]

    def counted(self, method, path, *rest, **more):
        calls.append(path)
        if len(calls) == last[0] and last[0] % 2:
            raise Killed
        answer = call(self, method, path, *rest, **more)
        if len(calls) == last[0]:
            raise Killed  # After it was done, before anybody heard of it.
        return answer

    deploy(version(1))
    monkeypatch.setattr(api.Api, "call", counted)
    plan = Plan((0.0, 50.0, 100.0), 0.0)
    deploy(version(2), plan)
    total, known = len(calls), {1: version(1), 2: version(2)}
    for kill in range(KILLS):
        calls.clear()
        last[0] = 12 + kill * (total - 14) // KILLS
        number = max(known) + 1
        known[number] = version(number)
        with pytest.raises(Killed):
            deploy(known[number], plan)
        last[0] = 10**9
        if kill % 2:
            # A run of another version takes it back, once the lease of the one that is gone has run out.
            content = json.loads(cluster.objects[RECORD]["data"]["record.json"])
            cluster.objects[RECORD]["data"]["record.json"] = json.dumps(content | {"until": 0.0})
            number += 1
            known[number] = version(number)
        deploy(known[number], plan)
        assert is_serving(cluster, known[number])
    uris = {each.uri for each in known.values()}
    assert all(sum(share.values()) == 100 and set(share) <= uris for share in cluster.seen), "never neither"


def test_two_runs_at_once_follow_each_other_or_one_is_told(cluster, version):
    deploy(version(1))
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
