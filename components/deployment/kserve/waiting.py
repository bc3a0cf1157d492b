"""Waiting until a cluster is as it was told to be, with progress, and saying why it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import objects
from mainspring.components.deployment.kserve.api import Api
from mainspring.components.deployment.targets import Target

POLL_SECONDS = 2.0
PROGRESS_SECONDS = 15.0
LOG_LINES = 5
HOPELESS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "CreateContainerConfigError")
"""Reasons for which a container waits that seldom pass."""

HOPELESS_SECONDS = 20.0
"""...but may: they must last so long."""


def until(
    api: Api, target: Target, version: objects.Version, arrived: Callable[[dict[str, Any]], str], seconds: float
) -> dict[str, Any]:
    """Returns the InferenceService once it is as wanted.

    Args:
        api: The cluster.
        target: The service.
        version: The version that is waited for, whose pods are looked at.
        arrived: Returns what is still missing, in words; empty once nothing is.
        seconds: How long to wait.

    Raises:
        UserError: It did not come to be in time, or cannot; with the events and the last log lines of its pods.
    """
    title = f"kserve://{target.namespace}/{target.name}: version {version.number}"
    began, told, hopeless_since = time.monotonic(), 0.0, 0.0
    while True:
        found = api.get(objects.path(target))
        if found is None:
            raise UserError(f"{title}: the InferenceService was deleted while it was waited for")
        missing = arrived(found)
        if not missing:
            return found
        waited = time.monotonic() - began
        hopeless = _hopeless(api, target, version)
        hopeless_since = (hopeless_since or waited) if hopeless else 0.0
        if hopeless and (waited - hopeless_since > HOPELESS_SECONDS or waited > seconds):
            raise UserError(f"{title}: does not start: {hopeless}{_log(api, target, version)}")
        if waited > seconds:
            raise UserError(f"{title}: {missing} after {waited:.0f} s{_events(api, target, version)}")
        if waited - told > PROGRESS_SECONDS:
            told = waited
            print(f"{title}: {missing} ({waited:.0f} s)", flush=True)
        time.sleep(POLL_SECONDS)


def _hopeless(api: Api, target: Target, version: objects.Version) -> str:
    for pod in _pods(api, target, version):
        status = pod.get("status", {})
        for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            waiting = each.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in HOPELESS:
                last = each.get("lastState", {}).get("terminated") or {}
                said = last.get("message") or waiting.get("message") or ""
                return f"container {each.get('name')}: {waiting['reason']}: {said}".rstrip(": ")
    return next((text for text in _warnings(api, target, version) if "exceeded quota" in text), "")


def _pods(api: Api, target: Target, version: objects.Version) -> list[dict[str, Any]]:
    query = {"labelSelector": f"serving.kserve.io/inferenceservice={target.name}"}
    try:
        found = (api.get(f"/api/v1/namespaces/{target.namespace}/pods", **query) or {}).get("items", [])
    except UserError:
        return []  # They may not be listed: the conditions must do.
    number = str(version.number)
    return [pod for pod in found if objects.annotations_of(pod).get(objects.VERSION_ANNOTATION) in (number, None)]


def _warnings(api: Api, target: Target, version: objects.Version) -> list[str]:
    try:
        query = {"fieldSelector": "type=Warning"}
        found = (api.get(f"/api/v1/namespaces/{target.namespace}/events", **query) or {}).get("items", [])
    except UserError:
        return []
    ours = (f"{target.name}-{version.predictor}-predictor", f"{target.name}-predictor")
    return [
        f"{event.get('reason')}: {event.get('message')}"
        for event in found
        if str(event.get("involvedObject", {}).get("name", "")).startswith(ours)
    ]


def _events(api: Api, target: Target, version: objects.Version) -> str:
    said = list(dict.fromkeys(_warnings(api, target, version)))[-3:]
    return f"; events: {' | '.join(said)}{_log(api, target, version)}" if said else _log(api, target, version)


def _log(api: Api, target: Target, version: objects.Version) -> str:
    for pod in _pods(api, target, version):
        path = f"/api/v1/namespaces/{target.namespace}/pods/{pod['metadata']['name']}/log"
        for container in (objects.CONTAINER, "storage-initializer"):
            for previous in ("true", "false"):
                try:
                    text = api.get(path, container=container, tailLines=LOG_LINES, previous=previous)
                except UserError:
                    continue
                if isinstance(text, str) and text.strip():
                    lines = " | ".join(line.strip() for line in text.strip().splitlines())
                    return f"; last lines of {container}: {lines[-600:]}"
    return ""
