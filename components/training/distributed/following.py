"""Follows a TrainJob: its workers, what keeps them from starting, what they say, and how they ended.

The reader of its lines is somebody who waits: what is new is printed, and nothing twice.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass, field

from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.components.common.kubernetes_api import Api, ApiError
from mainspring.components.training.distributed import obstacles
from mainspring.components.training.distributed.api_refusals import told
from mainspring.components.training.distributed.obstacles import Object, Obstacle
from mainspring.components.training.distributed.train_job import COMPLETE, FAILED, KIND, has, place, pods_of

HOPELESS_SECONDS = 45.0
"""How long what will not pass by itself is given, before the job counts as one that does not start."""
UNSAID_SECONDS = 20.0
"""How long a job may be without pods before it is said that nobody says why."""
CONTAINER = "node"
"""Trainer's name of the container that trains."""
LAST_LINES = 5
LOGGED = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ [\w.-]+:\d+\] ")
"""What klog puts before a line that a container of Katib's passes on."""
DEADLINE = "DeadlineExceeded"
GONE = "Gone"


def follow(followed: Followed, seconds: int, pause: float = 5.0) -> None:
    """Prints what becomes of a job until it is complete.

    Args:
        followed: The job.
        seconds: After which it is given up, counted from when it was made.
        pause: Seconds between two looks.

    Raises:
        UserError: It failed, does not start, was not done in time, or is gone.
        RetriableError: The API did not answer in minutes.
    """
    title, began = f"TrainJob {followed.name}", time.monotonic()
    while True:
        state = told(followed.look, KIND, followed.namespace, f"{title}: Kubeflow Trainer is gone from this cluster")
        if state == COMPLETE:
            return
        if state == GONE:
            raise UserError(f"{title} is gone: somebody has deleted it")
        if state == FAILED and not followed.exceeded_its_deadline():
            raise UserError(f"{title} failed: {followed.why()}")
        if followed.is_hopeless and followed.obstacle:
            raise UserError(f"{title} does not start: {followed.obstacle.reason}")
        age = max(_age(followed.job), time.monotonic() - began)
        if state == FAILED or age > seconds:
            held = f" ({followed.obstacle.reason})" if followed.obstacle else ""
            raise UserError(f"{title} is not done after {seconds} s{held}; raise `timeout`")
        time.sleep(min(pause, max(seconds - age, 0.05)))


