"""A client that sends requests without pause, and what the small models answer it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

from until import until

from mainspring.components.deployment.local import loopback

ROW = {"distance": 100.0, "carrier": "AA"}
PREDICTIONS = {"a": 0.8808, "b": 0.9820, "c": 0.5}
"""sigmoid(distance / 100 + shift + 1) of `ROW` by model."""


def prediction(endpoint: str, row: dict[str, Any] = ROW) -> float:
    port = int(endpoint.split(":")[2].split("/")[0])
    answer = loopback.call(port, "POST", "/" + endpoint.split("/", 3)[3], {"instances": [row]})
    assert answer.status == 200, answer
    return answer.content["predictions"][0]["prediction"]


class Traffic:
    """Asks an endpoint for `ROW`'s prediction, over and over, until the block ends."""

    def __init__(self, endpoint: str, pause: float = 0.002) -> None:
        self.port, self.pause = int(endpoint.split(":")[2].split("/")[0]), pause
        self.path = "/" + endpoint.split("/", 3)[3]
        self.values: list[float] = []
        self.failed: list[Any] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        before = len(self.values)
        until(lambda: len(self.values) >= before + 20, can_come=self._thread.is_alive)
        self._done.set()
        self._thread.join()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        body = json.dumps({"instances": [ROW]})
        while not self._done.is_set():
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = json.loads(response.read())
            if response.status == 200:
                self.values.append(round(content["predictions"][0]["prediction"], 4))
            else:
                self.failed.append(content)
            time.sleep(self.pause)
        connection.close()
