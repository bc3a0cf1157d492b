"""The few HTTP calls that deployment makes to its own processes on this machine."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    """0 if nobody answered."""
    content: Any
    """The parsed JSON; the text if it is none."""
    headers: dict[str, str]
    """With lower-case names."""

    @property
    def error(self) -> str:
        """What the server complains about, in one line."""
        said = self.content.get("error", self.content) if isinstance(self.content, dict) else self.content
        return f"{self.status}: {said}" if self.status else str(said)


def call(port: int, method: str, path: str, body: Any = None, *, token: str = "", seconds: float = 10.0) -> Answer:
    """Sends a JSON request to a loopback port; a connection that fails is an answer with status 0."""
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"no answer from port {port}: {error}", {})
    finally:
        connection.close()
    content: Any = text
    with contextlib.suppress(ValueError):
        content = json.loads(text)
    return Answer(response.status, content, {key.lower(): value for key, value in response.getheaders()})


def becomes_free(port: int, seconds: float = 2.0) -> bool:
    """Returns whether a loopback port can be listened on, now or soon: a killed process may hold it a moment longer."""
    deadline = time.monotonic() + seconds
    while not is_free(port):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def is_free(port: int) -> bool:
    """Returns whether a loopback port can be listened on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True
