"""What must outlast a run, in a ConfigMap `mainspring-<name>`: who rolls out what, what was served and taken back.

Every write is bound to the resource version that was read, so that of two runs at once one goes on and one is told.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.kubernetes_api import Api, ApiError
from mainspring.components.deployment.kserve import durations
from mainspring.components.deployment.kserve.objects import Version
from mainspring.components.deployment.targets import Target
from mainspring.components.deployment.versions.takeovers import Takeover, Withdrawal

KEY = "record.json"
CONFLICTS = 10
"""How often a write is repeated that the server refused for a conflict, though nobody else has written."""

KEPT = 100
"""Takeovers and withdrawals that are remembered: a ConfigMap holds 1 MB, and each takes less than 1 kB."""


class Overtaken(UserError):
    """Another run has taken the rollout over; it is theirs to finish."""


@dataclass(frozen=True)
class Record:
    """The state between two runs."""

    champion: Version | None = None
    """What serves everything, or everything but the candidate's share."""
    candidate: Version | None = None
    """What is being rolled out."""
    before: str = ""
    """Knative's newest revision when the predictor was changed last: the one that is waited for is another."""
    restoring: bool = False
    """Whether the champion's predictor was put back in Knative's newest revision."""
    percent: int = 0
    """The candidate's share of the traffic."""
    holder: str = ""
    """The run that leads the rollout."""
    until: float = 0.0
    """Seconds since the epoch: if the holder has not written by then, it is gone."""
    policy: dict[str, Any] = field(default_factory=dict)
    """The serving policy of the last deployment: a rollback that names none uses it."""
    history: tuple[Takeover, ...] = ()
    withdrawn: tuple[Withdrawal, ...] = ()


@dataclass(frozen=True)
class Held:
    """A record as it was read."""

    record: Record
    resource_version: str
    """Empty: there was none."""


def read(api: Api, target: Target) -> Held:
    """Reads a target's record; an empty one if there is none.

    Raises:
        UserError: It may not be read, or is none of ours.
    """
    found = api.get(_path(target))
    if found is None:
        return Held(Record(), "")
    try:
        content = json.loads(found["data"][KEY])
        versions = {name: Version(**content[name]) if content[name] else None for name in ("champion", "candidate")}
        history = tuple(Takeover(**each) for each in content["history"])
        withdrawn = tuple(Withdrawal(**each) for each in content["withdrawn"])
        record = Record(**{**content, **versions, "history": history, "withdrawn": withdrawn})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"ConfigMap {target.namespace}/{_name(target)}: not a record of rollouts ({error}); remove it, and "
            "run again"
        ) from error
    return Held(record, found["metadata"]["resourceVersion"])


def write(api: Api, target: Target, held: Held, record: Record) -> Held:
    """Writes a record anew.

    Raises:
        Overtaken: Somebody else has written it since it was read.
    """
    record = replace(record, history=record.history[-KEPT:], withdrawn=record.withdrawn[-KEPT:])
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": _name(target),
            "namespace": target.namespace,
            "labels": {"mainspring/service": target.name},
        },
        "data": {KEY: json.dumps(asdict(record))},
    }
    if held.resource_version:
        body["metadata"]["resourceVersion"] = held.resource_version
    for _ in range(CONFLICTS):
        try:
            if held.resource_version:
                done = api.call("PUT", _path(target), body)
            else:
                done = api.create(f"/api/v1/namespaces/{target.namespace}/configmaps", body)
            return Held(record, done["metadata"]["resourceVersion"])
        except ApiError as error:
            if error.status != 409:
                raise
        again = read(api, target)
        if again.record == record:
            return again  # The answer to our first attempt was lost.
        if again != held:
            break
        time.sleep(durations.CONFLICT_SECONDS)
    raise Overtaken(
        f"kserve://{target.namespace}/{target.name}: another run changes it at the same moment; run again when that "
        "has ended"
    )


def _path(target: Target) -> str:
    return f"/api/v1/namespaces/{target.namespace}/configmaps/{_name(target)}"


def _name(target: Target) -> str:
    return f"mainspring-{target.name}"
