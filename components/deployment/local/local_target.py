"""The target `local://<name>`: model servers behind a front that owns the endpoint's port, on loopback."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.local import (
    durations,
    endpoint_state,
    loopback,
    model_servers,
    processes,
    repair,
    rollout,
    routing,
)
from mainspring.components.deployment.local.endpoint_state import FAILED, SERVING, STOPPED, Endpoint, Server, State
from mainspring.components.deployment.local.processes import Probationer
from mainspring.components.deployment.local.routing import Route
from mainspring.components.deployment.rollouts import Plan, RolloutFailed
from mainspring.components.deployment.versions import models_root, takeovers


def deploy(name: str, version: int, uri: str, plan: Plan | None = None) -> str:
    """Serves a published version, without a failed request in between, and returns the endpoint's URL.

    The version is loaded, warmed up and checked before it gets traffic; if that fails, whatever was served still is.
    A rollout that was killed is led from its first step again if it was this version's, and taken back otherwise.

    Args:
        name: The endpoint's and the model's name.
        version: The version's number.
        uri: Where it is published.
        plan: The steps of its rollout; None, or nothing served yet: all traffic at once.

    Raises:
        UserError: It cannot be served, or did not pass a step of its rollout and is withdrawn.
    """
    processes.check_serving()
    with endpoint_state.locked(name):
        known = endpoint_state.read(name) or endpoint_state.new(name)
        state = repair.tidy(known, coming=uri)
        if state.uri == uri and not repair.problem(state):
            print(f"{repair.title(state)} serves version {version} already", flush=True)
            return state.url
        try:
            return _bring_up(state, version, uri, plan).url
        except RolloutFailed as failure:
            _withdraw(name, version, uri, str(failure))
            raise


def _withdraw(name: str, version: int, uri: str, reason: str) -> None:
    """Records that a version failed its rollout, and makes sure that its traffic really is gone."""
    state = _existing(name)
    gone = takeovers.withdrawal_of(version, uri, reason)
    others = tuple(withdrawal for withdrawal in state.withdrawn if withdrawal.uri != uri)
    endpoint_state.write(replace(state, withdrawn=(*others, gone)))
    routes = [(route.version, route.percent) for route in routing.read(state)]
    if routes != [(state.version, 100.0)]:
        raise UserError(f"{reason}; but the front routes {routes}: run `mainspring endpoints stop {name}`, then start")


def rollback(name: str, to: int = 0, reason: str = "", replacing: int = 0) -> Endpoint:
    """Serves an earlier version again, with a deployment's care, and withdraws what was served since.

    Args:
        name: The endpoint's name.
        to: The version to serve; 0: the one that was served before the current one.
        reason: Recorded with the withdrawal.
        replacing: The version that must go; where another one is served, nothing is done. 0: whatever is served.

    Raises:
        UserError: There is no such version, or it cannot be served. Whatever was served still is.
    """
    _existing(name)
    processes.check_serving()
    with endpoint_state.locked(name):
        known = _existing(name)
        state = repair.tidy(known)
        if takeovers.is_gone(repair.title(state), state.history, state.withdrawn, state.version, replacing):
            return _endpoint(state)
        if not to and known.uri != state.uri and known.uri in {gone.uri for gone in state.withdrawn}:
            # It had switched and was killed before it wrote that down: going on from here would go one too far.
            print(f"{repair.title(state)}: finishes a rollback to version {state.version}", flush=True)
            return _endpoint(state)
        chosen = takeovers.destination(repair.title(state), state.history, state.withdrawn, to)
        if models_root.version(chosen.uri) is None:
            raise UserError(
                f"{repair.title(state)}: version {chosen.version} is gone from {chosen.uri}; name another one with --to"
            )
        before = state.withdrawn
        withdrawn = takeovers.passed_over(state.history, before, chosen, reason or "no reason was given")
        # Before the switch: were we killed after it, an unchanged run would deploy the withdrawn version again.
        state = endpoint_state.write(replace(state, withdrawn=withdrawn))
        try:
            if state.uri != chosen.uri or repair.problem(state):
                state = _bring_up(state, chosen.version, chosen.uri)
        except BaseException:
            endpoint_state.write(replace(_existing(name), withdrawn=before))
            raise
        return _endpoint(state)


def withdrawn(name: str) -> tuple[takeovers.Withdrawal, ...]:
    """Returns the versions that were rolled back at an endpoint; none if there is no such endpoint."""
    state = endpoint_state.read(name)
    return state.withdrawn if state else ()


def history(name: str) -> tuple[takeovers.Takeover, ...]:
    """Returns the versions that an endpoint has served, the current one last; none if there is no such endpoint."""
    state = endpoint_state.read(name)
    return repair.history(repair.served(state)) if state and state.version else ()


def start(name: str) -> Endpoint:
    """Brings a stopped or failed endpoint back: the last version, the same port.

    Raises:
        UserError: There is no such endpoint, or it cannot be served.
    """
    _existing(name)
    processes.check_serving()
    with endpoint_state.locked(name):
        state = repair.tidy(_existing(name))
        if repair.problem(state):
            state = _bring_up(state, state.version, state.uri)
        return _endpoint(state)


def stop(name: str) -> Endpoint:
    """Ends an endpoint's processes once they have answered their requests; version and port are remembered.

    Raises:
        UserError: There is no such endpoint.
    """
    _known(name)
    with endpoint_state.locked(name):
        state = repair.served(_known(name))
        processes.stop(state.front, durations.DRAIN_SECONDS)
        for server in state.servers:
            processes.stop(server.process, durations.DRAIN_SECONDS)
        return _endpoint(endpoint_state.write(replace(state, front=None, servers=())))


def stop_all() -> list[Endpoint]:
    """Ends the processes of every endpoint of the local root, of one whose first deployment was cut short as well."""
    return [stop(name) for name in endpoint_state.names()]


def list_endpoints() -> list[Endpoint]:
    """Returns the local root's endpoints that have served a version, by name."""
    states = [state for state in map(endpoint_state.read, endpoint_state.names()) if state is not None]
    return [_endpoint(repair.served(state)) for state in states if state.version]