@dataclass
class Followed:
    """A TrainJob and what was said of it."""

    api: Api
    namespace: str
    name: str
    title: str = ""
    """What its lines begin with; empty: nothing."""
    containers: tuple[str, ...] = (CONTAINER,)
    """Whose logs may tell what the training says; the first that says something."""
    shows_log: bool = True
    job: Object | None = None
    pods: list[Object] = field(default_factory=list)
    obstacle: Obstacle | None = None
    _workers: dict[str, str] = field(default_factory=dict)
    _ended: dict[str, tuple[str, str, int, list[str]]] = field(default_factory=dict)
    """By pod: when it ended, which worker, its exit status, its last lines."""
    _shown: tuple[str, int] = ("", 0)
    _since: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    @property
    def state(self) -> str:
        """`Complete`, `Failed`, `Gone`, `Running`, or `Waiting`."""
        if self.job is None or self.job["metadata"].get("deletionTimestamp"):
            return GONE
        for state in (COMPLETE, FAILED):
            if has(self.job, state):
                return state
        return "Running" if self.pods and not self.obstacle else "Waiting"

    @property
    def is_hopeless(self) -> bool:
        """Whether it has long enough been kept from starting by what does not pass."""
        held = self.obstacle is not None and self.obstacle.is_final
        return held and time.monotonic() - self._since > HOPELESS_SECONDS

    def look(self) -> str:
        """Looks at it once, prints what is new, and returns its state.

        Raises:
            ApiError: The cluster does not say how it is. What only helps to explain may be missing.
        """
        self.job = self.api.get(place(self.namespace, self.name))
        if self.job is None:
            return self.state
        self.pods = sorted(pods_of(self.api, self.namespace, self.name), key=_index)
        for pod in self.pods:
            self._tell_worker(pod)
        self._tell_obstacle()
        return self.state

    def why(self) -> str:
        """Returns why it failed: the worker's own line that ended first, with its exit status; or Trainer's."""
        ended = sorted(self._ended.values())
        for _, worker, status, lines in ended:
            said = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
            if said:
                return f"{said[-1]} ({worker} ended with status {status})"
        for _, worker, status, lines in ended:
            words = " / ".join(line for line in lines[-LAST_LINES:] if line.strip())
            return f"{worker} ended with status {_named(status)}: {words or 'it said nothing'}"
        if self.obstacle:
            return self.obstacle.reason
        condition = has(self.job or {}, FAILED) or {}
        return condition.get("message") or condition.get("reason") or "no pod said why"

    def exceeded_its_deadline(self) -> bool:
        """Returns whether the cluster ended it because its time was over."""
        return (has(self.job or {}, FAILED) or {}).get("reason") == DEADLINE

    def say(self, text: str) -> None:
        """Prints a line about it."""
        print(f"{self.title}: {text}" if self.title else text, flush=True)

    def _tell_worker(self, pod: Object) -> None:
        name, worker = pod["metadata"]["name"], f"{CONTAINER}-{_index(pod)}"
        phase = pod.get("status", {}).get("phase", "Pending")
        if self._workers.get(worker) != f"{name} {phase}":
            self._workers[worker] = f"{name} {phase}"
            self.say(f"{worker}: {phase}")
        if self.shows_log and not _index(pod):
            self._show_log(name)
        if phase == "Failed" and name not in self._ended:
            when, status = _end_of(pod)
            self._ended[name] = (when, worker, status, self._lines(name, 200))

    def _show_log(self, pod: str) -> None:
        lines, (shown, count) = self._lines(pod), self._shown
        count = count if shown == pod else 0
        for line in lines[count:]:
            self.say(f"  {line}")
        if lines:
            self._shown = (pod, max(len(lines), count))

    def _lines(self, pod: str, tail: int = 0) -> list[str]:
        """Returns a pod's log; nothing where it cannot be read just now: no log is worth a training."""
        for container in self.containers:
            query = {"container": container} | ({"tailLines": str(tail)} if tail else {})
            if text := self.api.glance(f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log", **query):
                return [LOGGED.sub("", line, count=1) for line in text.splitlines()]
        return []

    def _tell_obstacle(self) -> None:
        before, self.obstacle = self.obstacle, self._found()
        if self.obstacle is None:
            return
        if before is None or before.is_final != self.obstacle.is_final:
            self._since = time.monotonic()
        if before is None or _core(before.reason) != _core(self.obstacle.reason):
            self.say(f"it does not start: {self.obstacle.reason}")

    def _found(self) -> Obstacle | None:
        assert self.job is not None
        phases = {pod.get("status", {}).get("phase", "Pending") for pod in self.pods}
        nodes = self.job["spec"].get("trainer", {}).get("numNodes", 1)
        all_run = len(self.pods) >= nodes and "Pending" not in phases
        if has(self.job, COMPLETE) or has(self.job, FAILED) or all_run:
            return None
        if found := obstacles.of_pods(self.pods):
            return found
        try:
            told = obstacles.warnings(self.api, self.namespace, self.name, self.job["metadata"]["creationTimestamp"])
        except ApiError as error:
            self.say(f"events cannot be read just now: {error}")
            return self.obstacle
        if found := obstacles.of_warnings(told, about_pods="Pending" in phases):
            return found
        if self.pods or time.monotonic() - self._began < UNSAID_SECONDS:
            return None
        if has(self.job, "Suspended"):
            return Obstacle(
                "it is suspended, and no event says why: it waits in Kueue's queue, somebody has suspended it, or "
                "Kueue cannot start it (Kueue 0.17 needs Trainer 2.2 or newer)"
            )
        return Obstacle("it has no pods yet, and no event says why; do Trainer and JobSet run?")


def _age(job: Object | None) -> float:
    """Returns how many seconds ago an object was made."""
    made = (job or {}).get("metadata", {}).get("creationTimestamp")
    return time.time() - calendar.timegm(time.strptime(made, "%Y-%m-%dT%H:%M:%SZ")) if made else 0.0


def _index(pod: Object) -> int:
    return int((pod["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-completion-index", "0"))


def _end_of(pod: Object) -> tuple[str, int]:
    """Returns when the pod's own container ended, and its exit status."""
    ended = [
        (state.get("finishedAt") or "", int(state.get("exitCode", 0)))
        for each in pod.get("status", {}).get("containerStatuses") or []
        if (state := each.get("state", {}).get("terminated")) and (each["name"] == CONTAINER or state.get("exitCode"))
    ]
    return min(ended, key=lambda one: (one[1] == 0, one[0]), default=("", 0))


def _named(status: int) -> str:
    return {137: "137 (killed; by its memory limit, as a rule)", 143: "143 (told to end)"}.get(status, str(status))


def _core(reason: str) -> str:
    """Returns a reason without what changes from one look to the next: names of pods, numbers."""
    return re.sub(r"-[a-z0-9]{5}\b|\d+", "", reason)
