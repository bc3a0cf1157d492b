"""What a cluster must have and allow before anything is published for it: looked at first, said in one line each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import objects
from mainspring.components.deployment.kserve.api import Api
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.targets import Target

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/inferenceservices.serving.kserve.io"
GROUP = "serving.kserve.io"
RIGHTS = {
    (GROUP, "inferenceservices"): ("get", "create", "patch"),
    ("", "configmaps"): ("get", "create", "update"),
    ("apps", "deployments"): ("get",),
}
"""What a rollout cannot do without, by API group and resource."""

USEFUL = {("", "pods"): ("list",), ("", "events"): ("list",), ("", "pods/log"): ("get",)}
"""What lets it say why a version does not start."""

PROXY = {("", "services/proxy"): ("get", "create")}
"""What asking a canary through the Kubernetes API takes."""

LONGEST_NAME = 63 - len("-v99999-predictor")


@dataclass(frozen=True)
class Cluster:
    """What was found."""

    mode: str
    """`objects.KNATIVE` or `objects.STANDARD`."""
    splits_traffic: bool
    """Whether a share between 0 and 100 really is a share of the traffic."""
    service: dict[str, Any] | None
    """The InferenceService, if it exists."""


def check(api: Api, target: Target, policy: ServingPolicy, percents: tuple[float, ...], proxied: bool) -> Cluster:
    """Looks at everything a rollout needs.

    Args:
        api: The cluster.
        target: Where to serve.
        policy: The serving policy.
        percents: The rollout's steps.
        proxied: Whether canaries are asked through the Kubernetes API.

    Raises:
        UserError: Something is missing; the message says what, and prints the Role that would grant it.
    """
    title = f"kserve://{target.namespace}/{target.name}"
    if len(target.name) > LONGEST_NAME:
        raise UserError(f"target {title}: the name has more than {LONGEST_NAME} letters, too many for its Services")
    groups = {group["name"] for group in (api.get("/apis") or {}).get("groups", [])}
    if GROUP not in groups:
        raise UserError(f"{title}: this cluster has no KServe ({GROUP} is not served); install KServe 0.20 or newer")
    _check_namespace(api, target)
    _check_rights(api, target, {**RIGHTS, **(PROXY if proxied else {})})
    found = api.get(objects.path(target))
    if found and objects.specified(found) is None:
        raise UserError(
            f"{title}: this InferenceService was not deployed by Mainspring; choose another name, or delete it first"
        )
    mode = _mode(api, found, policy, groups)
    fields = _fields(api)
    if fields is not None and "storageUris" not in fields:
        raise UserError(f"{title}: this cluster's KServe knows no storageUris; install KServe 0.20 or newer")
    if fields is not None and mode == objects.STANDARD and "canary" not in fields:
        raise UserError(f"{title}: this cluster's KServe has no canaries in Standard mode; install 0.20 or newer")
    if mode == objects.STANDARD and policy.min_replicas == 0:
        raise UserError("serving_policy: min_replicas 0: only Knative scales to zero; this service is in Standard mode")
    splits = mode == objects.KNATIVE or "gateway.networking.k8s.io" in groups
    between = [percent for percent in percents if 0 < percent < 100]
    if between and not splits:
        raise UserError(
            f"rollout step {between[0]:g}: this cluster has no Gateway API, without which Standard mode does not split "
            "traffic; use rollout=0,100"
        )
    if any(percent != int(percent) for percent in percents):
        raise UserError("rollout: KServe takes whole percentages only")
    _check_runtime(api, target, policy)
    _check_account(api, target, policy)
    return Cluster(mode, splits, found)


def _check_namespace(api: Api, target: Target) -> None:
    try:
        found = api.get(f"/api/v1/namespaces/{target.namespace}")
    except UserError:
        return  # Namespaces may not be read, which is common.
    if found is None:
        raise UserError(
            f"kserve://{target.namespace}/{target.name}: there is no namespace {target.namespace!r}; make it, or name "
            "another one"
        )


def _check_rights(api: Api, target: Target, needed: dict[tuple[str, str], tuple[str, ...]]) -> None:
    missing: dict[tuple[str, str], list[str]] = {}
    for (group, resource), verbs in needed.items():
        for verb in verbs:
            kind, _, sub = resource.partition("/")
            if not api.may(namespace=target.namespace, verb=verb, group=group, resource=kind, subresource=sub):
                missing.setdefault((group, resource), []).append(verb)
    if missing:
        print(role(target, {**missing, **USEFUL}), flush=True)
        what = ", ".join(f"{verb} {resource}" for (_, resource), verbs in missing.items() for verb in verbs)
        raise UserError(
            f"kserve://{target.namespace}/{target.name}: this account may not {what} in namespace "
            f"{target.namespace}; the Role printed above, bound to it, allows that"
        )


def role(target: Target, rights: dict[tuple[str, str], Any]) -> str:
    """Returns a Role that grants rights, as YAML ready to apply."""
    import yaml

    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for (group, resource), verbs in rights.items()
    ]
    metadata = {"name": "mainspring-deployer", "namespace": target.namespace}
    content = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}
    return yaml.safe_dump(content, sort_keys=False)


def _mode(api: Api, found: dict[str, Any] | None, policy: ServingPolicy, groups: set[str]) -> str:
    existing = objects.mode_of(found) if found else ""
    if existing and policy.mode not in ("auto", existing):
        raise UserError(f"serving_policy: mode {policy.mode}: the service is in {existing} mode and stays so")
    if existing or policy.mode != "auto":
        return existing or policy.mode
    return objects.KNATIVE if "serving.knative.dev" in groups else objects.STANDARD


def _fields(api: Api) -> set[str] | None:
    """Returns the fields of `spec` and of its predictor that the CRD knows; None where it may not be read."""
    try:
        crd = api.get(CRD)
        versions = {version["name"]: version for version in (crd or {})["spec"]["versions"]}
        spec = versions["v1beta1"]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        return {*spec, *spec["predictor"]["properties"]}
    except (UserError, KeyError, TypeError):
        return None


def _check_runtime(api: Api, target: Target, policy: ServingPolicy) -> None:
    places = (
        f"/apis/{GROUP}/v1alpha1/namespaces/{target.namespace}/servingruntimes",
        f"/apis/{GROUP}/v1alpha1/clusterservingruntimes",
    )
    try:
        found = list(itertools.chain.from_iterable((api.get(place) or {}).get("items", []) for place in places))
    except UserError:
        return  # They may not be listed; KServe itself says it if there is none.
    usable = [each for each in found if not each.get("spec", {}).get("disabled")]
    names = sorted(each["metadata"]["name"] for each in usable)
    if policy.runtime and policy.runtime not in names:
        listed = ", ".join(names) or "none"
        raise UserError(f"serving_policy: runtime {policy.runtime!r}: no such serving runtime here; there are {listed}")
    formats = {
        form.get("name")
        for each in usable
        for form in each["spec"].get("supportedModelFormats") or []
        if form.get("autoSelect")
    }
    if not policy.runtime and "tensorflow" not in formats:
        raise UserError(
            "this cluster has no serving runtime that takes tensorflow models by itself; install KServe's "
            "kserve-tensorflow-serving, or name one in serving_policy: runtime"
        )


def _check_account(api: Api, target: Target, policy: ServingPolicy) -> None:
    if not policy.service_account:
        return
    try:
        found = api.get(f"/api/v1/namespaces/{target.namespace}/serviceaccounts/{policy.service_account}")
    except UserError:
        return  # It may not be read.
    if found is None:
        raise UserError(
            f"serving_policy: service_account {policy.service_account!r}: there is none in namespace "
            f"{target.namespace}; make it, with the storage secret or the identity that may read the models"
        )
