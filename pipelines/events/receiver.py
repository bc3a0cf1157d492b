"""The receiver: HTTP that takes events of buckets, and answers once they are written down."""

from __future__ import annotations

import hmac
import http.server
import json
from collections.abc import Callable
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.events.arrivals import arrivals
from mainspring.pipelines.events.matching import span_of
from mainspring.pipelines.events.queue import Queue

LARGEST_BODY = 4 * 2**20
"""Bytes; a notification has a few thousand."""
SECONDS = 30.0
"""That a request may take."""


def receiver(
    address: tuple[str, int], queue: Queue, pattern: str, token: str = "", say: Callable[[str], None] = print
) -> http.server.ThreadingHTTPServer:
    """Returns a server that is ready to serve.

    It answers 202 for an arrival that will be run, 200 for what is no news or none of ours, 400 for what it cannot
    read, 401 without the token, 413 for a body that is too large, and 503 where an arrival cannot be written down:
    whoever sent it then sends it again.

    Args:
        address: Host and port; port 0: any that is free.
        queue: Takes the arrivals.
        pattern: What objects are of the source.
        token: That senders must give as `Authorization: Bearer …`; empty: none is asked for.
        say: Is told of each arrival.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = SECONDS

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/healthz" else 404, {})

        def do_POST(self) -> None:
            status, said = self._received()
            self._answer(status, said)

        def _received(self) -> tuple[int, dict[str, Any]]:
            try:
                length = int(self.headers.get("Content-Length") or "")
            except ValueError:
                self.close_connection = True
                return 411, {"error": "say the body's length"}
            if not 0 <= length <= LARGEST_BODY:
                self.close_connection = True
                return 413, {"error": f"a body has at most {LARGEST_BODY} bytes"}
            body = self.rfile.read(length)
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token and not hmac.compare_digest(given.encode(), token.encode()):
                return 401, {"error": "the token is missing or another one"}
            try:
                found = arrivals({name.lower(): value for name, value in self.headers.items()}, body)
            except UserError as error:
                return 400, {"error": str(error)}
            told = [(arrival, span) for arrival in found if (span := span_of(arrival.uri, pattern))]
            try:
                news = [(arrival, span) for arrival, span in told if queue.accept(arrival, span)]
            except UserError as error:
                return 503, {"error": str(error)}
            for arrival, span in news:
                say(f"{arrival.uri}: arrived, of span {span}")
            return (202 if news else 200), {
                "accepted": [{"uri": arrival.uri, "span": span} for arrival, span in news],
                "known": len(told) - len(news),
                "of_others": len(found) - len(told),
            }

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Says nothing of each request: the queue says what matters."""

    return http.server.ThreadingHTTPServer(address, Handler)
