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
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
PREFIX = "/apis/v2beta1"
ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")


@dataclass
class Fault:
    """What goes wrong, instead of an answer or after the work was done."""

    method: str
    path: str
    """A regular expression, searched in the request's path."""
    status: int = 500
    """0: the connection is closed without an answer."""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"message": "made to fail"}'
    seconds: float = 0.0
    """Waited before the answer."""
    is_after: bool = False
    """Whether the work is done before it goes wrong: the answer is what gets lost."""


@dataclass
class KfpServer:
    """The server's state, and what it was asked."""

    pipelines: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, Json] = field(default_factory=dict)
    experiments: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    recurring_runs: dict[str, Json] = field(default_factory=dict)
    requests: list[Json] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    steps: list[Json] = field(default_factory=list)
    """What runs that are started from now on show at each look: `{"state": …, "tasks": {name: state}}`."""
    logs: dict[str, str] = field(default_factory=dict)
    """By pod."""
    killed_runs: list[str] = field(default_factory=list)
    is_multi_user: bool = False
    is_allowed: Callable[[dict[str, str]], bool] = lambda headers: True
    login_page: str = ""
    """Where those who are not allowed are sent; empty: they get a 401."""
    dex_users: dict[str, str] = field(default_factory=dict)
    page_size: int = 2
    """Small, so that whoever does not turn pages loses things."""
    url: str = ""

    def named(self, kind: str, name: str) -> list[Json]:
        """Returns the items of a kind that have this display name."""
        return [item for item in getattr(self, kind).values() if item["display_name"] == name]

    def sent(self, method: str, path: str) -> list[Json]:
        """Returns the requests with this method whose path matches."""
        return [asked for asked in self.requests if asked["method"] == method and re.search(path, asked["path"])]

    def add_run(self, recurring_run_id: str, state: str = "RUNNING") -> str:
        """Adds a run as the schedule's controller starts one."""
        recurring = self.recurring_runs[recurring_run_id]
        run_id = str(uuid.uuid4())
        self.runs[run_id] = {
            "run_id": run_id,
            "display_name": f"{recurring['display_name']}-1",
            "experiment_id": recurring["experiment_id"],
            "recurring_run_id": recurring_run_id,
            "state": state,
        }
        return run_id


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


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
        if fault and fault.seconds:
            time.sleep(fault.seconds)
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
    words = path.removeprefix(PREFIX + "/").split("/")
    for (method, pattern), function in ROUTES.items():
        if method == asked["method"] and (match := re.fullmatch(pattern, "/".join(words))):
            return 200, json.dumps(_without_zeros(function(state, asked, *match.groups()))), {}
    return 404, '{"code": 5, "message": "Not Found"}', {}


def _dex(state: KfpServer, asked: Json) -> tuple[int, str, dict[str, str]]:
    if asked["path"] == "/dex/auth":
        return 200, "<a href='/dex/auth/local?req=1'>with e-mail</a>", {"Content-Type": "text/html"}
    body = asked["body"] or {}
    if asked["method"] == "POST" and body.get("password") == state.dex_users.get(body.get("login", ""), object()):
        cookie = f"authservice_session={body['login']}; Path=/"
        return 303, "", {"Location": f"{PREFIX}/healthz", "Set-Cookie": cookie}
    return 200, "<form>Invalid Email Address and password.</form>", {"Content-Type": "text/html"}


