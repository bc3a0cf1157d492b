"""A Katib Experiment in a cluster: submitted, followed and removed; each of its trials is followed as a TrainJob is."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.common.kubernetes_api import Api, ApiError
from mainspring.components.training.distributed import following, obstacles, train_job
from mainspring.components.training.distributed.api_refusals import AlreadyThereError, told
from mainspring.components.training.distributed.following import Followed
from mainspring.components.training.distributed.obstacles import COLLECTOR, Obstacle
from mainspring.components.training.distributed.train_job import COMPLETE, FAILED, has
from mainspring.components.training.reporting.tuning_report import Trial
from mainspring.components.training.tuning import katib
from mainspring.components.training.tuning.katib import CONTAINER, METRIC, Tuning, values_of

Object = dict[str, Any]

KIND = "Experiment"
SUCCEEDED, EXHAUSTED, UNMEASURED = "Succeeded", "Failed", "MetricsUnavailable"
"""Katib's conditions; `Failed` is a trial's, too."""
UNAVAILABLE = ("", "unavailable")
LABEL = "katib.kubeflow.org/metrics-collector-injection"
NO_METRIC = f"Katib collects no eval_loss here: label the namespace {LABEL}=enabled"
MISSING = "there is no Katib in this cluster: install Katib 0.19 or newer, or tune in one pod with tune_model"
GONE_SECONDS = 120.0
UNMEASURED_SECONDS = 60.0
"""How long a trial that has ended may be without a figure: its collector reports when it ends."""


def submit(api: Api, namespace: str, tuning: Tuning, owners: list[Object]) -> None:
    """Submits an experiment; one of that name that is under way is taken over, a failed one is replaced.

    Raises:
        UserError: Katib or Trainer is missing, the namespace is not labelled, the account may not, or the experiment
            or a trial is refused.
        RetriableError: The API did not answer in minutes.
    """
    where = f"Experiment {namespace}/{tuning.name}"
    for _ in range(3):
        found = told(lambda: api.get(_place(namespace, tuning.name)), KIND, namespace, MISSING)
        if found and not found["metadata"].get("deletionTimestamp") and not has(found, EXHAUSTED):
            # The step's own: from a try before this one, or from a request whose answer was lost.
            print(f"{where} is under way already", flush=True)
            return
        remove(api, namespace, tuning.name)
        _check_namespace(api, namespace)
        # A trial's TrainJob is tried here, without keeping it: Katib would say its refusal nowhere but in an event.
        form = train_job.form_of(api, namespace, katib.trial_of(tuning, f"{tuning.name}-trial"))
        body = katib.experiment(tuning, form)
        body["metadata"] |= {"ownerReferences": owners} if owners else {}
        try:
            told(functools.partial(api.create, _place(namespace), body), KIND, namespace, MISSING)
        except AlreadyThereError:
            continue
        print(f"submitted {where}: {tuning.count} trials, {tuning.parallel} at a time", flush=True)
        return
    raise RetriableError(f"{where}: what is there under that name does not go away; delete it")


def follow(api: Api, namespace: str, tuning: Tuning, seconds: float, pause: float = 10.0) -> list[Trial]:
    """Prints trials and events until the experiment is complete or its time is over; returns the trials.

    Raises:
        UserError: The experiment failed, does not start, or is gone; the reason is a trial's, or Katib's.
        RetriableError: The API did not answer in minutes.
    """
    shown = _Shown(api, namespace, tuning)
    deadline = time.monotonic() + seconds
    while True:
        found = told(shown.look, KIND, namespace, MISSING)
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise UserError(f"Experiment {tuning.name} is gone: somebody has deleted it")
        if failed := has(found, EXHAUSTED):
            raise UserError(
                f"Experiment {tuning.name} failed: {shown.why() or failed.get('message') or 'no reason given'}"
            )
        if held := shown.hopeless():
            raise UserError(f"Experiment {tuning.name} does not go on: {held}")
        if has(found, SUCCEEDED):
            return shown.trials()
        if time.monotonic() > deadline:
            why = f" ({shown.obstacle.reason})" if shown.obstacle else ""
            print(f"the time is over after {seconds:.0f} s{why}: what was found so far counts", flush=True)
            return shown.trials()
        time.sleep(min(pause, max(deadline - time.monotonic(), 0.05)))


def best_of(api: Api, namespace: str, name: str) -> dict[str, str]:
    """Returns what Katib assigned to the best trial, by its names; nothing where no trial has succeeded."""
    found = told(lambda: api.get(_place(namespace, name)), KIND, namespace, MISSING) or {}
    optimal = found.get("status", {}).get("currentOptimalTrial") or {}
    return _assigned(optimal)


def remove(api: Api, namespace: str, name: str, longest: float | None = None) -> None:
    """Deletes an experiment, and waits until it and its trials are gone; nothing happens if there is none."""
    deadline = time.monotonic() + (GONE_SECONDS if longest is None else longest)
    while True:
        told(lambda: api.delete(_place(namespace, name)), KIND, namespace, MISSING)
        gone = told(lambda: api.get(_place(namespace, name)) is None, KIND, namespace, MISSING)
        if (gone and not _trials(api, namespace, name)) or time.monotonic() > deadline:
            return
        time.sleep(train_job.POLL_SECONDS)


def _check_namespace(api: Api, namespace: str) -> None:
    """Refuses a namespace in which Katib would measure nothing; says nothing where it may not be read."""
    try:
        found = api.get(f"/api/v1/namespaces/{namespace}")
    except ApiError:
        return
    if found and (found["metadata"].get("labels") or {}).get(LABEL) != "enabled":
        raise UserError(f"namespace {namespace}: {NO_METRIC}")


def _place(namespace: str, name: str = "", kind: str = "experiments") -> str:
    return f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")


def _trials(api: Api, namespace: str, name: str) -> list[Object]:
    query = {"labelSelector": f"katib.kubeflow.org/experiment={name}"}
    found = told(lambda: api.call("GET", _place(namespace, kind="trials"), query=query), KIND, namespace, MISSING)
    return sorted(found.get("items") or [], key=lambda one: one["metadata"].get("creationTimestamp") or "")


def _assigned(trial: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in trial.get("parameterAssignments") or []}


def _loss(trial: Object) -> float:
    """Returns the lowest eval loss that Katib has collected; NaN where there is none."""
    metrics = trial.get("status", {}).get("observation", {}).get("metrics") or []
    found = [metric.get("min", "") for metric in metrics if metric["name"] == METRIC]
    return float(found[0]) if found and found[0] not in UNAVAILABLE else math.nan


@dataclass
class _Shown:
    """What has been printed of an experiment, so that only news are."""

    api: Api
    namespace: str
    tuning: Tuning
    obstacle: Obstacle | None = None
    """What keeps the search itself from starting."""
    _found: list[Object] = field(default_factory=list)
    _followed: dict[str, Followed] = field(default_factory=dict)
    """By trial; a trial's TrainJob has its name."""
    _states: dict[str, str] = field(default_factory=dict)
    _reasons: dict[str, str] = field(default_factory=dict)
    """Of trials that came to nothing."""
    _unmeasured: dict[str, float] = field(default_factory=dict)
    """Since when a trial that has ended is without a figure."""
    _since: float = 0.0

    def look(self) -> Object | None:
        """Looks at everything once, prints what is new, and returns the experiment."""
        found: Object | None = self.api.get(_place(self.namespace, self.tuning.name))
        self._found = _trials(self.api, self.namespace, self.tuning.name)
        for trial in self._found:
            self._tell(trial)
        if found:
            self._tell_obstacle(found)
        return found

    def hopeless(self) -> str:
        """Returns why this tuning comes to nothing, in words; empty: it may come to something."""
        for name, job in self._followed.items():
            if job.is_hopeless and job.obstacle:
                return f"trial {name} does not start: {job.obstacle.reason}"
        for name, since in self._unmeasured.items():
            if time.monotonic() - since > UNMEASURED_SECONDS:
                return f"trial {name} has ended without a figure. {NO_METRIC}"
        if self.obstacle and self.obstacle.is_final and time.monotonic() - self._since > following.HOPELESS_SECONDS:
            return self.obstacle.reason
        return ""

    def trials(self) -> list[Trial]:
        """Returns what became of each trial."""
        return [self._ended(number, trial) for number, trial in enumerate(self._found, 1)]

    def why(self) -> str:
        """Returns why the last trial failed."""
        return next(reversed(self._reasons.values()), "")

    def _tell(self, trial: Object) -> None:
        name = trial["metadata"]["name"]
        state = _state(trial)
        if state in (COMPLETE, FAILED):
            self._unmeasured.pop(name, None)
            self._end(trial, state)
            return
        job = self._followed.setdefault(name, self._following(name))
        now = job.look()
        if now == COMPLETE:
            self._unmeasured.setdefault(name, time.monotonic())
        for each in job.pods:
            if COLLECTOR not in {container["name"] for container in each["spec"]["containers"]}:
                raise UserError(f"trial {name}: its pod has no collector. {NO_METRIC}")
        self._say(trial, "waiting" if now == "Gone" else now.lower())

    def _following(self, name: str) -> Followed:
        title = f"trial {name}"
        return Followed(self.api, self.namespace, name, title, containers=(COLLECTOR, CONTAINER), shows_log=False)

    def _end(self, trial: Object, state: str) -> None:
        """Says what a trial came to, and removes its TrainJob: a quota counts those that have ended, too."""
        name, loss = trial["metadata"]["name"], _loss(trial)
        if name in self._states and self._states[name].startswith(("failed", "complete")):
            return
        if state == FAILED or math.isnan(loss):
            job = self._followed.get(name) or self._following(name)
            job.look()
            failed = has(trial, FAILED)
            said = job.why() if job.job else str((failed or {}).get("message", ""))
            self._reasons[name] = (said or "no reason given") if failed else f"it ended, but {NO_METRIC}"
            self._say(trial, f"failed: {self._reasons[name]}")
        else:
            self._say(trial, f"complete, eval loss {loss:.4f}")
        self._followed.pop(name, None)
        train_job.forget(self.api, self.namespace, name)

    def _say(self, trial: Object, state: str) -> None:
        name = trial["metadata"]["name"]
        if self._states.get(name) != state:
            self._states[name] = state
            values = values_of(_assigned(trial["spec"]), self.tuning.space)
            print(f"trial {name}: {state}; {values}", flush=True)

    def _tell_obstacle(self, experiment: Object) -> None:
        """Says why no trial is there: the search's own pod, or Katib's events."""
        before, self.obstacle = self.obstacle, None
        if self._found and any(self._states.get(one["metadata"]["name"]) != "waiting" for one in self._found):
            return
        since = experiment["metadata"]["creationTimestamp"]
        warned = obstacles.warnings(self.api, self.namespace, self.tuning.name, since)
        self.obstacle = obstacles.of_pods(self._search_pods()) or obstacles.of_warnings(warned)
        if self.obstacle and (before is None or before.is_final != self.obstacle.is_final):
            self._since = time.monotonic()
        if self.obstacle and (before is None or before.reason != self.obstacle.reason):
            print(f"Experiment {self.tuning.name}: it does not go on: {self.obstacle.reason}", flush=True)

    def _search_pods(self) -> list[Object]:
        query = {"labelSelector": f"katib.kubeflow.org/deployment={self.tuning.name}-{katib.ALGORITHM}"}
        return list(self.api.call("GET", f"/api/v1/namespaces/{self.namespace}/pods", query=query).get("items") or [])

    def _ended(self, number: int, trial: Object) -> Trial:
        name, loss = trial["metadata"]["name"], _loss(trial)
        reason, state = self._reasons.get(name, ""), "complete" if _state(trial) == COMPLETE else "cut short"
        job = self._followed.get(name)
        if not reason and state == "cut short" and job and job.obstacle:
            reason = job.obstacle.reason
        return Trial(
            number=number,
            state="failed" if name in self._reasons else state,
            hyperparameters=values_of(_assigned(trial["spec"]), self.tuning.space),
            eval_loss=loss,
            metric=math.nan,
            epochs=None,
            seconds=math.nan,
            error=reason,
        )


def _state(trial: Object) -> str:
    """Returns `Complete`, `Failed`, or nothing: Katib is not done with it."""
    if has(trial, FAILED) or has(trial, UNMEASURED):
        return FAILED
    return COMPLETE if has(trial, SUCCEEDED) else ""
