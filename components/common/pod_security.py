"""What a namespace's pod security would refuse: found in objects of the Kubernetes API, before a pod is tried."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

LEVEL = "pod-security.kubernetes.io/enforce"
RESTRICTED = "restricted"
SECCOMP = ("RuntimeDefault", "Localhost")

STORAGE_CURE = (
    "once for the cluster, as its administrator: kubectl patch clusterstoragecontainer {name} --type merge "
    "--patch-file manifests/kserve/storage-container.yaml"
)


def level(namespace: Mapping[str, Any]) -> str:
    """Returns the level that a namespace enforces; empty: what the cluster has for all."""
    return str((namespace.get("metadata", {}).get("labels") or {}).get(LEVEL, ""))


def lacks(container: Mapping[str, Any]) -> list[str]:
    """Returns what a container lacks to be "restricted" in any pod: fields of its `securityContext`."""
    found = container.get("securityContext") or {}
    lacking = []
    if found.get("allowPrivilegeEscalation") is not False:
        lacking.append("allowPrivilegeEscalation: false")
    if "ALL" not in ((found.get("capabilities") or {}).get("drop") or []):
        lacking.append("capabilities: {drop: [ALL]}")
    if found.get("runAsNonRoot") is not True:
        lacking.append("runAsNonRoot: true")
    if (found.get("seccompProfile") or {}).get("type") not in SECCOMP:
        lacking.append("seccompProfile: {type: RuntimeDefault}")
    return lacking


def refused_initializer(storage_containers: Sequence[Mapping[str, Any]], uri: str = "") -> str:
    """Returns why a "restricted" namespace would refuse every model pod of KServe's, in words; empty: it would not.

    Args:
        storage_containers: The cluster's `ClusterStorageContainer` objects.
        uri: Of a model; empty: of any.
    """
    for each in storage_containers:
        if lacking := lacks(each.get("spec", {}).get("container") or {}):
            if uri and not _takes(each, uri):
                continue
            name = each["metadata"]["name"]
            return (
                f"KServe's storage initializer (clusterstoragecontainer {name}) lacks {', '.join(lacking)}, so that no "
                f"model pod is made; mend it {STORAGE_CURE.format(name=name)}"
            )
    return ""


def _takes(storage_container: Mapping[str, Any], uri: str) -> bool:
    formats = storage_container.get("spec", {}).get("supportedUriFormats") or []
    return any(
        (one.get("prefix") and uri.startswith(one["prefix"])) or (one.get("regex") and re.match(one["regex"], uri))
        for one in formats
    )
