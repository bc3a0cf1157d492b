"""An endpoint's record, brought in line with its processes: any of them, and any deployment, may have been killed."""

from __future__ import annotations

from dataclasses import replace

from mainspring.components.deployment.local import (
    durations,
    endpoint_state,
    loopback,
    model_servers,
    processes,
    routing,
)
from mainspring.components.deployment.local.endpoint_state import Server, State
from mainspring.components.deployment.versions import takeovers


def tidy(state: State, coming: str = "") -> State:
    """Brings the record up to date with the processes, and ends model servers that get no traffic.

    A canary that a killed deployment left loses its traffic, unless it is the version (`coming`) that is deployed now.
    """
    state = served(state)
    front_lives = processes.alive(state.front)
    champion = champion_of(state)
    routed = {route.port for route in routing.read(state)}
    if champion and any(server.port in routed and server.uri not in (state.uri, coming) for server in state.servers):
        print(f"{title(state)}: takes back a rollout that was not finished", flush=True)
        routing.switch(state, champion)
        routed = {champion.port}
        for server in state.servers:
            if server.port not in routed:
                routing.drain(state, server, durations.DRAIN_SECONDS)
    kept = []
    for server in state.servers:
        if not processes.alive(server.process):
            continue
        # Without a front nobody is routed: the served version's server can be used again.
        if server.port in routed or (not routed and server.uri == state.uri):
            kept.append(server)
        else:
            processes.stop(server.process, durations.DRAIN_SECONDS)
    state = replace(state, front=state.front if front_lives else None, servers=tuple(kept))
    return endpoint_state.write(state) if state.version or state.front or endpoint_state.read(state.name) else state


def champion_of(state: State) -> Server | None:
    """Returns the served version's model server if it runs and has traffic, alone or beside a canary."""
    ports = {route.port for route in routing.read(state) if route.percent}
    found = (server for server in state.servers if server.uri == state.uri and server.port in ports)
    return next((server for server in found if processes.alive(server.process)), None)


def served(state: State) -> State:
    """Corrects version and URI by what the front says: a deployment may be killed before it could write them down."""
    routes = sorted(routing.read(state), key=lambda route: route.percent)
    # Beside a canary, the champion stays what it is, whatever its share.
    if any(server.uri == state.uri and server.port in {route.port for route in routes} for server in state.servers):
        routes = []
    server = next((server for server in state.servers if routes and server.port == routes[-1].port), None)
    if server is not None:
        state = replace(state, version=server.version, uri=server.uri)
    return replace(state, history=history(state))


def history(state: State) -> tuple[takeovers.Takeover, ...]:
    """Returns the versions that an endpoint has served, the current one last."""
    return takeovers.appended(state.history, state.version, state.uri, state.since)


def problem(state: State) -> str:
    """Returns why an endpoint does not serve its version, or an empty string."""
    if not processes.alive(state.front):
        return f"the front on port {state.port} does not run"
    ports = {route.port for route in routing.read(state)}
    routed = [server for server in state.servers if server.port in ports]
    if not routed:
        return "no version is routed"
    dead = next((server for server in routed if not processes.alive(server.process)), None)
    if dead is not None:
        log = model_servers.log_of(state.name, dead.version)
        return f"the model server of version {dead.version} does not run; see {log}"
    answer = loopback.call(state.port, "GET", f"/v2/models/{state.name}/ready", seconds=5.0)
    return "" if answer.status == 200 else answer.error


def title(state: State) -> str:
    """Returns an endpoint's target."""
    return f"local://{state.name}"
