"""Versions deployed to KServe's real controllers: tried, promoted, taken back, rolled back; nothing is left behind.

Real here: the API server, the controllers of workloads, KServe with its webhooks, the bucket, and everything of ours.
Played: the kubelet (`pods`), so what a container does is not proven, nor is a route from outside the cluster.
"""

from __future__ import annotations

import threading
import time

import pytest

from mainspring.components.common import buckets
from mainspring.components.common import kubernetes_api as kubernetes
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import reach, target
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.rollouts import RolloutFailed

WORKLOADS = (
    ("/apis/apps/v1", "deployments"),
    ("/api/v1", "services"),
    ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    ("/apis/networking.k8s.io/v1", "ingresses"),
    ("/api/v1", "pods"),
)


@pytest.fixture(scope="module")
def served(cluster, bucket_server, tmp_path_factory):
    """A service that serves version 2, after version 1; and the models that it came from."""
    from tests.cluster.models import Models

    made = Models.in_new_bucket(tmp_path_factory.mktemp("models"))
    made.deploy("a", uri_of(cluster), min_replicas=2)
    made.deploy("b", uri_of(cluster), min_replicas=2)
    return made


def uri_of(cluster) -> str:
    return f"kserve://{cluster.target.namespace}/{cluster.target.name}"


def champion(cluster) -> int:
    found = target.champion(cluster.target)
    assert found
    return found[0]


def rests(cluster) -> bool:
    """Whether nothing is there but what serves: one service, and pods that nobody is ending."""
    assert cluster.services() == ["flights"]
    cluster.plane.wait(lambda: not any("candidate" in name for kind in WORKLOADS for name in cluster.names(*kind)))
    return True


def answers(cluster) -> tuple[str, list[float]]:
    """Which model answers through the service's own Service, and what it says."""
    connection = kubernetes.connect()
    place = reach.standard(cluster.target, ServingPolicy(reach="api"))
    content = connection.call("POST", f"{place.url}/v1/models/{place.model}:predict", {"instances": [{"x": 3.0}]})
    return content["model"], content["predictions"]


def test_a_version_is_tried_beside_the_champion_and_takes_its_place(cluster, served):
    assert champion(cluster) == 2
    assert answers(cluster) == ("b", [6.0])
    assert rests(cluster)
    tried = [pod for pod in cluster.kubelet.pods.values() if "candidate" in pod.name]
    assert tried, "it was tried"
    assert sum(pod.requests for pod in tried) > 0, "and asked"


def test_a_pod_gets_the_versions_model_and_nothing_else(cluster, served):
    (found, *_) = [pod for pod in cluster.kubelet.pods.values() if pod.name.startswith("flights-predictor")]
    assert found.uri.endswith("/flights/1/model/")
    assert {uri.removeprefix(found.uri).split("/")[0] for uri in served.published() if uri.startswith(found.uri)} == {
        "1"
    }
    assert found.sleep == 6.0, "it serves on until everybody knows of its end"


def test_a_version_that_predicts_otherwise_is_taken_back_and_leaves_nothing(cluster, served):
    cluster.kubelet.offsets["/flights/3/"] = 1.0
    with pytest.raises(RolloutFailed, match="version 3 is taken back at 0 % of the traffic: 5 of 5 rows are not"):
        served.deploy("c", uri_of(cluster), min_replicas=2)
    assert champion(cluster) == 2
    assert answers(cluster) == ("b", [6.0])
    assert rests(cluster)
    assert [gone.version for gone in target.withdrawn(cluster.target)] == [3]


def test_a_pod_that_is_not_scheduled_is_said_with_its_reason_and_leaves_nothing(cluster, served, capsys):
    cluster.kubelet.unschedulable = "0/1 nodes are available: 1 Insufficient cpu."
    try:
        with pytest.raises(UserError, match="1 Insufficient cpu"):
            served.deploy("d", uri_of(cluster), ready_seconds=15, min_replicas=2)
    finally:
        cluster.kubelet.unschedulable = ""
    assert "its pod is not scheduled: 0/1 nodes are available: 1 Insufficient cpu. (1" in capsys.readouterr().out
    assert champion(cluster) == 2
    assert rests(cluster)


def test_a_container_that_ends_is_said_with_its_last_words(cluster, served):
    cluster.kubelet.broken = "Not found: no SavedModel"
    try:
        with pytest.raises(UserError, match=r"CrashLoopBackOff \(it ended with status 1\): Not found: no SavedModel"):
            served.deploy("e", uri_of(cluster), ready_seconds=15, min_replicas=2)
    finally:
        cluster.kubelet.broken = ""
    assert rests(cluster)


def test_a_share_of_the_traffic_is_refused_before_anything_is_published(cluster, served):
    before = served.published()
    with pytest.raises(UserError, match=r"no release of KServe moves a share of the traffic in Standard mode.*0,100"):
        served.deploy("f", uri_of(cluster), rollout="0,10,100")
    assert served.published() == before
    assert rests(cluster)


def test_no_request_fails_while_a_version_takes_over_and_while_it_goes_back(cluster, served):
    failed, ended, asked = [], threading.Event(), 0
    connection = kubernetes.connect()
    place = reach.standard(cluster.target, ServingPolicy(reach="api"))

    def ask() -> None:
        nonlocal asked
        while not ended.is_set():
            status, said, _ = connection._once(
                "POST", f"{place.url}/v1/models/flights:predict", {"instances": [{"x": 3.0}]}, {}, "application/json"
            )
            asked += 1
            if status != 200:
                failed.append((time.monotonic(), status, said[:200]))

    client = threading.Thread(target=ask)
    client.start()
    try:
        served.deploy("g", uri_of(cluster), min_replicas=2)
        assert answers(cluster)[0] == "g"
        assert target.rollback(cluster.target, reason="a test")[0].number == 2
        assert answers(cluster)[0] == "b"
    finally:
        ended.set()
        client.join()
    assert failed == []
    assert asked > 100
    assert rests(cluster)


def test_what_is_published_can_be_read_by_everybody_who_reads_versions(cluster, served):
    uri = f"{served.root}/flights/2"
    names = {found.uri.removeprefix(f"{uri}/") for found in buckets.list_objects(uri)}
    assert {"manifest.json", "version.json", "request.json", "statistics/train/FeatureStats.pb"} <= names
    assert "model/2/saved_model.pb" in names
