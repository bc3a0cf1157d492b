"""The credentials that KServe would read the models with: found missing before a pod waits for them in vain.

KServe (`pkg/credentials`) takes them from the secret that the service's annotation names, else from each of the service
account's `secrets`; one that is not there keeps it from making pods, one without its keys is passed over. Its secret
`storage-config` is for services with a `storage` section, which ours have not. Identities without secrets (workload
identity, the nodes' own) can be there unseen, so their absence is said and not refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import Api
from mainspring.components.deployment.kserve import objects, settings
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.targets import Target

DEFAULT_ACCOUNT = "default"
IDENTITIES = {"gs": "iam.gke.io/gcp-service-account", "s3": "eks.amazonaws.com/role-arn"}
"""Annotations of a service account that stand for a cloud's identity, by the models' scheme."""

NOT_FOR_STORAGE = ("kubernetes.io/service-account-token", "kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
"""Types of secrets that clusters attach to accounts by themselves."""


@dataclass(frozen=True)
class Names:
    """What KServe looks for, as its ConfigMap says; what that leaves out is as in KServe's code."""

    annotation: str = "serving.kserve.io/storageSecretName"
    s3_id: str = "awsAccessKeyID"
    s3_key: str = "awsSecretAccessKey"
    google_file: str = "gcloud-application-credentials.json"
    are_known: bool = False
    """Whether the ConfigMap could be read. The usual one has other names than the code: without it no key is wrong."""

    def keys(self, scheme: str) -> tuple[str, ...]:
        """Returns the keys that a secret must have, the one by which KServe recognises it first."""
        return (self.s3_key, self.s3_id) if scheme == "s3" else (self.google_file,)


def check(api: Api, target: Target, policy: ServingPolicy, root: str, found: dict[str, Any] | None) -> None:
    """Looks at the secrets that KServe would read models with; what may not be looked at is said and passed over.

    Args:
        api: The cluster.
        target: The service.
        policy: The serving policy.
        root: Where the models are: `gs://…` or `s3://…`.
        found: The InferenceService, if it exists.

    Raises:
        UserError: A secret is not there, or cannot be used; the message says what to do.
    """
    scheme, names = root.partition("://")[0], _names(api)
    annotations = {**(objects.annotations_of(found) if found else {}), **policy.annotations}
    named = annotations.get(names.annotation)
    # People may have named one, and what they set stays.
    set_by_people = (found or {}).get("spec", {}).get("predictor", {}).get("serviceAccountName")
    name = policy.service_account or set_by_people or DEFAULT_ACCOUNT
    try:
        account = api.get(f"/api/v1/namespaces/{target.namespace}/serviceaccounts/{name}") or {}
    except UserError:
        _say(target, f"service account {name!r} may not be read, so its storage secret is not checked")
        return
    secrets = [named] if named else [each["name"] for each in account.get("secrets") or []]
    owner = f"annotation {names.annotation}" if named else f"service account {name!r}"
    usable = [_is_usable(api, target, secret, owner, names, scheme) for secret in secrets]
    wanted = " and ".join(sorted(names.keys(scheme)))
    if named and usable == [False]:
        raise UserError(
            f"{owner} names secret {named!r} of namespace {target.namespace}, which has no {wanted}: KServe reads "
            f"{scheme}:// with these; add them"
        )
    if not any(one is not False for one in usable) and IDENTITIES[scheme] not in objects.annotations_of(account):
        lacking = f"no secret with {wanted} among its secrets ({', '.join(secrets) or 'it has none'})"
        _say(
            target,
            f"{owner} has {lacking} and no annotation {IDENTITIES[scheme]}: unless the nodes may read {root}, the pods "
            "will not; attach such a secret or identity to it, or name another account in serving_policy: "
            "service_account",
        )


def _is_usable(api: Api, target: Target, secret: str, owner: str, names: Names, scheme: str) -> bool | None:
    """Returns whether KServe would read models with a secret; None if that cannot be known from here."""
    keys = names.keys(scheme)
    if not api.may(namespace=target.namespace, verb="get", resource="secrets", name=secret):
        _say(target, f"secret {secret!r} of {owner} may not be read from here, so it is not checked")
        return None
    found = api.get(f"/api/v1/namespaces/{target.namespace}/secrets/{secret}")
    if found is None:
        raise UserError(
            f"{owner} names secret {secret!r}, which is not in namespace {target.namespace}: KServe starts no pod "
            f"without it; make it, with {' and '.join(sorted(keys))}, or take its name away"
        )
    if not names.are_known:
        return None
    there = set(found.get("data") or {})
    if found.get("type") in NOT_FOR_STORAGE or keys[0] not in there:
        return False
    missing = [key for key in keys if key not in there]
    if missing:
        raise UserError(
            f"secret {secret!r} of {owner} in namespace {target.namespace} has {keys[0]} and no {missing[0]}: the pods "
            "would not start; add it"
        )
    return True


def _names(api: Api) -> Names:
    """Returns the names of this cluster's KServe, or the usual ones where its configuration may not be read."""
    usual, content = Names(), settings.read(api, "credentials")
    s3, google = content.get("s3") or {}, content.get("gcs") or {}
    return Names(
        content.get("storageSecretNameAnnotation") or usual.annotation,
        s3.get("s3AccessKeyIDName") or usual.s3_id,
        s3.get("s3SecretAccessKeyName") or usual.s3_key,
        google.get("gcsCredentialFileName") or usual.google_file,
        are_known=bool(content),
    )


def _say(target: Target, what: str) -> None:
    print(f"kserve://{target.namespace}/{target.name}: {what}", flush=True)
