"""Why the pods of a job do not start, in the words of whoever keeps them from it, and whether that may pass."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.kubernetes_api import Api, ApiError

Object = dict[str, Any]

UNUSABLE = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)
"""Why the kubelet keeps a container waiting that it cannot start."""

UNREADY = ("FailedAttachVolume", "FailedCreatePodSandBox", "FailedMount", "FailedScheduling")
"""Why a pod that there is does not run, in words of nodes that may pass."""

QUOTA = "exceeded quota"
SECURITY = "violates PodSecurity"
NEVER = "maximum capacity"
"""Kueue's word for a request that no amount of waiting gets admitted."""
QUEUED = re.compile(
    r"couldn't assign flavors|insufficient|not found|is inactive|doesn't (?:match|exist)|no (?:matching )?flavor"
)

_AMOUNTS = re.compile(r"(requested|limited): (.*?)(?:, (?:used|limited): |$)")
_QUANTITY = re.compile(r"([0-9.]+)([a-zA-Z]*)")
_POWERS = {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_POWERS |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTP", 1)}

COLLECTOR = "metrics-logger-and-collector"
"""The container that Katib puts into a trial's pod."""
KATIB_CURE = (
    "Katib's pods hold to it with `injectSecurityContext: true` and a suggestion's `securityContext` in katib-config"
)
SECURITY_CURE = "its runtime's pods must hold to it, as those of manifests/ do"


@dataclass(frozen=True)
class Obstacle:
    """What keeps a job's pods from starting."""

    reason: str
    is_final: bool = False
    """Whether it will not pass by itself."""


def of_pods(pods: Sequence[Object]) -> Obstacle | None:
    """Returns what keeps pods that there are from running."""
    for pod in pods:
        status = pod.get("status", {})
        for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in UNUSABLE:
                said = waiting.get("message") or container.get("image", "")
                return Obstacle(f"container {container['name']}: {waiting['reason']}: {said}", is_final=True)
        for condition in status.get("conditions") or []:
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                said = condition.get("message") or condition.get("reason", "")
                return Obstacle(f"pod {pod['metadata']['name']} is not scheduled: {said}")
    return None


def of_warnings(events: Sequence[Object], *, about_pods: bool = False) -> Obstacle | None:
    """Returns what the newest warning says about pods that are not made, or that are and do not run (`about_pods`)."""
    for event in reversed(events):
        said = " ".join(str(event.get("message", "")).split())
        if about_pods:
            if event.get("reason") in UNREADY:
                return Obstacle(f"pod {event['involvedObject'].get('name')}: {event['reason']}: {said}")
            continue
        if SECURITY in said:
            cure = KATIB_CURE if COLLECTOR in said or "suggestion" in said else SECURITY_CURE
            return Obstacle(f"pod security refuses its pods: {said}; {cure}", is_final=True)
        if QUOTA in said:
            return Obstacle(f"the quota has no room for it: {said}", is_final=_never_fits(said))
        if event.get("reason") == "Pending" or event["involvedObject"].get("kind") == "Workload":
            return Obstacle(f"it waits in Kueue's queue: {said}", is_final=NEVER in said)
        if event.get("reason") in ("FailedCreate", "TrainJobResourcesCreationFailed", "ReconcileError"):
            return Obstacle(f"{event['involvedObject'].get('kind')}: {said}", is_final=True)
    return None


def warnings(api: Api, namespace: str, name: str, since: str = "") -> list[Object]:
    """Returns the warnings about an object and what was made of it, the newest last; none where they may not be read.

    Args:
        api: The cluster.
        namespace: The object's.
        name: The object's; what controllers make of it begins with that name.
        since: Kubernetes' time: earlier ones are about an object of that name before this.
    """
    try:
        listed = api.call(
            "GET", f"/api/v1/namespaces/{namespace}/events", query={"fieldSelector": "type!=Normal", "limit": "500"}
        )
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    return about(listed.get("items") or [], name, since)


def about(events: Sequence[Object], name: str, since: str = "") -> list[Object]:
    """Returns those of the events that are about an object or what was made of it, the newest last."""
    named = re.compile(rf"(?:trainjob-)?{re.escape(name)}(?:-.*)?")
    found = [each for each in events if named.fullmatch(each["involvedObject"].get("name", ""))]
    return sorted((each for each in found if time_of(each) >= since), key=time_of)


def time_of(event: Mapping[str, Any]) -> str:
    """Returns when an event happened last, to the second; the scheduler's have `eventTime` alone."""
    series = event.get("series") or {}
    found = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return f"{(found or event['metadata'].get('creationTimestamp') or '')[:19]}Z"


def _never_fits(said: str) -> bool:
    """Returns whether more is requested than the quota has in all."""
    amounts = {
        kind: dict(part.split("=", 1) for part in listed.split(",") if "=" in part)
        for kind, listed in _AMOUNTS.findall(said)
    }
    limited = amounts.get("limited", {})
    return any(
        _number(value) > _number(limited[name])
        for name, value in amounts.get("requested", {}).items()
        if name in limited
    )


def _number(quantity: str) -> float:
    found = _QUANTITY.fullmatch(quantity.strip())
    return float(found[1]) * _POWERS.get(found[2], 1.0) if found else 0.0
