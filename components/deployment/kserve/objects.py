"""The InferenceService as we apply it, and what its status says: plain objects, no network.

KServe hands the service's annotations on to its pods, so one that changed would restart them all: what ties a version
to its manifest stands in the predictor's annotations, which are that version's own, and the record of rollouts stands
in a ConfigMap (`record`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.targets import Target

API_VERSION = "serving.kserve.io/v1beta1"
KNATIVE, STANDARD = "Knative", "Standard"
LEGACY_MODES = {"Serverless": KNATIVE, "RawDeployment": STANDARD}
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
TAG_ANNOTATION = "serving.kserve.io/enable-tag-routing"
VERSION_ANNOTATION = "mainspring/version"
URI_ANNOTATION = "mainspring/version-uri"
FINGERPRINT_ANNOTATION = "mainspring/model-fingerprint"
RUN_ANNOTATION = "mainspring/run"

CONTAINER = "kserve-container"

MODELS_PATH = "/mnt/models"
"""Where KServe puts a model; TensorFlow Serving serves the integer folders under it."""


@dataclass(frozen=True)
class Version:
    """A published version, as a service refers to it."""

    number: int
    uri: str
    fingerprint: str
    """Of the model's files."""
    run: str = ""
    """The pipeline run that published it; empty: unknown."""

    @property
    def predictor(self) -> str:
        """The predictor's name in Standard mode: its Deployment is `<service>-<this>-predictor`."""
        return f"v{self.number}"


def path(target: Target) -> str:
    """Returns the API's path of the target's InferenceService."""
    return f"/apis/{API_VERSION}/namespaces/{target.namespace}/inferenceservices/{target.name}"


def service(
    target: Target, mode: str, policy: ServingPolicy, stable: Version, canary: Version | None = None, percent: int = 0
) -> dict[str, Any]:
    """Returns the fields of an InferenceService that are ours.

    Args:
        target: Its namespace and name.
        mode: `KNATIVE` or `STANDARD`.
        policy: What is to be set besides.
        stable: The version that gets what the canary does not.
        canary: The version that is tried.
        percent: Its share of the traffic.
    """
    spec: dict[str, Any]
    if mode == STANDARD:
        spec = {"predictor": {"name": stable.predictor, **_predictor(policy, stable), **_scaling(policy)}}
        if canary:
            # Not fewer than one: at 0 % KServe would start none, and there would be nothing to judge.
            tried = {"name": canary.predictor, **_predictor(policy, canary), "minReplicas": 1}
            spec["canary"] = [{"predictor": tried, "trafficPercent": percent}]
    else:
        # Knative's newest revision is the canary, what it rolled out fully before is stable.
        spec = {"predictor": {**_predictor(policy, canary or stable), **_scaling(policy)}}
        if canary:
            spec["predictor"]["canaryTrafficPercent"] = percent
    annotations = {MODE_ANNOTATION: mode, **({TAG_ANNOTATION: "true"} if mode == KNATIVE else {}), **policy.annotations}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": target.name, "namespace": target.namespace, "annotations": annotations},
        "spec": spec,
    }


def _predictor(policy: ServingPolicy, version: Version) -> dict[str, Any]:
    # The container's name is KServe's own default; the schema of a canary's predictor asks for it.
    model: dict[str, Any] = {"name": CONTAINER, "modelFormat": {"name": "tensorflow"}, "protocolVersion": "v1"}
    if policy.runtime:
        model["runtime"] = policy.runtime
    if policy.resources:
        model["resources"] = policy.resources
    predictor: dict[str, Any] = {
        "model": model,
        "storageUris": [{"uri": version.uri, "mountPath": f"{MODELS_PATH}/{version.number}"}],
        "annotations": {
            VERSION_ANNOTATION: str(version.number),
            URI_ANNOTATION: version.uri,
            FINGERPRINT_ANNOTATION: version.fingerprint,
            **({RUN_ANNOTATION: version.run} if version.run else {}),
        },
    }
    if policy.service_account:
        predictor["serviceAccountName"] = policy.service_account
    if policy.node_selector:
        predictor["nodeSelector"] = policy.node_selector
    if policy.tolerations:
        predictor["tolerations"] = policy.tolerations
    if policy.logger:
        predictor["logger"] = asdict(policy.logger)
    return predictor


def _scaling(policy: ServingPolicy) -> dict[str, Any]:
    wanted = {
        "minReplicas": policy.min_replicas,
        "maxReplicas": policy.max_replicas,
        "scaleTarget": policy.scale_target,
        "scaleMetric": policy.scale_metric,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def mode_of(found: dict[str, Any]) -> str:
    """Returns a service's mode, or an empty string if it does not say."""
    said = found.get("status", {}).get("deploymentMode") or annotations_of(found).get(MODE_ANNOTATION, "")
    return LEGACY_MODES.get(said, said)


def annotations_of(found: dict[str, Any]) -> dict[str, str]:
    """Returns an object's annotations."""
    return found.get("metadata", {}).get("annotations") or {}


def specified(found: dict[str, Any]) -> Version | None:
    """Returns the version in the service's own predictor, or None if it is none of ours."""
    return _version(found.get("spec", {}).get("predictor", {}))


def canary(found: dict[str, Any]) -> Version | None:
    """Returns the version of a Standard-mode canary, or None."""
    entries = found.get("spec", {}).get("canary") or [{}]
    return _version(entries[0].get("predictor", {}))


def _version(predictor: dict[str, Any]) -> Version | None:
    said = predictor.get("annotations") or {}
    uris = predictor.get("storageUris") or [{}]
    number = said.get(VERSION_ANNOTATION, "")
    if not number.isdigit() or said.get(URI_ANNOTATION) != uris[0].get("uri"):
        return None
    return Version(
        int(number), said[URI_ANNOTATION], said.get(FINGERPRINT_ANNOTATION, ""), said.get(RUN_ANNOTATION, "")
    )


def condition(found: dict[str, Any], kind: str) -> tuple[str, str]:
    """Returns a condition's status and what it says; `Unknown` if there is none."""
    for each in found.get("status", {}).get("conditions") or []:
        if each.get("type") == kind:
            said = ": ".join(text for text in (each.get("reason"), each.get("message")) if text)
            return each.get("status", "Unknown"), said
    return "Unknown", ""


def component(found: dict[str, Any]) -> dict[str, Any]:
    """Returns the status of the predictor (Knative's revisions and traffic)."""
    status: dict[str, Any] = found.get("status", {}).get("components", {}).get("predictor", {})
    return status


def latest_percent(found: dict[str, Any]) -> int | None:
    """Returns the share of the traffic that Knative gives the newest ready revision; None if it does not say."""
    ready = component(found).get("latestReadyRevision")
    shares = component(found).get("traffic") or []
    given = [each.get("percent") or 0 for each in shares if each.get("revisionName") == ready]
    return sum(given) if given and ready else None


def failure(found: dict[str, Any]) -> str:
    """Returns why KServe gave up loading the service's own predictor; empty if it has not."""
    model = found.get("status", {}).get("modelStatus") or {}
    if model.get("transitionStatus") in ("BlockedByFailedLoad", "InvalidSpec"):
        info = model.get("lastFailureInfo") or {}
        return f"{info.get('reason', model['transitionStatus'])}: {info.get('message', '')}".rstrip(": ")
    return ""
