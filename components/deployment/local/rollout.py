"""A progressive rollout: a canary gets more of the traffic step by step, and is judged at each."""

from __future__ import annotations

import statistics
import time
from typing import Any

from mainspring.components.common import manifests, published, storage
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import judgement
from mainspring.components.deployment.local import (
    durations,
    endpoint_state,
    loopback,
    model_servers,
    processes,
    routing,
)
from mainspring.components.deployment.local.endpoint_state import Server, State
from mainspring.components.deployment.local.routing import Route
from mainspring.components.deployment.replay import MODEL_ITSELF, Replay, held_out
from mainspring.components.deployment.rollouts import Plan, RolloutFailed

PAIRS = 40
"""Requests to each version, in turns, from which their median latencies are compared: noise meets both alike."""


def follow(state: State, champion: Server, canary: Server, plan: Plan) -> None:
    """Leads the canary through the steps before 100; the caller gives it everything afterwards.

    Raises:
        RolloutFailed: It was judged unfit at a step; the message says why.
    """
    replays = [held_out(canary.uri), _own_predictions(state.name, canary)]
    for percent in plan.percents[:-1]:
        shares = [(champion, 100 - percent), (canary, percent)]
        routing.write(state, [Route(server.version, server.port, share) for server, share in shares])
        reasons = _judge(state, champion, canary, replays, percent, plan.seconds)
        if reasons:
            raise RolloutFailed(
                f"local://{state.name}: version {canary.version} is taken back at {percent:g} % of the traffic: "
                f"{'; '.join(reasons)}. Version {champion.version} serves everything"
            )


def _judge(
    state: State, champion: Server, canary: Server, replays: list[Replay], percent: float, seconds: float
) -> list[str]:
    before = routing.observed(state)
    reasons = next(filter(None, (_parity(state.name, canary, replay) for replay in replays)), [])
    reasons = reasons or _replayed_latency(state.name, champion, canary, replays[0])
    deadline = time.monotonic() + (seconds if percent else 0)
    while True:
        seen = routing.observed(state)
        live, usual = (
            seen.get(server.port, judgement.Observed()).since(before.get(server.port, judgement.Observed()))
            for server in (canary, champion)
        )
        reasons = reasons or judgement.of_traffic(live, usual)
        if _has_ended(canary, durations.ENDING_SECONDS if reasons else 0.0):
            reasons = [
                f"its model server ended: {processes.last_line(model_servers.log_of(state.name, canary.version))}"
            ]
        if reasons or time.monotonic() >= deadline:
            break
        time.sleep(durations.STEP_POLL_SECONDS)
    print(
        f"local://{state.name}: version {canary.version} at {percent:g} %: "
        f"{sum(len(replay.rows) for replay in replays)} rows replayed, "
        f"{live.requests} live requests, {live.errors} failed: {'unfit' if reasons else 'fit to go on'}",
        flush=True,
    )
    return reasons


def _has_ended(server: Server, seconds: float) -> bool:
    """Returns whether a server's process is gone, within so many seconds."""
    deadline = time.monotonic() + seconds
    while processes.alive(server.process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(durations.STEP_POLL_SECONDS)
    return True


def _parity(name: str, canary: Server, replay: Replay) -> list[str]:
    answer = _predict(name, canary, replay.rows)
    if answer.status != 200:
        return [f"the replayed rows are not predicted ({answer.error})"]
    return judgement.of_parity(replay, [row["prediction"] for row in answer.content["predictions"]])


def _replayed_latency(name: str, champion: Server, canary: Server, replay: Replay) -> list[str]:
    took: dict[int, list[float]] = {champion.port: [], canary.port: []}
    began_all, pairs = time.monotonic(), 0
    while pairs < PAIRS and (pairs < 3 or time.monotonic() < began_all + durations.PAIRS_SECONDS):
        for server in (champion, canary):
            began = time.perf_counter()
            answer = _predict(name, server, [replay.rows[pairs % len(replay.rows)]])
            if answer.status == 200:
                took[server.port].append(time.perf_counter() - began)
            elif server is canary:
                return [f"a replayed row is not predicted ({answer.error})"]
        pairs += 1
        time.sleep(durations.PAIRS_PAUSE_SECONDS)
    # A champion with other features refuses these rows: there is nothing to compare with.
    if len(took[champion.port]) < pairs / 2:
        return []
    canaries, champions = (statistics.median(took[server.port]) for server in (canary, champion))
    return judgement.of_latency(canaries, champions, "a replayed row")


def _predict(name: str, server: Server, rows: list[Any]) -> loopback.Answer:
    return loopback.call(server.port, "POST", f"/v1/models/{name}:predict", {"instances": rows}, seconds=30.0)


def _own_predictions(name: str, server: Server) -> Replay:
    """Asks the model itself, in a process of its own with no server between: rows with gaps, which no data may have."""
    path = published.saved_model(model_servers.copy_of(name, server.version, server.uri))
    folder = endpoint_state.folder_of(name)
    answer, log = folder / "own-predictions.json", folder / "own-predictions.log"
    answer.unlink(missing_ok=True)
    sample = path / manifests.REQUEST_FILE
    arguments = (str(path), str(answer), *([str(sample)] if sample.is_file() else []))
    asked = processes.start_serving("own_predictions", *arguments, log=log)
    asked.release()
    deadline = time.monotonic() + durations.OWN_SECONDS
    while processes.alive(asked.process):
        if time.monotonic() > deadline:
            processes.stop(asked.process, 1.0)
            raise UserError(
                f"local://{name}: version {server.version}'s own predictions, with which a rollout compares, took more "
                f"than {durations.OWN_SECONDS:.0f} s; run again when the machine is less busy"
            )
        time.sleep(durations.READY_POLL_SECONDS)
    if not answer.is_file():
        said = processes.last_line(log)
        raise RolloutFailed(f"local://{name}: version {server.version}, asked without a server, fails: {said}")
    content = storage.read_json(answer)
    return Replay(content["instances"], content["predictions"], MODEL_ITSELF)
