"""Our manifests on a real API server with every webhook on: KServe's, Trainer's, JobSet's, Kueue's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mainspring.components.common import kubernetes_api
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import targets
from mainspring.components.deployment.kserve import objects, preflight
from mainspring.components.deployment.kserve.objects import STANDARD, Version
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.training.distributed import following
from mainspring.pipelines.doctor.cluster import Kubernetes, check_cluster
from mainspring.pipelines.doctor.findings import OK, WRONG, Finding
from mainspring.pipelines.doctor.needs import Needs
from tests.cluster.test_training import rests, succeed, train
from tests.cluster.trained import MANIFESTS, NAMESPACE, PODS, Cluster
from tests.manifests.rendering import OVERLAYS, rendered

__all__ = ["train"]  # The fixture.

QUEUES = "/apis/kueue.x-k8s.io/v1beta2"


@pytest.mark.parametrize("way", [(), ("--server-side", "--force-conflicts")], ids=["client-side", "server-side"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_taken(
    training: Cluster, queues: None, tmp_path: Path, overlay: str, way: tuple[str, ...]
) -> None:
    folder = MANIFESTS / "overlays" / overlay
    if overlay != "kind":  # That one is there already; the others go where nothing is, as a team's own would.
        training.plane.namespace(f"team-{overlay}")
        own = {"namespace": f"team-{overlay}", "resources": [os.path.relpath(folder, tmp_path)]}
        folder = tmp_path
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
    said = training.kubectl("apply", "--dry-run=server", "--validate=strict", *way, "-k", str(folder))
    assert said.count("(server dry run)") == len(rendered(overlay)), said


def test_model_pods_are_made_once_kserves_initializer_holds_to_the_namespaces_security(training: Cluster) -> None:
    target = targets.parse(f"kserve://{NAMESPACE}/flights")
    version = Version(7, "gs://bucket/models/flights/7", "sha256:7", "run-7")
    asked = (kubernetes_api.connect(), target, ServingPolicy(reach="api", runtime="mainspring"), (0.0, 100.0), True)
    with pytest.raises(UserError, match=r"enforces pod security 'restricted'. KServe's storage init.* kubectl patch"):
        preflight.check(*asked, version)
    assert finding(training, "pod security").state == WRONG
    body = objects.service(target, STANDARD, STANDARD, asked[2], version)
    place = f"/apis/serving.kserve.io/v1beta1/namespaces/{NAMESPACE}/inferenceservices/flights"
    training.plane.apply(place, body)
    events = f"/api/v1/namespaces/{NAMESPACE}/events"
    training.plane.wait(lambda: "violates PodSecurity" in str(training.plane.call("GET", events)))
    patch = str(MANIFESTS / "kserve" / "storage-container.yaml")
    training.kubectl("patch", "clusterstoragecontainer", "default", "--type=merge", "--patch-file", patch)
    assert finding(training, "pod security").state == OK
    preflight.check(*asked, version)
    training.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/flights-predictor")
    label = "serving.kserve.io/inferenceservice=flights"
    training.plane.wait(lambda: training.names(PODS, labelSelector=label))
    training.plane.call("DELETE", place)


def finding(training: Cluster, check: str) -> Finding:
    """What doctor finds, asked by the account of runs."""
    (found,) = [each for each in check_cluster(Kubernetes(), NAMESPACE, Needs()) if each.check == check]
    return found


def test_a_job_without_accelerators_is_queued_for_plain_nodes(
    training: Cluster, queues: None, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.kubectl("label", "namespace", NAMESPACE, "mainspring.dev/queues=true", "--overwrite")
    kinds = {"ResourceFlavor": "resourceflavors", "ClusterQueue": "clusterqueues"}
    kinds |= {"LocalQueue": f"namespaces/{NAMESPACE}/localqueues"}
    for each in rendered("gke-gpu"):
        if each["kind"] in kinds:
            training.plane.apply(f"{QUEUES}/{kinds[each['kind']]}/{each['metadata']['name']}", each)
    training.plane.wait(lambda: _is_active(training))
    if training.release == "2.1":  # «kueue runtime patch not found», in Kueue's log and nowhere else.
        monkeypatch.setattr(following, "UNSAID_SECONDS", 2.0)
        with pytest.raises(
            UserError, match=r"not done after 8 s \(it is suspended.* \(Kueue 0.17 needs Trainer 2.2 or n"
        ):
            train(nodes=1, queue="default", timeout=8)
        return
    admitted: list[Any] = []

    def play(workers: Any, made: dict[str, Any]) -> None:
        (found,) = training.plane.call("GET", f"{QUEUES}/namespaces/{NAMESPACE}/workloads")["items"]
        admitted.extend(one["flavors"] for one in found["status"]["admission"]["podSetAssignments"])
        succeed(workers, made)

    with training.playing(play):
        assert train(nodes=1, queue="default") == "sha256:1"
    assert admitted[0] == {"cpu": "mainspring-cpu", "memory": "mainspring-cpu"}
    big = {"resources": {"cpu": "500", "memory": "4Gi"}, "selectors": {}, "tolerations": []}
    says = r"does not start: it waits in Kueue's queue: couldn't assign flavors.*maximum capacity"
    with pytest.raises(UserError, match=says):
        train(nodes=1, queue="default", pool=json.dumps(big))
    assert rests(training)


def _is_active(training: Cluster) -> bool:
    queue = training.plane.get(f"{QUEUES}/namespaces/{NAMESPACE}/localqueues/default")
    conditions = (queue or {}).get("status", {}).get("conditions") or []
    return any(each["type"] == "Active" and each["status"] == "True" for each in conditions)
