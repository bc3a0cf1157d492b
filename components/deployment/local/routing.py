"""The front of a local endpoint, seen from outside: starting it, its routing table, draining what lost its traffic."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.judgement import Observed
from mainspring.components.deployment.local import durations, endpoint_state, loopback, processes
from mainspring.components.deployment.local.endpoint_state import Server, State
from mainspring.components.deployment.local.loopback import Answer
from mainspring.components.deployment.local.processes import Probationer

VERSION_HEADER = "x-mainspring-version"
"""The front says in it which version answered."""

PAYLOADS = "payloads"
"""Beside an endpoint's state."""


@dataclass(frozen=True)
class Route:
    """A version's share of the traffic."""

    version: int
    port: int
    percent: float


def start_front(state: State) -> Probationer:
    """Starts the front of an endpoint on its port."""
    _report(state).unlink(missing_ok=True)
    report, payloads = str(_report(state)), str(payload_log(state.name))
    arguments = ("--name", state.name, "--port", str(state.port), "--report", report, "--payload-log", payloads)
    return processes.start_serving("front", *arguments, log=_log(state))


def payload_log(name: str) -> Path:
    """Returns the folder that gets an endpoint's requests and responses, as KServe logs them; its size is bounded."""
    return endpoint_state.folder_of(name) / PAYLOADS


def wait_for_front(state: State) -> None:
    """Returns once the endpoint's front takes orders.

    Raises:
        UserError: It ended, or did not listen in time.
    """
    deadline = time.monotonic() + durations.FRONT_SECONDS
    while _call(state, "GET").status != 200:
        if not processes.alive(state.front):
            raise UserError(f"local://{state.name}: its front ended: {processes.last_line(_log(state))}")
        if time.monotonic() > deadline:
            raise UserError(f"local://{state.name}: its front does not answer; see {_log(state)}")
        time.sleep(durations.POLL_SECONDS)


def read(state: State) -> list[Route]:
    """Returns the routing table; empty if no front runs."""
    if not processes.alive(state.front):
        return []
    answer = _call(state, "GET")
    return [Route(**route) for route in answer.content["routes"]] if answer.status == 200 else []


def observed(state: State) -> dict[int, Observed]:
    """Returns what the front has seen of the live requests, by the model server's port.

    Raises:
        UserError: The front does not answer.
    """
    answer = _call(state, "GET")
    if answer.status != 200:
        raise UserError(f"local://{state.name}: its front does not answer ({answer.error}); see {_log(state)}")
    return {
        int(port): Observed(
            seen["requests"], seen["errors"], {float(bound): count for bound, count in seen["buckets"].items()}
        )
        for port, seen in answer.content.get("observed", {}).items()
    }


def write(state: State, routes: list[Route]) -> None:
    """Replaces the routing table in one step.

    Raises:
        UserError: The front does not take it.
    """
    answer = _call(state, "PUT", [asdict(route) for route in routes])
    if answer.status != 200:
        raise UserError(f"local://{state.name}: its front did not switch ({answer.error}); see {_log(state)}")


def switch(state: State, server: Server) -> None:
    """Gives all traffic to one model server."""
    write(state, [Route(server.version, server.port, 100.0)])


def drain(state: State, server: Server, seconds: float) -> None:
    """Returns once a model server has answered every request that the front gave it, or when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = _call(state, "GET")
        if answer.status != 200 or not answer.content["in_flight"].get(str(server.port)):
            return
        time.sleep(durations.POLL_SECONDS)


def _call(state: State, method: str, body: Any = None) -> Answer:
    try:
        report = storage.read_json(_report(state))
    except UserError as error:
        return Answer(0, str(error), {})
    return loopback.call(report["control_port"], method, "/routes", body, token=report["token"])


def _report(state: State) -> Path:
    return endpoint_state.folder_of(state.name) / "front.json"


def _log(state: State) -> Path:
    return endpoint_state.folder_of(state.name) / "front.log"
