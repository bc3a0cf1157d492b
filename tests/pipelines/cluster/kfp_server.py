"""A server on loopback that speaks as much of KFP's REST API v2beta1 as a client needs, and remembers what it is told.

It stands for the real API server, which needs a cluster. What it answers follows the backend's source (2.17): names,
64-bit numbers as strings, zero values left out, paging, filters, 409 for a name that is taken, recurring runs without a
unique name and without an update, runs that are killed with their recurring run unless they are orphaned.
`test_kfp_client.py` drives it with KFP's own client, and holds our requests against that client's.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.pipelines.cluster import kfp_api
from tests.pipelines.cluster.kfp_state import PREFIX, Fault, Json, KfpServer, Refusal

__all__ = ["Fault", "KfpServer", "running_server"]


@contextmanager
def running_server() -> Iterator[KfpServer]:
    """Yields a server that listens on a port of its own, until the end of the block."""
    state = KfpServer()
    lock = threading.Lock()

    class Handler(_Handler):
        server_state, server_lock = state, lock

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server_state: KfpServer
    server_lock: threading.Lock
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Headers and body are two writes: together they would wait 40 ms.

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = {"method": self.command, "path": parts.path, "query": query, "headers": dict(self.headers)}
        asked["body"] = self._body(raw)
        with self.server_lock:
            self.server_state.requests.append(asked)
            fault = self._fault(parts.path)
        if fault and fault.after:
            fault.after.wait()
        if fault and fault.is_after:
            with self.server_lock:
                _serve(self.server_state, asked)
        if fault and fault.status == 0:
            self.close_connection = True
            return
        if fault and fault.status:
            self._send(fault.status, fault.body, fault.headers)
            return
        with self.server_lock:
            try:
                self._send(*_serve(self.server_state, asked))
            except Refusal as refusal:
                self._send(refusal.status, json.dumps({"code": 3, "message": str(refusal)}))

    def _fault(self, path: str) -> Fault | None:
        for fault in self.server_state.faults:
            if fault.method == self.command and re.search(fault.path, path) and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _body(self, raw: bytes) -> Any:
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            form = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
            return {
                str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode()  # type: ignore[union-attr]
                for part in form.get_payload()  # type: ignore[union-attr]
            }
        if kind.startswith("application/x-www-form-urlencoded"):
            return {key: values[0] for key, values in parse_qs(raw.decode()).items()}
        return json.loads(raw) if raw.strip() else None

    def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _serve(state: KfpServer, asked: Json) -> tuple[int, str, dict[str, str]]:
    path = asked["path"]
    if path.startswith("/dex/"):
        return _dex(state, asked)
    if not state.is_allowed(asked["headers"]):
        if state.login_page:
            return 302, "", {"Location": state.login_page}
        return 401, '{"message": "Unauthenticated"}', {}
    if match := re.fullmatch(r"/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", path):
        # As the real one: status 200, whatever happens.
        return (
            200,
            state.logs.get(match[2]) or '{"error_message": "Failed to read logs"}',
            {"Content-Type": "text/plain"},
        )
    if not path.startswith(PREFIX):
        return 404, '{"message": "Not Found"}', {}
    answer = kfp_api.call(state, asked, path.removeprefix(PREFIX + "/"))
    if answer is not None:
        return 200, json.dumps(answer), {}
    return 404, '{"code": 5, "message": "Not Found"}', {}


def _dex(state: KfpServer, asked: Json) -> tuple[int, str, dict[str, str]]:
    if asked["path"] == "/dex/auth":
        return 200, "<a href='/dex/auth/local?req=1'>with e-mail</a>", {"Content-Type": "text/html"}
    body = asked["body"] or {}
    if asked["method"] == "POST" and body.get("password") == state.dex_users.get(body.get("login", ""), object()):
        cookie = f"authservice_session={body['login']}; Path=/"
        return 303, "", {"Location": f"{PREFIX}/healthz", "Set-Cookie": cookie}
    return 200, "<form>Invalid Email Address and password.</form>", {"Content-Type": "text/html"}
