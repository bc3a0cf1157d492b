from __future__ import annotations

import functools
import json
import math
import shutil
from pathlib import Path

import pytest
import yaml
from kube_stand_in import TOKEN, Cluster, Fault

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import model_servers, processes, targets
from mainspring.components.deployment.kserve import api, lead, objects, policy, reach, record, rollouts, target, waiting
from mainspring.components.deployment.kserve.objects import Version
from mainspring.components.deployment.rollouts import Plan, RolloutFailed

WHERE = targets.parse("kserve://team/flights")
STEPS = Plan((0.0, 10.0, 50.0, 100.0), 0.05)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for module, name, value in (
        (waiting, "POLL_SECONDS", 0.02),
        (waiting, "HOPELESS_SECONDS", 0.1),
        (reach, "PATIENCE_SECONDS", 0.5),
        (reach, "PAIRS", 3),
        (rollouts, "POLL_SECONDS", 0.02),
        (rollouts, "CREATE_SECONDS", 3.0),
        (api, "LONGEST_PAUSE", 0.05),
        (api, "PATIENCE_SECONDS", 3.0),
        (lead, "LOCK_SECONDS", 1.0),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.fixture(params=["Standard", "Knative"])
def mode(request) -> str:
    return request.param


@pytest.fixture
def cluster(mode, tmp_path, monkeypatch):
    with Cluster(mode).running() as running:
        (tmp_path / "token").write_text(TOKEN)
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{running.port}"}}],
            "users": [{"name": "u", "user": {"tokenFile": str(tmp_path / "token")}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield running


@pytest.fixture
def version(tmp_path):
    """A published version with held-out rows, as far as a rollout reads it."""

    @functools.cache
    def make(number: int) -> Version:
        folder = tmp_path / "models" / "flights" / str(number)
        (folder / "evaluation").mkdir(parents=True, exist_ok=True)
        rows = [{"x": float(x)} for x in range(5)]
        replay = {"instances": rows, "predictions": [2 * row["x"] for row in rows]}
        (folder / "evaluation" / "replay.json").write_text(json.dumps(replay))
        manifest = {
            "name": "flights",
            "version": number,
            "model_fingerprint": f"sha256:{number}",
            "examples_fingerprint": "",
            "baseline": "",
            "replaces": 0,
            "created": "",
            "files": {},
        }
        (folder / "version.json").write_text(json.dumps(manifest))
        return Version(number, str(folder), f"sha256:{number}")

    return make


def deploy(version: Version, plan: Plan = STEPS, **changes: object) -> str:
    settings = policy.ServingPolicy(**{"reach": "api", "runtime": "", "ready_seconds": 3.0, **changes})
    return target.deploy(WHERE, version, settings, plan)


def only(version: Version) -> dict[str, int]:
    return {version.uri: 100}


def is_serving(cluster: Cluster, version: Version) -> bool:
    return cluster.seen[-1] == only(version) and target.champion(WHERE) == (version.number, version.uri)


def test_a_version_gets_its_traffic_step_by_step(cluster, version):
    url = deploy(version(1))
    assert url == "http://flights.team.example.com/v1/models/flights:predict"
    assert is_serving(cluster, version(1))
    deploy(version(2))
    shares = [share.get(version(2).uri, 0) for share in cluster.seen]
    assert shares == [0, 10, 50, 100]
    assert is_serving(cluster, version(2))
    assert target.needed(WHERE) == {version(1).uri, version(2).uri}


def test_what_serves_already_is_left_as_it_is(cluster, version):
    deploy(version(1))
    before = len(cluster.seen)
    deploy(version(1))
    assert len(cluster.seen) == before


def test_a_version_that_predicts_otherwise_than_evaluation_is_taken_back_and_withdrawn(cluster, version):
    deploy(version(1))
    cluster.shift[version(2).uri] = 0.5
    with pytest.raises(RolloutFailed, match="version 2 is taken back at 0 % of the traffic: 5 of 5 rows are not"):
        deploy(version(2))
    assert is_serving(cluster, version(1))
    assert {uri for share in cluster.seen for uri in share} == {version(1).uri}, "it never had traffic"
    (gone,) = target.withdrawn(WHERE)
    assert (gone.version, gone.uri) == (2, version(2).uri)


def test_a_version_that_turns_bad_under_traffic_is_taken_back(cluster, version, monkeypatch):
    deploy(version(1))
    judge = rollouts._judge

    def turning(*arguments):
        if arguments[4] == 50:
            cluster.shift[version(2).uri] = 1.0
        return judge(*arguments)

    monkeypatch.setattr(rollouts, "_judge", turning)
    with pytest.raises(RolloutFailed, match="at 50 %"):
        deploy(version(2))
    assert is_serving(cluster, version(1))
    assert max(share.get(version(2).uri, 0) for share in cluster.seen) == 50, "taking back gave it no more"


def test_a_slower_version_is_taken_back(cluster, version):
    deploy(version(1))
    cluster.slow[version(2).uri] = 0.3
    with pytest.raises(RolloutFailed, match="a held-out row takes"):
        deploy(version(2))
    assert is_serving(cluster, version(1))


def test_a_version_that_does_not_start_is_one_line_with_its_log_and_the_champion_stays(cluster, version):
    deploy(version(1))
    cluster.broken.add(version(2).uri)
    cluster.logs["kserve-container"] = "loading\nNot found: no SavedModel in /mnt/models/2"
    with pytest.raises(
        UserError, match=r"version 2: does not start: container kserve-container: CrashLoop.*no SavedModel"
    ):
        deploy(version(2))
    assert is_serving(cluster, version(1))
    deploy(version(3))
    assert is_serving(cluster, version(3))


def test_a_full_quota_is_said_with_its_event(cluster, version):
    deploy(version(1))
    cluster.ready_seconds = 60.0
    name = "flights-v2-predictor-abc" if cluster.mode == "Standard" else "flights-predictor-00002"
    message = 'pods "x" is forbidden: exceeded quota: team, requested: cpu=1'
    cluster.events.append({"reason": "FailedCreate", "message": message, "involvedObject": {"name": name}})
    cluster.born[version(1).uri] = -100.0
    with pytest.raises(UserError, match="exceeded quota: team"):
        deploy(version(2))
    assert is_serving(cluster, version(1))


def test_a_rollback_serves_the_version_before_and_withdraws_the_other(cluster, version):
    deploy(version(1))
    deploy(version(2), min_replicas=2, resources={"limits": {"cpu": "1"}})
    chosen, _, replaced = target.rollback(WHERE, None, 0, "it lied")
    predictor = cluster.service()["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["model"]["resources"]) == (2, {"limits": {"cpu": "1"}}), "as it was"
    assert (chosen.number, replaced) == (1, 2)
    assert is_serving(cluster, version(1))
    assert [(gone.version, gone.reason) for gone in target.withdrawn(WHERE)] == [(2, "it lied")]


def test_what_people_set_stays(cluster, version):
    deploy(version(1))
    path = objects.path(WHERE)
    people = {"metadata": {"annotations": {"team/owner": "ann"}}, "spec": {"predictor": {"maxReplicas": 7}}}
    cluster.people[path] = people
    deploy(version(2), min_replicas=2)
    found = cluster.objects[path]
    assert found["metadata"]["annotations"]["team/owner"] == "ann"
    assert found["spec"]["predictor"]["maxReplicas"] == 7
    assert found["spec"]["predictor"]["minReplicas"] == 2
    assert all("maxReplicas" not in body["spec"]["predictor"] for body in cluster.applied)


def test_the_service_says_which_version_and_where_its_files_are(cluster, version):
    deploy(version(1), logger=policy.Logger("http://logs"))
    predictor = cluster.service()["spec"]["predictor"]
    assert predictor["storageUris"] == [{"uri": version(1).uri, "mountPath": "/mnt/models/1"}]
    assert predictor["annotations"]["mainspring/model-fingerprint"] == "sha256:1"
    assert predictor["logger"] == {"url": "http://logs", "mode": "all"}


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


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_real_model_servers_are_rolled_out_and_a_moody_one_is_taken_back(cluster, root, saved_models, tmp_path):
    """The same with our serving processes, whose predictions are TensorFlow's."""
    (root / "endpoints" / "flights").mkdir(parents=True)
    rows = [{"distance": float(10 * number), "carrier": "AA"} for number in range(5)]
    versions, started = {}, []
    for number, (name, shift) in enumerate({"a": 0.0, "b": 2.0, "moody": 0.0}.items(), 1):
        folder = shutil.copytree(saved_models / name, tmp_path / "models" / str(number))
        (folder / "evaluation").mkdir()
        own = [1 / (1 + math.exp(-(row["distance"] * 0.01 + shift + 1.0))) for row in rows]
        (folder / "evaluation" / "replay.json").write_text(json.dumps({"instances": rows, "predictions": own}))
        versions[number] = Version(number, str(folder), f"sha256:{name}")

    def start(uri):
        probationer, server = model_servers.start("flights", int(Path(uri).name), uri)
        started.append(probationer)

        def port():
            there = model_servers._with_port("flights", server)
            return there.port if model_servers.is_ready("flights", there) else 0

        return port

    cluster.start = start
    try:
        deploy(versions[1], ready_seconds=120.0)
        deploy(versions[2], ready_seconds=120.0)
        assert is_serving(cluster, versions[2])
        with pytest.raises(RolloutFailed, match="rows are not predicted as in its evaluation"):
            deploy(versions[3], ready_seconds=120.0)
        assert is_serving(cluster, versions[2])
    finally:
        for probationer in started:
            probationer.release()
            processes.stop(probationer.process, 3.0)


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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cluster: cluster.groups.discard("serving.kserve.io"), "has no KServe"),
        (lambda cluster: cluster.namespaces.clear(), "there is no namespace 'team'"),
        (lambda cluster: cluster.denied.add(("patch", "inferenceservices")), "may not patch inferenceservices"),
        (lambda cluster: cluster.runtimes.clear(), "no serving runtime that takes tensorflow"),
    ],
)
def test_what_a_cluster_lacks_is_said_before_anything_is_done(cluster, version, change, says, capsys):
    change(cluster)
    with pytest.raises(UserError, match=says):
        deploy(version(1))
    assert cluster.applied == []
    if "may not" in says:
        printed = yaml.safe_load(capsys.readouterr().out)
        assert printed["kind"] == "Role"
        assert printed["rules"][0] == {
            "apiGroups": ["serving.kserve.io"],
            "resources": ["inferenceservices"],
            "verbs": ["patch"],
        }


def test_a_service_of_somebody_else_is_not_touched(cluster, version):
    path = objects.path(WHERE)
    cluster.objects[path] = {"metadata": {"resourceVersion": "1"}, "spec": {"predictor": {"name": "x"}}, "status": {}}
    cluster.reconcile = lambda: None
    with pytest.raises(UserError, match="was not deployed by Mainspring"):
        deploy(version(1))
    with pytest.raises(UserError, match="was not deployed by Mainspring"):
        target.champion(WHERE)


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_steps_are_refused_where_nothing_would_split_the_traffic(cluster, version):
    cluster.groups.discard("gateway.networking.k8s.io")
    with pytest.raises(UserError, match="use rollout=0,100"):
        deploy(version(1))
    deploy(version(1), Plan((0.0, 100.0), 0.0))
    deploy(version(2), Plan((0.0, 100.0), 0.0))
    assert is_serving(cluster, version(2))


def test_a_version_without_held_out_rows_is_not_deployed(cluster, version, tmp_path):
    deploy(version(1))
    second = version(2)
    (Path(second.uri) / "evaluation" / "replay.json").unlink()
    with pytest.raises(UserError, match="no held-out rows"):
        deploy(second)
    assert is_serving(cluster, version(1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "must be a mapping"),
        ("replicas: 2", "unknown key 'replicas'"),
        ("min_replicas: -1", "min_replicas -1"),
        ("{min_replicas: 3, max_replicas: 2}", "more than max_replicas"),
        ("mode: serverless", "must be one of auto, Knative, Standard"),
        ("logger: {mode: all}", "logger: must be"),
        ("error_query: x", "need prometheus"),
        ("reach: somewhere", "or a gateway's URL"),
        ("resources: 3", "resources: must be a mapping"),
    ],
)
def test_a_serving_policy_that_cannot_be_is_refused(text, says):
    with pytest.raises(UserError, match=says):
        policy.parse(text)
