"""A Katib Experiment in a cluster: submitted, followed and removed, through the `kubeflow` SDK's client of its own.

The SDK submits experiments under random names, with a function's source for a trial; a step that is tried again could
not find its own. So the object is `katib.experiment`'s, and the SDK's client reads what becomes of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mainspring.components.common.errors import ERROR_PREFIX, RetriableError, UserError
from mainspring.components.training.distributed.api_refusals import AlreadyThereError, told
from mainspring.components.training.distributed.api_retries import persistently, reason, status
from mainspring.components.training.reporting.tuning_report import Trial
from mainspring.components.training.tuning.katib import ALGORITHM, METRIC, Tuning, values_of

COMPLETE, FAILED = "Complete", "Failed"
KIND = "Experiment"
UNAVAILABLE = ("", "unavailable")
NO_METRIC = (
    "it ended, but Katib has collected no eval_loss; label the namespace "
    "katib.kubeflow.org/metrics-collector-injection=enabled"
)
MISSING = "there is no Katib in this cluster: install Katib 0.19 or newer, or tune in one pod with tune_model"


def connect(namespace: str = "") -> Any:
    """Returns the SDK's client; in a pod as its service account, elsewhere by the user's kubeconfig.

    Raises:
        UserError: There is no cluster to connect to.
    """
    from kubeflow.common.types import KubernetesBackendConfig
    from kubeflow.optimizer import OptimizerClient
    from kubernetes.config import ConfigException

    _let_the_sdk_know_the_algorithm()
    try:
        return OptimizerClient(KubernetesBackendConfig(namespace=namespace or None))
    except ConfigException as error:
        raise UserError(f"there is no cluster to tune on: {error}; run this in one, or set KUBECONFIG") from error


def submit(client: Any, experiment: dict[str, Any]) -> None:
    """Submits an experiment; one of that name that is under way is taken over, a failed one is replaced.

    Raises:
        UserError: Katib is missing, the account may not, or the experiment is refused.
        RetriableError: The API did not answer in minutes.
    """
    namespace, name = client.backend.namespace, experiment["metadata"]["name"]
    for _ in range(3):
        try:
            told(
                lambda: client.backend.custom_api.create_namespaced_custom_object(*_place(client), experiment),
                *(KIND, namespace, MISSING),
            )
            print(f"submitted Experiment {namespace}/{name}", flush=True)
            return
        except AlreadyThereError:
            # The step's own: from a try before this one, or from a request whose answer was lost.
            if _condition(_read(client, name), FAILED):
                remove(client, name)
                continue
            print(f"Experiment {namespace}/{name} is under way already", flush=True)
            return
    raise RetriableError(f"Experiment {namespace}/{name}: the failed one of that name does not go away; delete it")


def follow(client: Any, tuning: Tuning, seconds: float, pause: float = 10.0) -> list[Trial]:
    """Prints trials and events until the experiment is complete or its time is over; returns the trials.

    Raises:
        UserError: The experiment failed or is gone; the reason is a trial's, or Katib's.
    """
    shown = _Shown(client, tuning)
    deadline = time.monotonic() + seconds
    while True:
        job = _look(client, tuning.name)
        if job is not None:
            shown.update(job.trials)
            if job.status == FAILED:
                why = shown.why() or _condition(_read(client, tuning.name), FAILED)
                raise UserError(f"Experiment {tuning.name} failed: {why}")
            if job.status == COMPLETE:
                return shown.trials(job.trials)
            if time.monotonic() > deadline:
                print(f"the time is over after {seconds:.0f} s: what was found so far counts", flush=True)
                return shown.trials(job.trials)
        time.sleep(pause)


def best_of(client: Any, name: str) -> dict[str, str]:
    """Returns what Katib assigned to the best trial, by its names; nothing where no trial has succeeded."""
    found = persistently(lambda: client.get_best_results(name))
    return dict(found.parameters) if found else {}


def remove(client: Any, name: str, longest: float = 60.0) -> None:
    """Deletes an experiment with its trials, and waits until it is gone; nothing happens if there is none."""
    end = time.monotonic() + longest
    while time.monotonic() < end:
        try:
            persistently(lambda: client.delete_job(name), longest)
        except Exception as error:
            if status(error) == 404:
                return
            raise
        time.sleep(0.2)


def _let_the_sdk_know_the_algorithm() -> None:
    """Registers the algorithm: the SDK reads back only experiments whose algorithm it knows, which are two."""
    from kubeflow.optimizer.types import algorithm_types

    @dataclass
    class Tpe(algorithm_types.BaseAlgorithm):
        random_state: int | None = None

        @property
        def algorithm_name(self) -> str:
            return ALGORITHM

        def _to_katib_spec(self) -> Any:
            return algorithm_types.algorithm_to_katib_spec(self)

    algorithm_types.ALGORITHM_REGISTRY.setdefault(ALGORITHM, Tpe)


def _place(client: Any) -> tuple[str, str, str, str]:
    from kubeflow.optimizer.constants import constants

    return constants.GROUP, constants.VERSION, client.backend.namespace, constants.EXPERIMENT_PLURAL


def _read(client: Any, name: str) -> dict[str, Any]:
    read = client.backend.custom_api.get_namespaced_custom_object
    try:
        return dict(persistently(lambda: read(*_place(client), name)))
    except Exception as error:
        if status(error) == 404:
            raise UserError(f"Experiment {name} is gone: somebody has deleted it") from error
        raise


def _look(client: Any, name: str) -> Any:
    """Returns the SDK's view of an experiment; None while a trial's TrainJob is not there yet, or just replaced."""
    try:
        return persistently(lambda: client.get_job(name))
    except Exception as error:
        if status(error) != 404:
            raise
        _read(client, name)
        return None


def _condition(experiment: dict[str, Any], kind: str) -> str:
    """Returns the message of a condition that holds; empty where it does not."""
    found = [one for one in experiment.get("status", {}).get("conditions", []) if one["type"] == kind]
    return next((one.get("message") or kind for one in found if one["status"] == "True"), "")


def _loss(trial: Any) -> float:
    """Returns the lowest eval loss that Katib has collected; NaN where there is none."""
    found = [metric.min for metric in trial.metrics if metric.name == METRIC]
    return float(found[0]) if found and found[0] not in UNAVAILABLE else math.nan


@dataclass
class _Shown:
    """What has been printed of an experiment, so that only news are."""

    client: Any
    tuning: Tuning
    states: dict[str, str] = field(default_factory=dict)
    """By trial."""
    events: set[tuple[str, str, str]] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)
    """Of failed trials, by trial."""

    def update(self, trials: Sequence[Any]) -> None:
        """Prints what is new. What cannot be read now is read the next time: no log is worth a tuning."""
        for trial in trials:
            state, loss = trial.trainjob.status, _loss(trial)
            state = f"{state}, eval loss {loss:.4f}" if math.isfinite(loss) else state
            if self.states.get(trial.name) == state:
                continue
            self.states[trial.name] = state
            if trial.trainjob.status == FAILED:
                self.reasons[trial.name] = self._reason(trial.name)
                state = f"{state}: {self.reasons[trial.name]}"
            print(f"trial {trial.name}: {state}; {values_of(trial.parameters, self.tuning.space)}", flush=True)
        try:
            events = self.client.get_job_events(self.tuning.name)
        except Exception as error:
            print(f"events cannot be read just now: {reason(error)}", flush=True)
            return
        for event in events:
            key = (event.involved_object_name, event.reason, event.message)
            if key not in self.events:
                self.events.add(key)
                print(f"{event.involved_object_name}: {event.reason}: {event.message}", flush=True)

    def trials(self, found: Sequence[Any]) -> list[Trial]:
        """Returns what became of each trial."""
        return [self._ended(number, trial) for number, trial in enumerate(found, 1)]

    def _ended(self, number: int, trial: Any) -> Trial:
        status_, loss = trial.trainjob.status, _loss(trial)
        has_no_metric = status_ == COMPLETE and math.isnan(loss)
        state = "failed" if status_ == FAILED or has_no_metric else "complete" if status_ == COMPLETE else "cut short"
        return Trial(
            number=number,
            state=state,
            hyperparameters=values_of(trial.parameters, self.tuning.space),
            eval_loss=loss,
            metric=math.nan,
            epochs=None,
            seconds=math.nan,
            error=NO_METRIC if has_no_metric else self.reasons.get(trial.name, ""),
        )

    def why(self) -> str:
        """Returns why the last trial failed."""
        return next(reversed(self.reasons.values()), "")

    def _reason(self, trial: str) -> str:
        try:
            lines = list(self.client.get_job_logs(self.tuning.name, trial))
        except Exception as error:
            return f"its log cannot be read ({reason(error)})"
        said = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
        return said[-1] if said else " / ".join(lines[-3:]) or "its pod said nothing"
