"""What an administrator applies: rendered by the real kustomize, held against the real schemas."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from mainspring.components.common.images import image
from mainspring.components.deployment.kserve import preflight
from mainspring.components.serving import mounted_model
from mainspring.pipelines.pods import storage_secret
from tests.manifests.pod_security import violations
from tests.manifests.rendering import MANIFESTS, OVERLAYS, Manifest, one, pods, render, rendered
from tests.schemas import validate

KFP_STEP = {"pipelines.kubeflow.org/v2_component": "true"}
"""The label that Kubeflow Pipelines gives every step's pod."""

OURS = {image("serving"), image("monitoring"), *(image("training", variant) for variant in ("", "gpu", "tpu"))}
WITH_PODS = ("Deployment", "ServingRuntime", "ClusterTrainingRuntime")

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def all_pods(manifests: tuple[Manifest, ...]) -> list[tuple[str, dict[str, str], Manifest]]:
    return [
        (manifest["metadata"]["name"], labels, pod)
        for manifest in manifests
        if manifest["kind"] in WITH_PODS
        for labels, pod in pods(manifest["spec"])
    ]


@overlays
def test_every_object_is_what_the_api_server_of_its_kind_takes(overlay: str) -> None:
    manifests = rendered(overlay)

    assert len(manifests) > 15
    assert [error for manifest in manifests for error in validate(manifest)] == []


@overlays
def test_every_pod_is_restricted(overlay: str) -> None:
    found = all_pods(rendered(overlay))

    assert {"mainspring", "mainspring-collector", "mainspring-tensorflow"} <= {name for name, _, _ in found}
    assert {name: wrong for name, _, pod in found if (wrong := violations(pod))} == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "node", "hostPath": {"path": "/"}}]}, "hostPath is not allowed"),
        ({"securityContext": {}}, "runAsNonRoot"),
        ({"containers": [{"name": "c", "securityContext": {"privileged": True}}]}, "is privileged"),
        ({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}, "are added"),
        ({"initContainers": [{"name": "init"}]}, "init: capabilities are not dropped"),
    ],
)
def test_a_pod_that_asks_for_more_is_found(change: dict[str, Any], says: str) -> None:
    _, pod = next(pods(one(rendered("plain"), "Deployment", "mainspring-collector")["spec"]))

    assert any(says in line for line in violations(copy.deepcopy(pod) | change))


@overlays
def test_every_image_is_ours_in_this_version(overlay: str) -> None:
    images = [container["image"] for _, _, pod in all_pods(rendered(overlay)) for container in pod["containers"]]

    assert images
    assert set(images) <= OURS


def test_an_overlay_of_ones_own_moves_every_image_to_another_registry(tmp_path: Path) -> None:
    names = {ours.partition(":")[0] for ours in OURS}
    moved = [{"name": name, "newName": f"registry.example.com/{name}"} for name in names]
    (tmp_path / "plain").symlink_to(MANIFESTS)
    (tmp_path / "ours").mkdir()
    kustomization = {"resources": ["../plain/overlays/plain"], "images": moved}
    (tmp_path / "ours" / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")

    images = {c["image"] for _, _, pod in all_pods(render(tmp_path / "ours")) for c in pod["containers"]}

    assert images == {f"registry.example.com/{ours}" for ours in OURS}


@overlays
def test_no_role_has_a_wildcard_and_no_secret_is_readable_but_the_named_ones(overlay: str) -> None:
    roles = [manifest for manifest in rendered(overlay) if manifest["kind"] in ("Role", "ClusterRole")]

    assert roles
    for rule in [rule for role in roles for rule in role["rules"]]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], rule
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"]
            assert rule["verbs"] == ["get"]
        made_by_runner = (["trainjobs"], ["experiments"], ["inferenceservices"])
        assert "delete" not in rule["verbs"] or rule["resources"] in made_by_runner


def test_the_runner_may_do_what_a_rollout_asks_for_before_it_begins() -> None:
    role = one(rendered("plain"), "Role", "mainspring-runner")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    for (group, resource), verbs in {**preflight.RIGHTS, **preflight.USEFUL, **preflight.PROXY}.items():
        assert {(group, resource, verb) for verb in verbs} <= granted, resource


