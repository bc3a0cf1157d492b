"""Kubernetes' pod security standard "restricted", as its documentation lists it, and a read-only root file system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SECCOMP = {"RuntimeDefault", "Localhost"}


def violations(pod: dict[str, Any]) -> list[str]:
    """Returns what of a pod's specification "restricted" does not allow, each as the field and what is wrong."""
    return [*_of_pod(pod), *(line for container in _containers(pod) for line in _of_container(container, pod))]


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [container for kind in ("initContainers", "containers") for container in pod.get(kind, [])]


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field}: is set"
    for volume in pod.get("volumes", []):
        if other := set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']}: {', '.join(other)} is not allowed"
    if pod.get("securityContext", {}).get("sysctls"):
        yield "securityContext.sysctls: is set"


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own, name = container.get("securityContext", {}), container["name"]
    context = pod.get("securityContext", {}) | own
    if context.get("runAsNonRoot") is not True:
        yield f"{name}: runAsNonRoot is not true"
    if context.get("runAsUser") == 0:
        yield f"{name}: runAsUser is 0"
    if context.get("seccompProfile", {}).get("type") not in SECCOMP:
        yield f"{name}: seccompProfile is not RuntimeDefault"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    if own.get("privileged"):
        yield f"{name}: is privileged"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield f"{name}: capabilities are not dropped"
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities are added"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount is set"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name}: hostPort is set"
    if own.get("readOnlyRootFilesystem") is not True:  # More than "restricted" asks for.
        yield f"{name}: the root file system can be written"
