"""The InferenceService as we apply it, and what its status says: plain objects, no network.

KServe hands the service's annotations on to its pods, so one that changed would restart them all: what ties a version
to its manifest stands in the predictor's annotations, which are that version's own, and the record of rollouts stands
in a ConfigMap (`record`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from mainspring.components.common import published
from mainspring.components.common.manifests import VersionManifest
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.targets import Target

API_VERSION = "serving.kserve.io/v1beta1"
KNATIVE, STANDARD = "Knative", "Standard"
OLDER_WORDS = {KNATIVE: "Serverless", STANDARD: "RawDeployment"}
"""The modes as KServe calls them up to 0.15, where an unknown word counts as the cluster's default mode."""

MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
TAG_ANNOTATION = "serving.kserve.io/enable-tag-routing"
VISIBILITY_LABEL = "networking.kserve.io/visibility"
VERSION_ANNOTATION = "mainspring/version"
URI_ANNOTATION = "mainspring/version-uri"
FINGERPRINT_ANNOTATION = "mainspring/model-fingerprint"
RUN_ANNOTATION = "mainspring/run"

CONTAINER = "kserve-container"

CANDIDATE = "-candidate"
"""Ends the name of the service that a version is tried in beside the champion, in Standard mode."""

PRE_STOP_SECONDS = 6
"""How long a pod that ends goes on serving, so that every proxy has heard of its end before it stops listening."""

GRACE_SECONDS = 60
"""How long a pod may take to end: that pause, 30 s in which our server finishes its requests, and a margin."""


@dataclass(frozen=True)
class Version:
    """A published version, as a service refers to it."""

    number: int
    uri: str
    fingerprint: str
    """Of the model's files."""
    run: str = ""
    """The pipeline run that published it; empty: unknown."""
    inside: str = f"{published.MODEL_FOLDER}/"
    """The folder in the version, with its slash, that holds nothing but the integer folder of the SavedModel. Empty: it
    was published before there was one, and its files lie in the version's own folder."""


def version(manifest: VersionManifest, uri: str) -> Version:
    """Returns a published version as a service refers to it."""
    inside = published.folder_of_model(manifest)
    return Version(manifest.version, uri, manifest.model_fingerprint, manifest.run, f"{inside}/" if inside else "")


def path(target: Target) -> str:
    """Returns the API's path of the target's InferenceService."""
    return f"/apis/{API_VERSION}/namespaces/{target.namespace}/inferenceservices/{target.name}"


def candidate_of(target: Target) -> Target:
    """Returns the service in which a version is tried beside the target's."""
    return replace(target, name=f"{target.name}{CANDIDATE}")


def predictor_name(target: Target) -> str:
    """Returns the name of the predictor's Deployment and Service in Standard mode."""
    return f"{target.name}-predictor"


def service(
    target: Target, mode: str, word: str, policy: ServingPolicy, version: Version, percent: int | None = None
) -> dict[str, Any]:
    """Returns the fields of an InferenceService that are ours.

    Args:
        target: Its namespace and name.
        mode: `KNATIVE` or `STANDARD`.
        word: What this cluster's KServe calls the mode.
        policy: What is to be set besides.
        version: What it serves.
        percent: Knative: the version's share of the traffic, the rest being that of the one that had all before; None:
            the version gets everything.
    """
    predictor = {**_predictor(policy, version), **_scaling(policy)}
    if mode == STANDARD:
        # Knative allows neither: it drains its pods by itself.
        predictor["model"]["lifecycle"] = {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}
        predictor["terminationGracePeriodSeconds"] = GRACE_SECONDS
        # No pod of the version that serves goes before one of its successor is ready.
        rolling = {"maxSurge": "25%", "maxUnavailable": 0}
        predictor["deploymentStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    elif percent is not None:
        # Knative's newest revision is the one that is tried, what it rolled out fully before is stable.
        predictor["canaryTrafficPercent"] = percent
    annotations = {MODE_ANNOTATION: word, **({TAG_ANNOTATION: "true"} if mode == KNATIVE else {}), **policy.annotations}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": target.name, "namespace": target.namespace, "annotations": annotations},
        "spec": {"predictor": predictor},
    }


def candidate(target: Target, word: str, policy: ServingPolicy, version: Version) -> dict[str, Any]:
    """Returns the InferenceService in which a version is tried beside the target's, in Standard mode.

    It has one pod, no way in from outside the cluster, and logs no payloads: what is sent to it is no live traffic.
    """
    alone = replace(policy, min_replicas=1, max_replicas=1, logger=None)
    body = service(candidate_of(target), STANDARD, word, alone, version)
    body["metadata"]["labels"] = {VISIBILITY_LABEL: "cluster-local"}
    return body


def _predictor(policy: ServingPolicy, version: Version) -> dict[str, Any]:
    # With a slash at its end: KServe lists buckets by prefix, and `…/1` would bring `…/10` and `…/11` along.
    folder = f"{version.uri}/"
    model: dict[str, Any] = {
        "modelFormat": {"name": "tensorflow"},
        "protocolVersion": "v1",
        "storageUri": folder + version.inside,
    }
    if policy.runtime:
        model["runtime"] = policy.runtime
    if policy.resources:
        model["resources"] = policy.resources
    predictor: dict[str, Any] = {
        "model": model,
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
    return mode_of_word(word_of(found))


def mode_of_word(word: str) -> str:
    """Returns the mode that a word of KServe's stands for, in any of its releases."""
    return next((mode for mode, older in OLDER_WORDS.items() if word == older), word)


def word_of(found: dict[str, Any]) -> str:
    """Returns what a service calls its mode: KServe refuses a service that comes to call it otherwise."""
    return str(found.get("status", {}).get("deploymentMode") or annotations_of(found).get(MODE_ANNOTATION, ""))


def annotations_of(found: dict[str, Any]) -> dict[str, str]:
    """Returns an object's annotations."""
    return found.get("metadata", {}).get("annotations") or {}


def specified(found: dict[str, Any]) -> Version | None:
    """Returns the version in the service's predictor, or None if it is none of ours."""
    predictor = found.get("spec", {}).get("predictor", {})
    said = predictor.get("annotations") or {}
    number, uri = said.get(VERSION_ANNOTATION, ""), said.get(URI_ANNOTATION, "")
    storage = (predictor.get("model") or {}).get("storageUri") or _earlier_storage(predictor)
    if not number.isdigit() or not uri or not storage.startswith(f"{uri}/"):
        return None
    inside = storage.removeprefix(f"{uri}/")
    return Version(int(number), uri, said.get(FINGERPRINT_ANNOTATION, ""), said.get(RUN_ANNOTATION, ""), inside)


def _earlier_storage(predictor: dict[str, Any]) -> str:
    """Returns the folder of a version that an earlier Mainspring put into a list of URIs; empty if there is none."""
    uris = predictor.get("storageUris") or [{}]
    return f"{uris[0]['uri']}/" if uris[0].get("uri") else ""


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