def test_the_serving_runtime_takes_what_deploy_model_deploys_and_only_when_it_is_named() -> None:
    runtime = one(rendered("plain"), "ServingRuntime", "mainspring")["spec"]

    assert [(form["name"], form["autoSelect"]) for form in runtime["supportedModelFormats"]] == [("tensorflow", False)]
    assert runtime["protocolVersions"] == ["v1", "v2"]
    # Knative refuses a second port.
    assert [port["containerPort"] for port in runtime["containers"][0]["ports"]] == [mounted_model.PORT]


def test_where_two_ports_are_allowed_the_serving_runtime_offers_grpc_behind_http() -> None:
    runtime = one(rendered("kind"), "ServingRuntime", "mainspring")["spec"]

    assert runtime["protocolVersions"] == ["v1", "v2", "grpc-v2"]
    ports = [(port["name"], port["containerPort"]) for port in runtime["containers"][0]["ports"]]
    assert ports == [("http1", mounted_model.PORT), ("h2c", mounted_model.GRPC_PORT)]


@overlays
def test_every_binding_and_pod_names_a_role_and_an_account_that_are_there(overlay: str) -> None:
    manifests = rendered(overlay)
    named = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}

    for binding in [manifest for manifest in manifests if manifest["kind"].endswith("RoleBinding")]:
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in named
        for subject in binding["subjects"]:
            assert subject["kind"] == "Group" or (subject["kind"], subject["name"]) in named
            assert subject["kind"] == "Group" or subject["namespace"] == "team"
    for name, _, pod in all_pods(manifests):
        assert name == "mainspring" or ("ServiceAccount", pod["serviceAccountName"]) in named


@overlays
def test_every_network_policy_is_about_pods_that_exist(overlay: str) -> None:
    labels = [labels for _, labels, _ in all_pods(rendered(overlay))] + [KFP_STEP]

    for policy in [manifest for manifest in rendered(overlay) if manifest["kind"] == "NetworkPolicy"]:
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        assert any(wanted <= has.items() for has in labels), policy["metadata"]["name"]
        assert "Ingress" in policy["spec"]["policyTypes"]


@pytest.mark.parametrize("policy", ["mainspring-model-servers", "mainspring-collector"])
def test_what_reads_or_writes_buckets_reaches_names_and_kubeflows_storage(policy: str) -> None:
    rules = one(rendered("plain"), "NetworkPolicy", policy)["spec"]["egress"]
    ports = {port["port"]: rule["to"] for rule in rules for port in rule["ports"]}
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in ports[53]  # NodeLocal DNSCache is no pod of kube-system.
    assert ports[9000][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "kubeflow"
    assert 443 in ports


@overlays
def test_what_reaches_buckets_takes_the_storage_secret_by_reference_and_starts_without_it(overlay: str) -> None:
    pods_by_name = {name: pod for name, _, pod in all_pods(rendered(overlay))}
    reaching = [name for name in pods_by_name if name.startswith(("mainspring-tensorflow", "mainspring-collector"))]
    assert "mainspring-collector" in reaching
    assert "mainspring-tensorflow" in reaching
    for name in reaching:
        [container] = pods_by_name[name]["containers"]
        assert {"secretRef": {"name": storage_secret.SECRET, "optional": True}} in container["envFrom"], name


def documents(component: str) -> tuple[Manifest, ...]:
    """Returns the objects of a component's file."""
    return tuple(yaml.safe_load_all((MANIFESTS / "components" / component).read_text()))


def test_prometheus_and_the_service_find_the_pods() -> None:
    manifests = rendered("plain")
    labels = {name: labels for name, labels, _ in all_pods(manifests)}

    monitor = one(documents("monitoring/alerts.yaml"), "PodMonitor", "mainspring-model-servers")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels["mainspring"].items()
    service = one(manifests, "Service", "mainspring-collector")["spec"]
    assert service["selector"].items() <= labels["mainspring-collector"].items()


def test_every_alert_is_promql_and_says_what_to_do() -> None:
    manifest = one(documents("monitoring/alerts.yaml"), "PrometheusRule", "mainspring")
    rules = [rule for group in manifest["spec"]["groups"] for rule in group["rules"]]

    assert len(rules) >= 8
    for rule in rules:
        promql_parser.parse(rule["expr"])
        assert {"summary", "action"} <= set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


@pytest.mark.parametrize("overlay", ["gke-gpu", "gke-tpu"])
def test_on_gke_no_key_is_named_and_the_metadata_server_is_reached(overlay: str) -> None:
    manifests = rendered(overlay)

    assert all("secrets" not in m for m in manifests if m["kind"] == "ServiceAccount")
    egress = one(manifests, "NetworkPolicy", "mainspring-model-servers")["spec"]["egress"]
    assert any({"port": 988, "protocol": "TCP"} in rule["ports"] for rule in egress)
    _, pod = next(pods(one(manifests, "Deployment", "mainspring-collector")["spec"]))
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]
    assert one(manifests, "ConfigMap", "mainspring-collector")["data"]["MAINSPRING_SINK"].startswith("gs://")