def _without_zeros(value: Any) -> Any:
    """Leaves out what protobuf's JSON leaves out: false, empty and zero; but not within parameters."""
    if isinstance(value, dict):
        kept = {key: inner if key == "parameters" else _without_zeros(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (False, "", None, 0, [])}
    return [_without_zeros(item) for item in value] if isinstance(value, list) else value


def _page(state: KfpServer, asked: Json, field_name: str, items: list[Json]) -> Json:
    query = asked["query"]
    if (
        state.is_multi_user
        and not (query.get("namespace") or query.get("experiment_id"))
        and field_name != "pipeline_versions"
    ):
        raise Refusal(400, "Invalid input error: In multi-user mode, the namespace must be specified")
    for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
        assert predicate["operation"] in (1, "EQUALS"), predicate
        wanted = predicate.get("string_value", predicate.get("stringValue"))
        items = [item for item in items if item.get(predicate["key"]) == wanted]
    if experiment := query.get("experiment_id"):
        items = [item for item in items if item.get("experiment_id") == experiment]
    start = int(query.get("page_token") or 0)
    size = min(int(query.get("page_size") or 10), state.page_size)
    rest = str(start + size) if start + size < len(items) else ""
    return {field_name: items[start : start + size], "total_size": len(items), "next_page_token": rest}


def _add(state: KfpServer, kind: str, key: str, item: Json) -> Json:
    item = {key: str(uuid.uuid4()), "created_at": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}", **item}
    getattr(state, kind)[item[key]] = item
    return item


def _get(state: KfpServer, kind: str, identity: str) -> Json:
    try:
        return getattr(state, kind)[identity]
    except KeyError:
        raise Refusal(404, f"ResourceNotFoundError: {kind[:-1]} {identity} not found") from None


def _create_pipeline(state: KfpServer, asked: Json) -> Json:
    given = asked["body"] or {}
    if state.named("pipelines", given["display_name"]):
        raise Refusal(409, f"Already exist error: The name {given['display_name']} already exist")
    return _add(state, "pipelines", "pipeline_id", given)


def _upload_pipeline(state: KfpServer, asked: Json) -> Json:
    name = asked["query"]["name"]
    made = _create_pipeline(state, {"body": {"display_name": name, "namespace": asked["query"].get("namespace", "")}})
    _upload_version(state, {"query": {"name": name, "pipelineid": made["pipeline_id"]}, "body": asked["body"]})
    return made


def _upload_version(state: KfpServer, asked: Json) -> Json:
    query, text = asked["query"], asked["body"]["uploadfile"]
    if query["pipelineid"] not in state.pipelines:
        raise Refusal(400, "Failed to create a pipeline version")
    documents = [
        document for document in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if document
    ]
    if not documents or "root" not in documents[0]:
        raise Refusal(400, "Failed to create a pipeline version")
    taken = [v for v in state.named("versions", query["name"]) if v["pipeline_id"] == query["pipelineid"]]
    if taken:
        raise Refusal(409, "Failed to create a pipeline version")
    spec = documents[0] if len(documents) == 1 else {"pipeline_spec": documents[0], "platform_spec": documents[1]}
    item = {"pipeline_id": query["pipelineid"], "display_name": query["name"], "pipeline_spec": spec}
    return _add(state, "versions", "pipeline_version_id", item | {"description": query.get("description", "")})


def _create_run(state: KfpServer, asked: Json) -> Json:
    given = asked["body"]
    _get(state, "experiments", given["experiment_id"])
    if reference := given.get("pipeline_version_reference"):
        _get(state, "versions", reference["pipeline_version_id"])
    elif not given.get("pipeline_spec"):
        raise Refusal(400, "Invalid input error: neither a pipeline nor a version")
    steps = [json.loads(json.dumps(step)) for step in state.steps]
    return _add(state, "runs", "run_id", given | {"state": "PENDING", "steps": steps})


def _get_run(state: KfpServer, asked: Json, run_id: str) -> Json:
    run = _get(state, "runs", run_id)
    if run.get("steps"):
        step = run["steps"].pop(0)
        run["state"] = step["state"]
        run["error"] = {"message": step["error"]} if "error" in step else {}
        run["run_details"] = {"task_details": _task_details(step.get("tasks", {}))}
    return {key: value for key, value in run.items() if key != "steps"}


def _task_details(tasks: dict[str, str]) -> list[Json]:
    """Tasks as the real server lists them: with drivers, executors and the run's own node among them."""
    details: list[Json] = [
        {"display_name": "run-x7k2p", "state": "RUNNING", "child_tasks": [{"pod_name": "run-x7k2p-root-driver-1"}]},
        {"display_name": "root-driver", "state": "SUCCEEDED"},
    ]
    for place, (name, state) in enumerate(tasks.items()):
        begun = f"2026-11-22T10:00:{place:02d}Z"
        pods = [{"pod_name": f"run-x7k2p-system-container-impl-{name}"}] if state != "PENDING" else []
        details.append({"display_name": f"{name}-driver", "state": "SUCCEEDED", "start_time": begun})
        task = {"display_name": name, "state": state, "start_time": begun, "child_tasks": pods}
        details.append(task | ({"end_time": "2026-11-22T10:01:00Z"} if state in ENDED else {}))
        details.append({"display_name": "executor", "state": state, "start_time": begun})
    return details


def _terminate(state: KfpServer, asked: Json, run_id: str) -> Json:
    _get(state, "runs", run_id)["state"] = "CANCELING"
    return {}


def _create_recurring_run(state: KfpServer, asked: Json) -> Json:
    given = asked["body"]
    if not given.get("display_name"):
        raise Refusal(400, "Invalid input error: Recurring run's name cannot be empty")
    if not 1 <= int(given.get("max_concurrency") or 0) <= 10:
        raise Refusal(400, "Invalid input error: Max concurrency of a recurring run must be at least 1 and at most 10")
    cron = (given["trigger"].get("cron_schedule") or {}).get("cron")
    if cron and len(cron.split()) not in (5, 6):
        raise Refusal(400, "Invalid input error: Schedule cron is not a supported format")
    reference = given.get("pipeline_version_reference") or {}
    if version := reference.get("pipeline_version_id"):
        _get(state, "versions", version)
    elif reference.get("pipeline_id"):
        _get(state, "pipelines", reference["pipeline_id"])
    elif not given.get("pipeline_spec"):
        raise Refusal(400, "Cannot create a job with an empty pipeline ID")
    _get(state, "experiments", given["experiment_id"])
    mode = given.get("mode", "DISABLE")
    stored = given | {"max_concurrency": str(given["max_concurrency"]), "mode": mode, "status": f"{mode}D"}
    stored.setdefault("service_account", "pipeline-runner")
    if periodic := stored["trigger"].get("periodic_schedule"):
        periodic["interval_second"] = str(periodic["interval_second"])
    return _add(state, "recurring_runs", "recurring_run_id", stored)


def _switch(mode: str) -> Callable[[KfpServer, Json, str], Json]:
    def switch(state: KfpServer, asked: Json, identity: str) -> Json:
        _get(state, "recurring_runs", identity).update(mode=mode, status=f"{mode}D")
        return {}

    return switch


def _delete_recurring_run(state: KfpServer, asked: Json, identity: str) -> Json:
    _get(state, "recurring_runs", identity)
    del state.recurring_runs[identity]
    if asked["query"].get("propagation_policy") != "ORPHAN":
        # Kubernetes collects what the deleted object owned: its runs.
        owned = [run for run in state.runs.values() if run.get("recurring_run_id") == identity]
        state.killed_runs += [run["run_id"] for run in owned if run["state"] not in ENDED]
    return {}


def _health(state: KfpServer, asked: Json) -> Json:
    return {"multi_user": state.is_multi_user, "pipeline_store": "database"}


def _listing(kind: str) -> Callable[..., Json]:
    def listing(state: KfpServer, asked: Json, pipeline_id: str = "") -> Json:
        items = [i for i in getattr(state, kind).values() if not pipeline_id or i["pipeline_id"] == pipeline_id]
        return _page(state, asked, FIELDS.get(kind, kind), items)

    return listing


FIELDS = {"versions": "pipeline_versions", "recurring_runs": "recurringRuns"}
"""What a list's items are called, where that differs; the camels are KFP's own."""

ROUTES: dict[tuple[str, str], Callable[..., Json]] = {
    ("GET", "healthz"): _health,
    ("GET", "pipelines"): _listing("pipelines"),
    ("POST", "pipelines"): _create_pipeline,
    ("POST", "pipelines/upload"): _upload_pipeline,
    ("POST", "pipelines/upload_version"): _upload_version,
    ("GET", "pipelines/([^/]+)"): lambda state, asked, i: _get(state, "pipelines", i),
    ("GET", "pipelines/([^/]+)/versions"): _listing("versions"),
    ("GET", "pipelines/[^/]+/versions/([^/]+)"): lambda state, asked, i: _get(state, "versions", i),
    ("GET", "experiments"): _listing("experiments"),
    ("POST", "experiments"): lambda state, asked: _add(state, "experiments", "experiment_id", asked["body"]),
    ("GET", "experiments/([^/]+)"): lambda state, asked, i: _get(state, "experiments", i),
    ("GET", "runs"): _listing("runs"),
    ("POST", "runs"): _create_run,
    ("GET", "runs/([^/:]+)"): _get_run,
    ("POST", "runs/([^/:]+):terminate"): _terminate,
    ("GET", "recurringruns"): _listing("recurring_runs"),
    ("POST", "recurringruns"): _create_recurring_run,
    ("GET", "recurringruns/([^/:]+)"): lambda state, asked, i: _get(state, "recurring_runs", i),
    ("POST", "recurringruns/([^/:]+):enable"): _switch("ENABLE"),
    ("POST", "recurringruns/([^/:]+):disable"): _switch("DISABLE"),
    ("DELETE", "recurringruns/([^/:]+)"): _delete_recurring_run,
}
