"""Workers that wait for each other, and one that never comes."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.training.hardware.awaiting_workers import WAIT_VARIABLE, await_workers


def _cluster(count: int) -> list[str]:
    """Returns a `TF_CONFIG` per worker, with ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    cluster = {"worker": addresses}
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": n}}) for n in range(count)]


def test_workers_that_all_come_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(3) as workers:
        for done in [workers.submit(await_workers, config) for config in _cluster(3)]:
            done.result(timeout=60)


def test_a_worker_that_never_comes_is_named_and_the_status_is_that_of_a_retry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, "0.3")
    config = _cluster(2)[0]
    address = json.loads(config)["cluster"]["worker"][1].replace(".", r"\.")
    with pytest.raises(RetriableError, match=rf"^worker 1 \({address}\) did not come within 0.3 s .*start all of them"):
        await_workers(config)
    assert "waiting for worker 1" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["soon", "0", "nan", "inf"])
def test_a_time_to_wait_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAIT_VARIABLE, text)
    with pytest.raises(UserError, match=WAIT_VARIABLE):
        await_workers(_cluster(2)[0])