def champion(name: str) -> tuple[int, str] | None:
    """Returns number and URI of the version that an endpoint serves, or served when it stopped; None if none."""
    state = endpoint_state.read(name)
    if state is None:
        return None
    state = repair.served(state)
    return (state.version, state.uri) if state.version else None


def needed(name: str) -> set[str]:
    """Returns the URIs of the versions that an endpoint serves, tries out, or would roll back to."""
    state = endpoint_state.read(name)
    if state is None:
        return set()
    state = repair.served(state)
    before = takeovers.before(state.history, state.withdrawn) if state.history else None
    gone = {withdrawal.uri for withdrawal in state.withdrawn}
    earlier = [takeover.uri for takeover in state.history if takeover.uri != state.uri and takeover.uri not in gone]
    back = {before.uri} if before else set()
    return {state.uri, *back, *earlier[-1:], *(server.uri for server in state.servers)} - {""}


def _bring_up(state: State, version: int, uri: str, plan: Plan | None = None) -> State:
    """Loads a version, or finds it loaded, and gives it all traffic, at once or by the plan's steps."""
    if processes.alive(state.front):
        routing.wait_for_front(state)
    champion = repair.champion_of(state)
    before = [Route(champion.version, champion.port, 100.0)] if champion else routing.read(state)
    started: list[Probationer] = []
    try:
        state = _with_front(state, started)
        state, server = _with_server(state, version, uri, started)
        routing.wait_for_front(state)
        for probationer in started:
            probationer.keep()
        if plan and champion and champion.uri != uri:
            rollout.follow(state, champion, server, plan)
        routing.switch(state, server)
        _verify(state, server)
    except BaseException:
        _undo(state, before, started)
        raise
    return _retire_others(_record(state, server), server)


