"""Runs on the cluster: started, followed to their end, and explained where they fail."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.pipelines.cluster.rest import Json, Unreachable
from mainspring.pipelines.cluster.server import API, Server, in_namespace, named
from mainspring.pipelines.cluster.uploads import Version

ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
FIRST_LOOK = 1.0
LONGEST_LOOK = 10.0
"""Seconds between two looks at a run: short at first, for runs that fail at once, then longer."""
PATIENCE = 600.0
"""Seconds for which a server that fails or is away does not end the following of a run."""
LOG_LINES = 30
EXECUTOR, DRIVER = "executor", "-driver"
"""What KFP calls, among a run's tasks, the node that does a task's own work, and ends the name of the one before it."""
ATTEMPT = re.compile(r"\(\d+\)$")
"""Ends the name of a node that Argo may repeat."""
STOPPED = ("CANCELING", "CANCELED")

Titles = dict[str, str]


@dataclass(frozen=True)
class TaskState:
    """How far a task is."""

    name: str
    state: str
    """KFP's word: PENDING, RUNNING, SUCCEEDED, SKIPPED, FAILED, CANCELED …"""
    seconds: float
    nodes: tuple[str, ...]
    """Ids of the workflow's nodes that may have its log, the likeliest first."""


@dataclass(frozen=True)
class RunState:
    """How far a run is."""

    run_id: str
    name: str
    state: str
    error: str
    tasks: tuple[TaskState, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    @property
    def is_success(self) -> bool:
        """Whether it ended as wanted; a cancelled run did not."""
        return self.state in ("SUCCEEDED", "SKIPPED")


@dataclass(frozen=True)
class Run:
    """A run on the cluster."""

    cluster: Server
    run_id: str
    version: Version | None = None
    """What it runs; None for a run that was looked up by its id."""

    @property
    def url(self) -> str:
        """Its page in the UI."""
        return self.cluster.link("runs", self.run_id)

    def state(self) -> RunState:
        """Returns how far it is now."""
        return self.look(None)[0]

    def look(self, titles: Titles | None) -> tuple[RunState, Titles]:
        """Returns how far it is now, and its tasks' titles: give them back the next time; None: not known yet."""
        found = self.cluster.api.get(f"{API}/runs/{self.run_id}")
        titles = self._titles(found) if titles is None else titles
        return _state(found, titles), titles

    def _titles(self, found: Json) -> Titles:
        """Returns the titles of the pipeline's tasks by name; empty if the server does not say what it runs."""
        reference = found.get("pipeline_version_reference") or {}
        spec = found.get("pipeline_spec") or {}
        if not spec and reference.get("pipeline_version_id"):
            path = f"{API}/pipelines/{reference['pipeline_id']}/versions/{reference['pipeline_version_id']}"
            with contextlib.suppress(UserError):
                spec = self.cluster.api.get(path).get("pipeline_spec") or {}
        return titles_of(spec.get("pipeline_spec") or spec)

    def cancel(self) -> None:
        """Ends it; what its tasks have published stays."""
        self.cluster.api.post(f"{API}/runs/{self.run_id}:terminate", is_repeatable=True)

    def wait(self, *, seconds: float = float("inf"), say: Callable[[str], None] = print) -> RunState:
        """Follows it to its end.

        Args:
            seconds: How long to wait.
            say: Is told, line by line, what happens.

        Returns:
            The state of a run that succeeded.

        Raises:
            UserError: The run failed (the message has the failed task and the last line of its log; the log is said),
                was cancelled, or has not ended in time; or the server is away for too long.
        """
        return follow(self, seconds, say)

    def log(self, task: TaskState) -> str:
        """Returns the last lines that a task wrote; empty if nobody has them any more.

        The API server has the log while the pod is there; the UI's server also asks the archive.
        """
        for pod in task.nodes:
            ways = (
                lambda pod: self.cluster.api.text(f"apis/v1alpha1/runs/{self.run_id}/nodes/{pod}/log"),
                lambda pod: self.cluster.api.text(
                    "k8s/pod/logs", podname=pod, runid=self.run_id, podnamespace=self.cluster.namespace or "kubeflow"
                ),
            )
            for way in ways:
                try:
                    text = way(pod)
                except UserError:
                    continue
                lines = [line for line in text.splitlines() if line.strip() and not _is_no_log(line)]
                if lines:
                    return "\n".join(lines[-LOG_LINES:])
        return ""


def start(
    cluster: Server,
    version: Version,
    arguments: dict[str, Any],
    *,
    experiment: str,
    name: str,
    service_account: str,
    pipeline_root: str,
) -> Run:
    """Starts a run of an uploaded version; see `Cluster.submit`."""
    experiment_id = cluster.experiment_id(experiment)
    configuration: Json = {"parameters": arguments}
    if pipeline_root:
        configuration["pipeline_root"] = pipeline_root
    body: Json = {
        "display_name": name or f"{version.pipeline} {datetime.now():%Y-%m-%d %H-%M-%S}",
        "experiment_id": experiment_id,
        "pipeline_version_reference": {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.version_id},
        "runtime_config": configuration,
    }
    if service_account:
        body["service_account"] = service_account
    made = cluster.api.post(f"{API}/runs", body)
    return Run(cluster, str(made["run_id"]), version)


def running(cluster: Server, recurring_run_id: str) -> list[Json]:
    """Returns the runs of a recurring run that have not ended."""
    found = cluster.api.pages(
        f"{API}/runs", "runs", filter=named(recurring_run_id, "recurring_run_id"), **in_namespace(cluster)
    )
    return [run for run in found if run.get("state") not in ENDED]


def follow(run: Run, seconds: float, say: Callable[[str], None]) -> RunState:
    """Follows a run to its end; see `Run.wait`."""
    begun = last_answer = time.monotonic()
    pause, seen = FIRST_LOOK, dict[str, str]()
    titles: Titles | None = None
    while True:
        now = time.monotonic()
        try:
            (state, titles), last_answer = run.look(titles), now
        except Unreachable as error:
            if now - last_answer > PATIENCE:
                raise UserError(f"{error}; the run {run.run_id} may still go on: {run.url}") from error
            say(f"waiting for the server: {error}")
        else:
            for task in state.tasks:
                if seen.get(task.name) != task.state:
                    seen[task.name] = task.state
                    took = f" in {task.seconds:.0f} s" if task.state in ENDED and task.seconds else ""
                    say(f"{task.name} {task.state.lower()}{took}")
            if state.has_ended:
                return _ended(run, state, say)
        if now - begun > seconds:
            raise UserError(f"the run {run.run_id} has not ended within {seconds:g} s; it goes on: {run.url}")
        time.sleep(min(pause, LONGEST_LOOK, max(seconds - (now - begun), 0.0) + 0.01))
        pause *= 1.5


def _ended(run: Run, state: RunState, say: Callable[[str], None]) -> RunState:
    if state.is_success:
        return state
    if state.state == "CANCELED":
        raise UserError(f"the run {run.run_id} was cancelled: {run.url}")
    failed = next((task for task in state.tasks if task.state == "FAILED" and task.nodes), None)
    failed = failed or next((task for task in state.tasks if task.state == "FAILED"), None)
    log = run.log(failed) if failed else ""
    if log and failed:
        say(f"the last lines of {failed.name}'s log:")
        for line in log.splitlines():
            say(f"  {line}")
    reason = last_reason(log) or state.error or "its log is no longer there; see the pods' events in the UI"
    raise UserError(f"the run {run.run_id} failed at {failed.name if failed else 'its start'}: {reason}; see {run.url}")


def last_reason(log: str) -> str:
    """Returns the line of a task's log that says why it failed: our own error's, else the last one."""
    lines = [line for line in log.splitlines() if line.strip()]
    told = [line.partition(ERROR_PREFIX)[2] for line in lines if ERROR_PREFIX in line]
    return (told or lines or [""])[-1].strip()


def titles_of(spec: Json) -> Titles:
    """Returns the titles of a compiled pipeline's tasks by name, those of its branches too; branches are no tasks."""
    components = spec.get("components") or {}
    graphs = [spec.get("root") or {}, *components.values()]
    return {
        name: (task.get("taskInfo") or {}).get("name") or name
        for graph in graphs
        for name, task in ((graph.get("dag") or {}).get("tasks") or {}).items()
        if "dag" not in components.get((task.get("componentRef") or {}).get("name"), {})
    }


def _state(run: Json, titles: Titles) -> RunState:
    """Returns a run's state from the server's words.

    Among its tasks KFP lists the workflow itself, drivers, executors, branches and each attempt by itself, without
    saying which belongs to which. Those that the pipeline's author knows are found by their names.
    """
    details = sorted(
        (run.get("run_details") or {}).get("task_details") or [], key=lambda detail: detail.get("start_time") or "9"
    )
    by_name: dict[str, list[Json]] = {}
    for detail in details:
        if name := ATTEMPT.sub("", detail.get("display_name") or ""):
            by_name.setdefault(name, []).append(detail)
    lost = [node for detail in by_name.get(EXECUTOR, []) if detail.get("state") == "FAILED" for node in _nodes(detail)]
    tasks = []
    for name, found in by_name.items():
        if name in titles or (not titles and _is_task(name, run)):
            last = next((detail for detail in found if detail["display_name"] == name), found[-1])
            nodes = [node for detail in found for node in _nodes(detail)]
            state = last.get("state", "PENDING")
            nodes += [node for node in lost if node not in nodes] if state == "FAILED" and nodes else []
            tasks.append(TaskState(titles.get(name, name), state, _seconds(last), tuple(nodes)))
        elif name.removesuffix(DRIVER) in titles and name.endswith(DRIVER) and found[-1].get("state") == "FAILED":
            title = f"{titles[name.removesuffix(DRIVER)]} (its driver)"
            tasks.append(TaskState(title, "FAILED", 0.0, tuple(_nodes(found[-1]))))
    error = (run.get("error") or {}).get("message", "")
    state = run.get("state", "PENDING")
    history = [entry.get("state") for entry in run.get("state_history") or []]
    if state == "FAILED" and any(word in history for word in STOPPED):
        state = "CANCELED"  # KFP ends a run that somebody stopped as failed.
    return RunState(run["run_id"], run.get("display_name", ""), state, error, tuple(tasks))


def _is_task(name: str, run: Json) -> bool:
    """Whether a name may be a task's, where nobody says which tasks there are."""
    return name not in (run.get("display_name"), "root", EXECUTOR, "driver") and not name.endswith(DRIVER)


def _nodes(detail: Json) -> list[str]:
    named = [detail.get("pod_name"), *(child.get("pod_name") for child in detail.get("child_tasks") or [])]
    return [node for node in named if node]


def _seconds(detail: Json) -> float:
    try:
        begun, ended = (
            datetime.fromisoformat(str(detail[key]).replace("Z", "+00:00")) for key in ("start_time", "end_time")
        )
    except (KeyError, ValueError):
        return 0.0
    return max((ended - begun).total_seconds(), 0.0)


def _is_no_log(line: str) -> bool:
    """Whether it is what the server writes, with status 200, where it cannot read a log."""
    return line.startswith('{"error_message"') or line.startswith("Could not get main container logs")
