"""Waiting until a cluster is as it was told to be, with progress, and saying why it is not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import Api
from mainspring.components.deployment.kserve import cancelling, durations, objects
from mainspring.components.deployment.targets import Target

LOG_LINES = 40
HOPELESS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
)
"""Reasons for which a container waits that seldom pass."""

NO_POD = ("exceeded quota", "violates PodSecurity")
"""In an event: no pod may be made; that seldom passes, too."""

TELLING = re.compile(r"error|exception|fail|denied|forbidden|not found|no such|refused|invalid|cannot", re.IGNORECASE)
"""Marks the line of a log that says what went wrong."""


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
        UserError: It did not come to be in time, or cannot; with what conditions, events, pods and their logs say.
    """
    title = f"kserve://{target.namespace}/{target.name}: version {version.number}"
    looking = _Looking(api, target, version)
    looking.forget_events()
    began, told, said, hopeless_since = time.monotonic(), 0.0, "", 0.0
    while True:
        cancelling.check(title)
        found = api.get(objects.path(target))
        if found is None:
            raise UserError(f"{title}: the InferenceService was deleted while it was waited for")
        missing = arrived(found)
        if not missing:
            return found
        waited = time.monotonic() - began
        hopeless = looking.hopeless()
        hopeless_since = (hopeless_since or waited) if hopeless else 0.0
        if hopeless and (waited - hopeless_since > durations.HOPELESS_SECONDS or waited > seconds):
            raise UserError(f"{title}: does not start: {hopeless}{looking.log()}")
        reason = hopeless or looking.reason(found)
        text = f"{missing}: {reason}" if reason and reason not in missing else missing
        if waited > seconds:
            raise UserError(f"{title}: {text} after {waited:.0f} s{looking.log()}")
        if waited > durations.FIRST_WORD_SECONDS and (text != said or waited - told > durations.PROGRESS_SECONDS):
            told, said = waited, text
            print(f"{title}: {text} ({waited:.0f} s)", flush=True)
        time.sleep(durations.POLL_SECONDS)


@dataclass
class _Looking:
    """What a cluster says about the pods of one version of a service."""

    api: Api
    target: Target
    version: objects.Version
    known: dict[str, int] = field(default_factory=dict)
    """Events that were there before, with their counts: they say nothing of this version."""

    def forget_events(self) -> None:
        self.known = {event["metadata"].get("uid", ""): event.get("count") or 0 for event in self._events()}

    def hopeless(self) -> str:
        """Returns why its pods will not start by themselves, in words; empty if they may."""
        for name, status in self._containers():
            waiting = status.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in HOPELESS:
                last = status.get("lastState", {}).get("terminated") or {}
                said = last.get("message") or waiting.get("message") or ""
                ended = f" (it ended with status {last['exitCode']})" if last.get("exitCode") else ""
                return f"container {name}: {waiting['reason']}{ended}: {said}".rstrip(": ")
        return next((text for text in self._warnings() if any(words in text for words in NO_POD)), "")

    def reason(self, found: dict[str, Any]) -> str:
        """Returns the nearest thing to a reason that anybody gives: a pod, an event, KServe; empty if nobody does."""
        for pod in self._pods():
            for each in pod.get("status", {}).get("conditions") or []:
                if each.get("type") == "PodScheduled" and each.get("status") == "False":
                    return f"its pod is not scheduled: {each.get('message') or each.get('reason')}"
        warnings = self._warnings()
        if warnings:
            return warnings[-1]
        for kind in ("PredictorReady", "IngressReady", "Ready"):
            status, said = objects.condition(found, kind)
            if status == "False" and said:
                return f"{kind}: {said}"
        return ""

    def log(self) -> str:
        """Returns the line of a failed container's log that says why; empty if there is none."""
        failed = [(pod, name) for pod, name in self._failed_containers()]
        pods = [(pod["metadata"]["name"], name) for pod in self._pods() for name in (objects.CONTAINER,)]
        for pod, container in [*failed, *pods]:
            path = f"/api/v1/namespaces/{self.target.namespace}/pods/{pod}/log"
            for previous in ("true", "false"):
                # A kubelet that does not answer must not hold up what the step has to say.
                text = self.api.glance(path, container=container, tailLines=LOG_LINES, previous=previous)
                if text and text.strip():
                    return f"; {container} says: {_telling_line(text)[-600:]}"
        return ""

    def _failed_containers(self) -> Iterator[tuple[str, str]]:
        for pod in self._pods():
            for status in _statuses(pod):
                state, last = status.get("state", {}), status.get("lastState", {})
                ended = [part["terminated"].get("exitCode") for part in (state, last) if part.get("terminated")]
                if any(ended) or (state.get("waiting") or {}).get("reason") in HOPELESS:
                    yield pod["metadata"]["name"], status.get("name", "")

    def _containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for pod in self._pods():
            for status in _statuses(pod):
                yield status.get("name", ""), status

    def _pods(self) -> list[dict[str, Any]]:
        query = {"labelSelector": f"serving.kserve.io/inferenceservice={self.target.name}"}
        try:
            found = (self.api.get(f"/api/v1/namespaces/{self.target.namespace}/pods", **query) or {}).get("items", [])
        except UserError:
            return []  # They may not be listed: the conditions must do.
        ours = (self.version.uri, None)
        return [pod for pod in found if objects.annotations_of(pod).get(objects.URI_ANNOTATION) in ours]

    def _events(self) -> list[dict[str, Any]]:
        try:
            query = {"fieldSelector": "type=Warning"}
            place = f"/api/v1/namespaces/{self.target.namespace}/events"
            return list((self.api.get(place, **query) or {}).get("items", []))
        except UserError:
            return []

    def _warnings(self) -> list[str]:
        """Returns what the warnings since the wait began say about what KServe made for the service."""
        prefix = objects.predictor_name(self.target)
        return [
            f"{event.get('reason')}: {event.get('message')}"
            for event in self._events()
            if str(event.get("involvedObject", {}).get("name", "")).startswith(prefix)
            and self.known.get(event["metadata"].get("uid", ""), -1) != (event.get("count") or 0)
        ]


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _telling_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return next((line for line in reversed(lines) if TELLING.search(line)), lines[-1])