def _record(state: State, server: Server) -> State:
    """Writes down that a model server has all traffic."""
    other = state.uri != server.uri
    replaced = f" in place of {state.version}" if state.version and other else ""
    print(f"{repair.title(state)} serves version {server.version}{replaced}", flush=True)
    since = takeovers.now() if other or not state.since else state.since
    history = takeovers.appended(repair.history(state), server.version, server.uri, since)
    return endpoint_state.write(replace(state, version=server.version, uri=server.uri, since=since, history=history))


def _retire_others(state: State, server: Server) -> State:
    for other in state.servers:
        if other.process != server.process:
            routing.drain(state, other, durations.DRAIN_SECONDS)
            processes.stop(other.process, durations.DRAIN_SECONDS)
    return endpoint_state.write(replace(state, servers=(server,)))


def _with_front(state: State, started: list[Probationer]) -> State:
    if processes.alive(state.front):
        return state
    if not loopback.becomes_free(state.port):
        raise UserError(
            f"{repair.title(state)}: its port {state.port} is in use by another process; "
            "end that process, then run again"
        )
    front = routing.start_front(state)
    started.append(front)
    return endpoint_state.write(replace(state, front=front.process))


def _with_server(state: State, version: int, uri: str, started: list[Probationer]) -> tuple[State, Server]:
    for server in state.servers:
        if server.uri == uri and model_servers.is_ready(state.name, server):
            return state, server
    print(f"{repair.title(state)}: loading version {version}", flush=True)
    probationer, server = model_servers.start(state.name, version, uri)
    started.append(probationer)
    others = state.servers
    # Written down before it is ready: were we killed now, the next deployment would find it.
    endpoint_state.write(replace(state, servers=(*others, server)))
    server = model_servers.wait_until_ready(state.name, server)
    model_servers.check_prediction(state.name, server)
    return endpoint_state.write(replace(state, servers=(*others, server))), server


def _verify(state: State, server: Server) -> None:
    answer = loopback.call(state.port, "GET", f"/v2/models/{state.name}/ready")
    if answer.status != 200 or answer.headers.get(routing.VERSION_HEADER) != str(server.version):
        log = model_servers.log_of(state.name, server.version)
        raise UserError(f"{state.url}: version {server.version} does not answer there ({answer.error}); see {log}")
    model_servers.check_prediction(state.name, replace(server, port=state.port))


def _undo(state: State, before: list[routing.Route], started: list[Probationer]) -> None:
    """Gives the traffic back to whoever had it, and ends what was started."""
    if processes.alive(state.front):
        with contextlib.suppress(UserError):
            routing.write(state, before)
    for probationer in reversed(started):
        probationer.release()
        processes.stop(probationer.process, 5.0)
    repair.tidy(endpoint_state.read(state.name) or state)


def _endpoint(state: State) -> Endpoint:
    problem = repair.problem(state)
    lives = processes.alive(state.front)
    canary = next((route for route in routing.read(state) if route.version != state.version), None)
    anything = lives or any(processes.alive(server.process) for server in state.servers)
    return Endpoint(
        name=state.name,
        url=state.url,
        version=state.version,
        state=(FAILED if anything else STOPPED) if problem else SERVING,
        pid=state.front.pid if lives and state.front else 0,
        port=state.port,
        since=state.since,
        model=state.uri,
        problem=problem if problem and anything else "",
        canary=canary.version if canary else 0,
        canary_percent=canary.percent if canary else 0.0,
    )


def _existing(name: str) -> State:
    return _known(name, 1)


def _known(name: str, least: int = 0) -> State:
    """Returns an endpoint's state; with `least` 1, of one that has served a version."""
    state = endpoint_state.read(name)
    if state is None or state.version < least:
        root = endpoint_state.folder_of(name).parent
        raise UserError(f"local://{name}: no such endpoint in {root}; `mainspring endpoints list` shows them")
    return state
