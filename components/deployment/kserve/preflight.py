"""What a cluster must have and allow before anything is published for it: looked at first, said in one line each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from mainspring.components.common import pod_security
from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import UNDECLARED, Api, ApiError
from mainspring.components.deployment.kserve import names, objects, settings
from mainspring.components.deployment.kserve.objects import KNATIVE, STANDARD, Version
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.targets import Target

GROUP = "serving.kserve.io"
RIGHTS = {
    (GROUP, "inferenceservices"): ("get", "create", "patch", "delete"),
    ("", "configmaps"): ("get", "create", "update"),
    ("apps", "deployments"): ("get",),
}
"""What a rollout cannot do without, by API group and resource."""

USEFUL = {("", "pods"): ("list",), ("", "events"): ("list",), ("", "pods/log"): ("get",)}
"""What lets it say why a version does not start."""

PROXY = {("", "services/proxy"): ("get", "create")}
"""What asking a canary through the Kubernetes API takes."""


@dataclass(frozen=True)
class Cluster:
    """What was found."""

    mode: str
    """`objects.KNATIVE` or `objects.STANDARD`."""
    word: str
    """What this cluster's KServe, or the service that is there, calls the mode."""
    service: dict[str, Any] | None
    """The InferenceService, if it exists."""


def check(
    api: Api, target: Target, policy: ServingPolicy, percents: tuple[float, ...], proxied: bool, version: Version
) -> Cluster:
    """Looks at everything a rollout needs.

    Args:
        api: The cluster.
        target: Where to serve.
        policy: The serving policy.
        percents: The rollout's steps.
        proxied: Whether canaries are asked through the Kubernetes API.
        version: What is to be served; one that is not published yet stands for itself.

    Raises:
        UserError: Something is missing, or the cluster would refuse what is to be applied; the message says what. Where
            a right is missing, the Role that would grant it is printed.
    """
    title = f"kserve://{target.namespace}/{target.name}"
    groups = {group["name"] for group in (api.get("/apis") or {}).get("groups", [])}
    if GROUP not in groups:
        raise UserError(f"{title}: this cluster has no KServe ({GROUP} is not served); install KServe 0.15 or newer")
    _check_namespace(api, target)
    _check_rights(api, target, {**RIGHTS, **(PROXY if proxied else {})})
    found = api.get(objects.path(target))
    if found and objects.specified(found) is None:
        raise UserError(
            f"{title}: this InferenceService was not deployed by Mainspring; choose another name, or delete it first"
        )
    mode = _mode(api, found, policy, groups)
    names.check(api, target, mode)
    _check_steps(mode, policy, percents)
    check_layout(policy, version)
    _check_pod_security(api, target, version)
    _check_runtime(api, target, policy)
    _check_account(api, target, policy)
    word = (objects.word_of(found) if found else "") or _word(api, target, mode, policy, version)
    _rehearse(api, target, mode, word, policy, version)
    return Cluster(mode, word, found)


def _check_steps(mode: str, policy: ServingPolicy, percents: tuple[float, ...]) -> None:
    if mode == STANDARD and policy.min_replicas == 0:
        raise UserError("serving_policy: min_replicas 0: only Knative scales to zero; this service is in Standard mode")
    between = [percent for percent in percents if 0 < percent < 100]
    if between and mode == STANDARD:
        raise UserError(
            f"rollout step {between[0]:g}: no release of KServe moves a share of the traffic in Standard mode, even "
            "where its status says so; write rollout=0,100: the version is judged on held-out rows, then it gets all"
        )
    if any(percent != int(percent) for percent in percents):
        raise UserError("rollout: KServe takes whole percentages only")


def _word(api: Api, target: Target, mode: str, policy: ServingPolicy, version: Version) -> str:
    """Returns what this cluster's KServe calls a mode: it has other words since the release that has `storageUris`."""
    body = objects.service(target, mode, mode, policy, version)
    model = body["spec"]["predictor"]["model"]
    body["spec"]["predictor"]["storageUris"] = [{"uri": model.pop("storageUri"), "mountPath": "/mnt/models"}]
    try:
        api.rehearse(objects.path(target), body)
    except ApiError as error:
        if UNDECLARED in str(error) and "storageUris" in str(error):
            return objects.OLDER_WORDS[mode]
        if not error.refuses:
            raise
    return mode


def _rehearse(api: Api, target: Target, mode: str, word: str, policy: ServingPolicy, version: Version) -> None:
    """Asks the cluster whether it would take what a rollout applies; nothing is kept.

    Raises:
        UserError: The schema, a webhook, a quota or a right refuses it.
    """
    share = 0 if mode == KNATIVE else None
    asked = [(target, objects.service(target, mode, word, policy, version, share))]
    if mode == STANDARD:
        asked.append((objects.candidate_of(target), objects.candidate(target, word, policy, version)))
    for which, body in asked:
        try:
            api.rehearse(objects.path(which), body)
        except ApiError as error:
            if error.refuses:
                raise UserError(
                    f"kserve://{target.namespace}/{target.name}: this cluster would refuse the InferenceService "
                    f"{which.name}, so nothing was published: {error}"
                ) from error
            raise


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


def _check_pod_security(api: Api, target: Target, version: Version) -> None:
    """Refuses a namespace that would refuse the version's pods; nothing is wrong with what may not be read."""
    try:
        namespace = api.get(f"/api/v1/namespaces/{target.namespace}") or {}
        if pod_security.level(namespace) != pod_security.RESTRICTED:
            return
        listed = api.get(f"/apis/{GROUP}/v1alpha1/clusterstoragecontainers") or {}
    except ApiError as error:
        if error.is_unanswered:
            raise
        return
    if why := pod_security.refused_initializer(listed.get("items") or [], version.uri):
        raise UserError(
            f"kserve://{target.namespace}/{target.name}: namespace {target.namespace} enforces pod security "
            f"{pod_security.RESTRICTED!r}. {why}"
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
    default = objects.mode_of_word(str(settings.read(api, "deploy").get("defaultDeploymentMode") or ""))
    if default in (KNATIVE, STANDARD):
        return default
    return KNATIVE if "serving.knative.dev" in groups else STANDARD


def check_layout(policy: ServingPolicy, version: Version) -> None:
    """Checks that the runtime takes a version as it was published.

    Raises:
        UserError: It was published before versions had a folder for TensorFlow Serving, and that would serve it.
    """
    if not policy.runtime and not version.inside:
        raise UserError(
            f"{version.uri}: was published before versions had a folder for TensorFlow Serving, which takes nothing "
            "but integer folders; name a runtime that takes it (serving_policy: runtime: mainspring), or publish the "
            "model anew"
        )


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