@pytest.mark.parametrize(
    ("overlay", "resource", "runtime", "absent"),
    [("gke-gpu", "nvidia.com/gpu", "-gpu", "-tpu"), ("gke-tpu", "google.com/tpu", "-tpu", "-gpu")],
)
def test_accelerators_have_a_runtime_a_quota_and_queues(overlay: str, resource: str, runtime: str, absent: str) -> None:
    manifests = rendered(overlay)
    names = {manifest["metadata"]["name"] for manifest in manifests if manifest["kind"] == "ClusterTrainingRuntime"}
    group = one(manifests, "ClusterQueue", "mainspring")["spec"]["resourceGroups"][0]
    flavors = {manifest["metadata"]["name"] for manifest in manifests if manifest["kind"] == "ResourceFlavor"}

    assert f"mainspring-tensorflow{runtime}" in names
    assert f"mainspring-tensorflow{absent}" not in names
    assert resource in group["coveredResources"]
    assert {flavor["name"] for flavor in group["flavors"]} == flavors

    # What a queue admits, the quota must not refuse.
    hard = one(manifests, "ResourceQuota", "mainspring")["spec"]["hard"]
    for asked in group["coveredResources"]:
        room = [each for flavor in group["flavors"] for each in flavor["resources"] if each["name"] == asked]
        assert sum(_number(each["nominalQuota"]) for each in room) <= _number(hard[f"requests.{asked}"])


@overlays
def test_steps_that_name_no_memory_have_room_and_many_of_them_fit_the_quota(overlay: str) -> None:
    manifests = rendered(overlay)
    limit = one(manifests, "LimitRange", "mainspring")["spec"]["limits"][0]
    hard = one(manifests, "ResourceQuota", "mainspring")["spec"]["hard"]

    # Measured: training 1,066 MiB, evaluation 1,026 MiB, validation of five thousand columns 2.2 GB.
    assert _number(limit["default"]["memory"]) >= 4
    assert _number(hard["limits.memory"]) >= 10 * _number(limit["default"]["memory"])
    assert _number(hard["requests.memory"]) >= 10 * _number(limit["defaultRequest"]["memory"])


def _number(quantity: str | int) -> float:
    """Returns gibibytes, or a plain number."""
    return float(str(quantity).removesuffix("Gi"))


@overlays
def test_no_overlay_needs_the_prometheus_operator(overlay: str) -> None:
    assert not [m for m in rendered(overlay) if m["apiVersion"].startswith("monitoring.coreos.com")]


def test_the_laptop_needs_neither_queues_nor_accelerators() -> None:
    manifests = rendered("kind")

    assert "kueue.x-k8s.io/v1beta2" not in {m["apiVersion"] for m in manifests}
    limits = [container["resources"]["limits"] for _, _, pod in all_pods(manifests) for container in pod["containers"]]
    assert all(set(limit) <= {"cpu", "memory"} for limit in limits)
    assert (
        one(manifests, "Namespace", "team")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
