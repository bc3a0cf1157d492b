"""Rollouts on a cluster: by steps, judged, taken back, finished; in Standard and in Knative mode."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from kserve_cluster import WHERE, deploy, is_serving

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import objects, policy, rollouts, target
from mainspring.components.deployment.kserve.objects import Version
from mainspring.components.deployment.local import model_servers, processes
from mainspring.components.deployment.rollouts import RolloutFailed


def test_a_version_gets_its_traffic_step_by_step(cluster, version):
    url = deploy(version(1))
    assert url == "http://flights.team.example.com/v1/models/flights:predict"
    assert is_serving(cluster, version(1))
    deploy(version(2))
    shares = [share.get(version(2).uri, 0) for share in cluster.seen]
    assert shares == {"Knative": [0, 10, 50, 100], "Standard": [0, 100]}[cluster.mode]
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


@pytest.mark.parametrize("mode", ["Knative"], indirect=True)
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
    cluster.slow[version(2).uri] = 1.0
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
    name = "flights-candidate-predictor-abc" if cluster.mode == "Standard" else "flights-predictor-00002"
    message = 'pods "x" is forbidden: exceeded quota: team, requested: cpu=1'
    cluster.warn(name, "FailedCreate", message)
    cluster.warn(name, "FailedCreate", "violates PodSecurity: an earlier version's", repeats=False)
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


def test_a_rollback_that_says_which_version_must_go_goes_back_once_however_often_it_is_asked(cluster, version):
    for number in (1, 2, 3):
        deploy(version(number))
    for _ in range(2):
        chosen, _, replaced = target.rollback(WHERE, reason="late", replacing=3)
        assert (chosen.number, replaced) == (2, 3)
        assert is_serving(cluster, version(2))
        assert [gone.version for gone in target.withdrawn(WHERE)] == [3]


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
    own = [body for body in cluster.applied if body["metadata"]["name"] == "flights"]
    assert all("maxReplicas" not in body["spec"]["predictor"] for body in own)


def test_the_service_says_which_version_and_where_its_files_are(cluster, version):
    deploy(version(1), logger=policy.Logger("http://logs"))
    predictor = cluster.service()["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == f"{version(1).uri}/model/", "with a slash, or …/10 would come along"
    assert predictor["annotations"]["mainspring/model-fingerprint"] == "sha256:1"
    assert predictor["logger"] == {"url": "http://logs", "mode": "all"}


@pytest.mark.parametrize("mode", ["Knative"], indirect=True)
def test_replicas_autoscaling_and_account_are_the_policys_also_while_a_canary_is_tried(cluster, version):
    scaling = {"min_replicas": 0, "max_replicas": 5, "scale_target": 20, "scale_metric": "rps"}
    cluster.objects["/api/v1/namespaces/team/serviceaccounts/reader"] = {"kind": "ServiceAccount"}
    deploy(version(1), service_account="reader", **scaling)
    deploy(version(2), service_account="reader", **scaling)
    wanted = {
        "minReplicas": 0,
        "maxReplicas": 5,
        "scaleTarget": 20,
        "scaleMetric": "rps",
        "serviceAccountName": "reader",
    }
    assert len(cluster.applied) > 2
    for body in cluster.applied:
        assert {key: body["spec"]["predictor"].get(key) for key in wanted} == wanted


def test_each_version_on_the_service_names_the_run_that_published_it(cluster, version):
    deploy(replace(version(1), run="run-1"))
    assert cluster.service()["spec"]["predictor"]["annotations"]["mainspring/run"] == "run-1"
    deploy(replace(version(2), run="run-2"))
    specs = [body["spec"] for body in cluster.applied]
    asked = [spec["predictor"] for spec in specs] + [
        one["predictor"] for spec in specs for one in spec.get("canary", [])
    ]
    runs = [predictor["annotations"]["mainspring/run"] for predictor in asked]
    assert set(runs) == {"run-1", "run-2"}, "the champion keeps its run's name beside a canary"
    assert cluster.service()["spec"]["predictor"]["annotations"]["mainspring/run"] == "run-2"
    deploy(version(3))
    assert "mainspring/run" not in cluster.service()["spec"]["predictor"]["annotations"], "it has no run"


@pytest.mark.parametrize("mode", ["Standard"], indirect=True)
def test_real_model_servers_are_rolled_out_and_a_moody_one_is_taken_back(
    cluster, root, saved_models, tmp_path, warm_serving
):
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


def test_a_service_of_somebody_else_is_not_touched(cluster, version):
    path = objects.path(WHERE)
    cluster.objects[path] = {"metadata": {"resourceVersion": "1"}, "spec": {"predictor": {}}, "status": {}}
    cluster.reconcile = lambda: None
    with pytest.raises(UserError, match="was not deployed by Mainspring"):
        deploy(version(1))
    with pytest.raises(UserError, match="was not deployed by Mainspring"):
        target.champion(WHERE)


def test_a_version_without_held_out_rows_is_not_deployed(cluster, version, tmp_path):
    deploy(version(1))
    second = version(2)
    (Path(second.uri) / "evaluation" / "replay.json").unlink()
    with pytest.raises(UserError, match="no held-out rows"):
        deploy(second)
    assert is_serving(cluster, version(1))
