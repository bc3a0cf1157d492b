"""Leading a service: the one run that may change it, what it wrote down, and each change with its wait."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import Api, ApiError
from mainspring.components.deployment.kserve import durations, objects, preflight, record, waiting
from mainspring.components.deployment.kserve.objects import KNATIVE, Version
from mainspring.components.deployment.kserve.policy import ServingPolicy
from mainspring.components.deployment.kserve.record import Held, Record
from mainspring.components.deployment.targets import Target


@dataclass
class Lead:
    """This run's hold on a service."""

    api: Api
    target: Target
    policy: ServingPolicy
    cluster: preflight.Cluster
    held: Held
    step_seconds: float = 0.0
    """How long a step of this rollout is watched."""
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def record(self) -> Record:
        """What is written down."""
        return self.held.record

    @property
    def title(self) -> str:
        """The target, for messages."""
        return f"kserve://{self.target.namespace}/{self.target.name}"

    def note(self, **changes: Any) -> None:
        """Writes changes of the record down.

        Raises:
            record.Overtaken: Another run leads by now.
        """
        until = time.time() + self.policy.ready_seconds + self.step_seconds + durations.MARGIN_SECONDS
        changed = replace(self.record, holder=self.holder, until=until, **changes)
        self.held = record.write(self.api, self.target, self.held, changed)

    def release(self) -> None:
        """Lets the next run go on at once, whatever state the rollout is in; one that cannot be told waits."""
        with contextlib.suppress(UserError):
            self.held = record.write(self.api, self.target, self.held, replace(self.record, until=0.0))

    def found(self) -> dict[str, Any] | None:
        """Returns the InferenceService as it is."""
        service: dict[str, Any] | None = self.api.get(objects.path(self.target))
        return service

    def apply(self, version: Version, percent: int | None = None) -> None:
        """Applies what is ours of the service; first makes sure that nobody else leads.

        Args:
            version: What it serves.
            percent: Knative: the version's share of the traffic; None: all of it.

        Raises:
            UserError: It is refused, or another run leads by now.
        """
        mode, word = self.cluster.mode, self.cluster.word
        self.put(self.target, objects.service(self.target, mode, word, self.policy, version, percent))

    def put(self, which: Target, body: dict[str, Any]) -> None:
        """Applies an InferenceService while this run leads; raises as `apply`."""
        for left in reversed(range(record.CONFLICTS)):
            if record.read(self.api, self.target).record.holder != self.holder:
                raise record.Overtaken(f"{self.title}: another run leads the rollout by now; it is theirs to finish")
            try:
                self.api.apply(objects.path(which), body)
                return
            except ApiError as error:
                if error.refuses:
                    raise UserError(f"{self.title}: the cluster refuses the InferenceService: {error}") from error
                if error.status != 409 or not left:
                    raise
                time.sleep(
                    durations.CONFLICT_SECONDS
                )  # Somebody wrote it at the same moment, such as KServe's webhook.

    def wait(self, version: Version, arrived: Callable[[dict[str, Any]], str], seconds: float = 0.0) -> dict[str, Any]:
        """Returns the service once it is as wanted; see `waiting.until`."""
        return waiting.until(self.api, self.target, version, arrived, seconds or self.policy.ready_seconds)

    def newest(self) -> str:
        """Returns Knative's newest revision; empty in Standard mode, or if there is none."""
        return str(objects.component(self.found() or {}).get("latestCreatedRevision") or "")


def take(
    api: Api, target: Target, policy: ServingPolicy, cluster: preflight.Cluster, coming: str, step_seconds: float = 0.0
) -> Lead:
    """Makes this run the one that leads; waits for one that rolls out another version and is alive.

    Raises:
        UserError: That one did not end in time.
    """
    deadline, told = time.monotonic() + durations.LOCK_SECONDS, False
    while True:
        held = record.read(api, target)
        known = held.record
        if not known.candidate or known.candidate.uri == coming or time.time() > known.until:
            lead = Lead(api, target, policy, cluster, held, step_seconds)
            lead.note()
            return lead
        if time.monotonic() > deadline:
            raise UserError(
                f"{lead_title(target)}: another run has been rolling out version {known.candidate.number} for more "
                f"than {durations.LOCK_SECONDS:.0f} s; wait for its end, then run again"
            )
        if not told:
            told = True
            print(f"{lead_title(target)}: waits for the rollout of version {known.candidate.number}", flush=True)
        time.sleep(durations.POLL_SECONDS)


def lead_title(target: Target) -> str:
    """Returns the target, for messages."""
    return f"kserve://{target.namespace}/{target.name}"


def has_all(lead: Lead, version: Version) -> Callable[[dict[str, Any]], str]:
    """Returns the condition that a version is ready and has all traffic."""

    def arrived(found: dict[str, Any]) -> str:
        if problem := objects.failure(found):
            return problem
        if lead.cluster.mode == KNATIVE:
            return _newest_has(lead, found, 100) or _unready(found)
        return rolled_out(lead.api, lead.target, version) or _unready(found)

    return arrived


def has_share(lead: Lead, percent: int) -> Callable[[dict[str, Any]], str]:
    """Returns the condition that Knative's newest revision is ready and has its share."""
    return lambda found: _newest_has(lead, found, percent)


def rolled_out(api: Api, target: Target, version: Version) -> str:
    """Returns why a service's pods in Standard mode are not all of a version and ready; empty if they are."""
    name = objects.predictor_name(target)
    found = api.get(f"/apis/apps/v1/namespaces/{target.namespace}/deployments/{name}")
    if found is None:
        return f"KServe has not made the deployment {name}"
    spec, status = found.get("spec", {}), found.get("status", {})
    if objects.annotations_of(spec.get("template", {})).get(objects.URI_ANNOTATION) != version.uri:
        return f"KServe has not put version {version.number} into the deployment {name}"
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return f"deployment {name} is being changed"
    wanted, there = spec.get("replicas", 1), status.get("replicas", 0)
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted or ready < wanted:
        return f"deployment {name} has {min(updated, ready)} of {wanted} pods that are ready"
    return f"deployment {name} still has {there - updated} pods of another version" if there > updated else ""


def _newest_has(lead: Lead, found: dict[str, Any], percent: int) -> str:
    status = objects.component(found)
    created, ready = status.get("latestCreatedRevision"), status.get("latestReadyRevision")
    if not created or created == lead.record.before:
        return "Knative has not made its revision"
    if ready != created:
        return f"revision {created} is not ready"
    share = objects.latest_percent(found)
    return "" if share == percent else f"revision {created} has {share} % of the traffic instead of {percent} %"


def _unready(found: dict[str, Any]) -> str:
    status, said = objects.condition(found, "Ready")
    return "" if status == "True" else f"the service is not ready ({said or status})"
