"""Deployments and rollbacks of a local target, killed by SIGKILL at every file that they publish and every switch."""

from __future__ import annotations

import itertools
import os
import signal
import traceback
from pathlib import Path

import pytest
from until import until

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.deploy_model import deploy_model
from mainspring.components.deployment.local import endpoint_state, local_target, loopback, processes, routing
from mainspring.components.deployment.rollback_model import rollback_model

TARGET = "local://flights"
STEPS = "0,50,100"


def deploy(make, judged, name: str):
    return deploy_model(str(make(name)), *judged(name), TARGET, rollout=STEPS, rollout_seconds=0)


def killed(after: int, *given: str) -> bool:
    """Whether a deployment (of a model, its statistics and evaluation), or else a rollback, was killed after so many
    publications and switches; False: it ended before. It runs in a fork, which has imported everything."""
    child = os.fork()
    if not child:
        status = 70
        try:
            kill_after(after)
            status = run(*given)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 1, -signal.SIGKILL)
    return status == -signal.SIGKILL


def kill_after(wanted: int) -> None:
    """Has this process killed after so many renames, by which files and folders are published, and changed routes."""
    done = itertools.count(1)

    def after(function, matters=lambda *_: True):
        def counted(*given, **more):
            answer = function(*given, **more)
            if matters(*given) and next(done) == wanted:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return counted

    Path.replace, Path.rename = after(Path.replace), after(Path.rename)
    loopback.call = after(loopback.call, lambda port, method, *_: method == "PUT")


def run(*given: str) -> int:
    try:
        if given:
            deploy_model(*given, TARGET, rollout=STEPS, rollout_seconds=0)
        else:
            rollback_model(TARGET, reason="late")
    except UserError:
        return 1
    return 0


def answering(url: str) -> int:
    """The version that answers a request; there is one, whatever was killed."""
    port = int(url.split(":")[2].split("/")[0])
    answer = loopback.call(port, "POST", "/v1/models/flights:predict", {"instances": [{"distance": 1.0}]})
    assert answer.status == 200, answer
    return int(answer.headers[routing.VERSION_HEADER])


def is_alone(version: int) -> bool:
    state = endpoint_state.read("flights")
    shares = [(route.version, route.percent) for route in routing.read(state)]
    return (state.version, shares, len(state.servers)) == (version, [(version, 100.0)], 1)


def servers() -> list[processes.Process]:
    return [server.process for server in endpoint_state.read("flights").servers]


def test_whenever_a_deployment_is_killed_a_blessed_version_answers_and_the_next_run_puts_it_right(
    light, fake_model, judged
):
    url = deploy(fake_model, judged, "first").endpoint
    kill = 0
    while True:
        kill += 1
        if not killed(kill, str(fake_model(f"good-{kill}")), *judged(f"good-{kill}")):
            break
        assert all(answering(url) for _ in range(4))
        # By turns: the same model again, and another one that came meanwhile.
        version = deploy(fake_model, judged, f"good-{kill}" if kill % 2 else f"other-{kill}").version
        assert is_alone(version)
        assert answering(url) == version
    assert kill > 8, "every publication and switch was tried"


def test_a_version_that_fails_its_judgement_answers_nobody_whenever_its_deployment_is_killed(light, fake_model, judged):
    first = deploy(fake_model, judged, "first")
    kill = 0
    while True:
        kill += 1
        if not killed(kill, str(fake_model(f"unfit-{kill}")), *judged(f"unfit-{kill}")):
            break
        assert {answering(first.endpoint) for _ in range(4)} == {first.version}
        with pytest.raises(UserError, match="not predicted as in its evaluation"):
            deploy(fake_model, judged, f"unfit-{kill}")
        assert is_alone(first.version)
    assert kill > 6, "every publication and switch was tried"
    assert local_target.champion("flights")[0] == answering(first.endpoint) == first.version
    until(lambda: all(map(processes.alive, servers())))


def test_whenever_a_rollback_is_killed_an_earlier_version_answers_and_the_next_one_goes_back_no_further(
    light, fake_model, judged
):
    url = deploy(fake_model, judged, "first").endpoint
    second, third = (deploy(fake_model, judged, name).version for name in ("second", "third"))
    kill = 0
    while True:
        kill += 1
        if not killed(kill):
            break
        assert {answering(url) for _ in range(4)} <= {second, third}
        if endpoint_state.read("flights").version == second:
            local_target.start("flights")  # It was written down; what is left is a process without traffic.
        else:
            assert rollback_model(TARGET).version == second
        assert is_alone(second)
        assert answering(url) == second
        with pytest.raises(UserError, match="which was rolled back"):
            deploy(fake_model, judged, "third")
        assert rollback_model(TARGET, version=third).version == third
    assert kill > 4, "every publication and switch was tried"
    assert is_alone(second)
