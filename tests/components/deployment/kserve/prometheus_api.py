"""Prometheus' HTTP API on loopback, as https://prometheus.io/docs/prometheus/latest/querying/api/ gives its answers."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Prometheus:
    """The values of a query by the pods that it names; None: no such series."""

    url: str = ""
    values: dict[str, str | None] = field(default_factory=dict)
    """By query's metric and a part of its `pod`, such as `errors flights-v2`; the longest that fits counts."""
    answers: list[tuple[int, str]] = field(default_factory=list)
    """Status and text that the next calls get instead."""
    asked: list[str] = field(default_factory=list)

    def answer(self, query: str) -> tuple[int, str]:
        self.asked.append(query)
        if self.answers:
            return self.answers.pop(0)
        found = re.fullmatch(r'sum\((\w+)\{namespace="team",pod=~"([^"]*)"\}\)', query)
        if not found:
            return 400, json.dumps({"status": "error", "errorType": "bad_data", "error": "1:5: parse error: bad"})
        fitting = [key for key in self.values if key.split()[0] == found[1] and key.split()[1] in found[2]]
        value = self.values[max(fitting, key=len)] if fitting else None
        result: list[Any] = [] if value is None else [{"metric": {}, "value": [1700000000.123, value]}]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


@contextlib.contextmanager
def running() -> Iterator[Prometheus]:
    """Runs a Prometheus on a free port."""
    prometheus = Prometheus()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(parts.query)).get("query", "")
            status, text = prometheus.answer(query) if parts.path == "/api/v1/query" else (404, "404 page not found")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    prometheus.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield prometheus
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
