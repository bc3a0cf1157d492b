from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@dataclass(frozen=True)
class Answer:
    status: int
    content: Any
    headers: dict[str, str]


def request(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json"} | (headers or {}))
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    return Answer(response.status, content, {key.lower(): value for key, value in response.getheaders()})


@pytest.fixture(scope="session")
def ask() -> Callable[..., Answer]:
    return request


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a module of the serving package with pipes; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(module: str, *arguments: str, variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"mainspring.components.serving.{module}", *arguments]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | (variables or {}),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Polls until a condition gives something true, and returns that."""

    def wait(condition: Callable[[], Any]) -> Any:
        while not (result := condition()):
            time.sleep(0.02)
        return result

    return wait
