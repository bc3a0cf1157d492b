"""Model Registry's REST API (v1alpha3) on loopback: what a registration calls, checked against its OpenAPI document."""

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

from schemas import validate_body

PREFIX = "/api/model_registry/v1alpha3"


@dataclass
class Registry:
    """What is registered, and what the next calls meet."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """By ID: the version's ID and the artifact."""
    faults: list[tuple[str, int | str]] = field(default_factory=list)
    """Method and path as a pattern, then a status, `before` or `after` (a lost connection); each is met once."""
    token: str = ""
    calls: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    url: str = ""

    def handle(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if method == "GET" and path == "/registered_models":
            items = list(self.models.values())
            return 200, {"items": items, "size": len(items), "pageSize": 1, "nextPageToken": ""}
        if method == "GET" and path in ("/registered_model", "/model_version", "/model_artifact"):
            return self.find(path, query)
        if method == "POST" and path == "/registered_models":
            if any(each["name"] == body["name"] for each in self.models.values()):
                return 409, {"code": "409", "message": "already exists"}
            return self.add("RegisteredModel", self.models, body)
        if method == "POST" and path == "/model_versions":
            same = [each for each in self.versions.values() if each["registeredModelId"] == body["registeredModelId"]]
            if any(each["name"] == body["name"] for each in same):
                return 409, {"code": "409", "message": "already exists"}
            return self.add("ModelVersion", self.versions, body)
        if method == "POST" and (found := re.fullmatch(r"/model_versions/(\d+)/artifacts", path)):
            status, artifact = self.add("ModelArtifact", {}, body)
            if status == 201:
                self.artifacts[artifact["id"]] = found[1], artifact
            return status, artifact
        if method == "PATCH" and (found := re.fullmatch(r"/model_artifacts/(\d+)", path)):
            problems = validate_body("model-registry/v1alpha3/ModelArtifactUpdate", body)
            if problems:
                return self.refuse(problems)
            parent, artifact = self.artifacts[found[1]]
            self.artifacts[found[1]] = parent, {**artifact, **body}
            return 200, self.artifacts[found[1]][1]
        return 404, {"code": "404", "message": f"{method} {path}"}

    def find(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        parent = query.get("parentResourceId")
        kept = {
            "/registered_model": list(self.models.values()),
            "/model_version": [each for each in self.versions.values() if each["registeredModelId"] == parent],
            "/model_artifact": [each for version, each in self.artifacts.values() if version == parent],
        }[path]
        found = next((each for each in kept if each["name"] == query["name"]), None)
        return (200, found) if found else (404, {"code": "404", "message": "not found"})

    def add(self, kind: str, kept: dict[str, dict[str, Any]], body: Any) -> tuple[int, Any]:
        if problems := validate_body(f"model-registry/v1alpha3/{kind}Create", body):
            return self.refuse(problems)
        number = str(len(self.models) + len(self.versions) + len(self.artifacts) + 1)
        now = {"createTimeSinceEpoch": "1700000000000", "lastUpdateTimeSinceEpoch": "1700000000000"}
        kept[number] = {"state": "LIVE", **body, "id": number, **now}
        assert validate_body(f"model-registry/v1alpha3/{kind}", kept[number]) == [], "this stand-in answers as it does"
        return 201, kept[number]

    def refuse(self, problems: list[str]) -> tuple[int, Any]:
        self.refused += problems
        return 400, {"code": "400", "message": "; ".join(problems)}


@contextlib.contextmanager
def running() -> Iterator[Registry]:
    """Runs a registry on a free port."""
    registry = Registry()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # Headers and body are two writes: together they would wait 40 ms.

        def answer(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            named = f"{self.command} {parts.path.removeprefix(PREFIX)}"
            registry.calls.append(named)
            fault = next((each for each in registry.faults if re.fullmatch(each[0], named)), None)
            if fault:
                registry.faults.remove(fault)
            if fault and fault[1] == "before":
                self.close_connection = True
                return
            if registry.token and self.headers.get("Authorization") != f"Bearer {registry.token}":
                status, content = 401, {"code": "401", "message": "Unauthorized"}
            elif fault and isinstance(fault[1], int):
                status, content = fault[1], {"code": str(fault[1]), "message": "in passing"}
            else:
                query = dict(urllib.parse.parse_qsl(parts.query))
                given = json.loads(text) if text else None
                status, content = registry.handle(self.command, parts.path.removeprefix(PREFIX), query, given)
            if fault and fault[1] == "after":
                self.close_connection = True
                return
            sent = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
