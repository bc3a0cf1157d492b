"""The Kubernetes API over HTTP, with KServe's controller behind it: what cannot exist here, and no more.

Objects have resource versions, generations and field managers; every one is checked against the published schemas. It
refuses what the real schemas and webhooks of KServe 0.15, 0.16 and 0.20 were seen to refuse (`refusals`). The
controller does what theirs was seen to do: a Deployment that is changed in place in Standard mode, revisions and
`canaryTrafficPercent` in Knative's. A version's server is real where a test gives `start`, else a line of arithmetic in
this process.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import http.server
import json
import re
import socket
import struct
import sys
import threading
import time
import traceback
import urllib.parse
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))
import schemas

TOKEN = "good"
SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/team/inferenceservices"
UNKNOWN = {"0.15": {"name", "storageUris"}, "0.16": {"name"}, "0.20": set()}
"""Fields of a predictor that the schema of a KServe release has not."""


class Fault:
    """What the next calls meet."""

    def __init__(self, status: int = 0, after: str = "", drop: str = "", times: int = 1, matching: str = "") -> None:
        self.status, self.after, self.drop, self.times = status, after, drop, times
        self.matching = re.compile(matching)


class Cluster:
    def __init__(self, mode: str, start: Any = None) -> None:
        self.mode, self.start, self.release = mode, start, "0.20"
        self.lock = threading.RLock()
        self.groups = {"serving.kserve.io", "apps", "authorization.k8s.io", "gateway.networking.k8s.io"}
        self.groups |= {"serving.knative.dev"} if mode == "Knative" else set()
        self.namespaces, self.denied = {"team"}, set()
        self.labels: dict[str, str] = {}
        """Of the namespaces."""
        self.storage_container = {
            "container": {"name": "storage-initializer", "image": "kserve/storage-initializer"},
            "supportedUriFormats": [{"prefix": "gs://"}, {"prefix": "s3://"}, {"regex": "https://(.+?)/(.+)"}],
        }
        """As KServe's releases ship it."""
        keys = {"s3AccessKeyIDName": "AWS_ACCESS_KEY_ID", "s3SecretAccessKeyName": "AWS_SECRET_ACCESS_KEY"}
        settings = {"data": {"credentials": json.dumps({"s3": keys})}}
        self.objects: dict[str, dict[str, Any]] = {
            "/api/v1/namespaces/kserve/configmaps/inferenceservice-config": settings
        }
        self.denial = ""
        """What a webhook of the team's own says to every InferenceService."""
        self.people: dict[str, dict[str, Any]] = {}
        self.runtimes = [{"name": "tensorflow", "autoSelect": True}]
        self.runtimes_named = {"kserve-tensorflow-serving"}
        self.faults: list[Fault] = []
        self.applied: list[dict[str, Any]] = []
        self.seen: list[dict[str, int]] = []
        """Every distribution of traffic there was: percent by version URI."""
        self.token, self.calls, self.version = TOKEN, 0, 0
        self.ready_seconds, self.broken, self.events, self.logs = 0.02, set(), [], {}
        self.shift: dict[str, float] = {}
        self.slow: dict[str, float] = {}
        """Seconds by version that a prediction takes, of the clock that `sleep` belongs to."""
        self.sleep = time.sleep
        self.servers: dict[str, Any] = {}
        self.born: dict[str, float] = {}
        self.revisions: list[tuple[str, str]] = []
        self.running_in: dict[str, str] = {}
        """Standard mode: the version that a service's pods serve, by the service's name."""
        self.knative = {"template": "", "ready": "", "rolled": "", "previous": ""}
        self.stopping = threading.Event()

    # --- the API

    def handle(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/apis":
            return 200, {"groups": [{"name": name} for name in sorted(self.groups)]}
        if path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            name = "/".join(part for part in (asked["resource"], asked.get("subresource")) if part)
            return 201, {"status": {"allowed": (asked["verb"], name) not in self.denied}}
        if "clusterservingruntimes" in path:
            spec = {"supportedModelFormats": self.runtimes}
            return 200, {"items": [{"metadata": {"name": name}, "spec": spec} for name in sorted(self.runtimes_named)]}
        if path.endswith("/servingruntimes"):
            return 200, {"items": []}
        if match := re.fullmatch(r"/api/v1/namespaces/([^/]+)", path):
            found = {"metadata": {"name": match[1], "labels": self.labels}}
            return (200, found) if match[1] in self.namespaces else (404, "namespace not found")
        if path.endswith("/clusterstoragecontainers"):
            return 200, {"items": [{"metadata": {"name": "default"}, "spec": self.storage_container}]}
        if match := re.search(r"/services/([^/]+):80/proxy/v1/models/([^/]+):predict$", path):
            if match[1] != f"{match[2]}-predictor":
                return 404, f"no model {match[2]} there"
            return self.predict(self.running_in.get(match[2], ""), body)
        if match := re.search(r"^/revisions/([^/]+)/v1/models/[^/]+:predict$", path):
            return self.predict(dict(self.revisions).get(match[1], ""), body)
        if path.endswith("/events"):
            for event in self.events:
                event["count"] += event["repeats"]
            return 200, {"items": copy.deepcopy(self.events)}
        if path.endswith("/pods"):
            return 200, {"items": self.pods()}
        if path.endswith("/log"):
            return 200, self.logs.get(query.get("container", ""), "")
        if path.endswith("/inferenceservices") or path.endswith("/configmaps"):
            return self.write(f"{path}/{body['metadata']['name']}", body, new=True)
        if method in ("PUT", "PATCH"):
            return self.write(path, body, rehearsal=query.get("dryRun") == "All")
        if method == "DELETE":
            return (200, {}) if self.objects.pop(path, None) else (404, "not found")
        if "/secrets/" in path and ("get", "secrets") in self.denied:
            return 403, "secrets is forbidden"
        if path not in self.objects:
            return 404, "not found"
        return 200, copy.deepcopy(self.objects[path])

    def write(self, path: str, body: dict[str, Any], new: bool = False, rehearsal: bool = False) -> tuple[int, Any]:
        before = self.objects.get(path)
        wanted = body["metadata"].get("resourceVersion")
        if new and before:
            return 409, "already exists"
        if wanted and (not before or before["metadata"]["resourceVersion"] != wanted):
            return 409, "the object has been modified"
        ours = copy.deepcopy(body)
        if body["kind"] == "InferenceService":
            merged = merge(self.people.get(path, {}), ours)
            if refused := refusals(merged, before, self.release) or (self.denial and (403, self.denial)):
                return refused
            if problems := schemas.validate(merged):
                return 422, "; ".join(problems)
            if rehearsal:
                return 200, merged
            self.applied.append(ours)
        else:
            merged = ours
        self.version += 1
        metadata = merged["metadata"]
        changed = not before or before.get("spec") != merged.get("spec")
        metadata["generation"] = (before["metadata"]["generation"] if before else 0) + int(changed)
        metadata["resourceVersion"] = str(self.version)
        merged["status"] = (before or {}).get("status", {})
        self.objects[path] = merged
        return 200, copy.deepcopy(merged)

    def warn(self, name: str, reason: str, message: str, repeats: bool = True) -> None:
        """Makes an event about an object, counted up while what it says goes on."""
        metadata = {"uid": str(len(self.events))}
        about = {"metadata": metadata, "involvedObject": {"name": name}, "count": 1, "repeats": int(repeats)}
        self.events.append({**about, "reason": reason, "message": message})

    # --- model servers

    def predict(self, uri: str, body: Any) -> tuple[int, Any]:
        if not uri or not self.is_up(uri):
            return 503, "no endpoints available"
        self.sleep(self.slow.get(uri, 0.0))
        if uri in self.servers:
            connection = http.client.HTTPConnection("127.0.0.1", self.servers[uri](), timeout=30)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/models/flights:predict", json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        values = [2 * row["x"] + self.shift.get(uri, 0.0) for row in body["instances"]]
        return 200, {"predictions": [{"prediction": value} for value in values]}

    def is_up(self, uri: str) -> bool:
        if uri in self.broken:
            return False
        if uri not in self.born:
            self.born[uri] = time.monotonic()
            if self.start:
                self.servers[uri] = self.start(uri)
        if self.start:
            return bool(self.servers[uri]())
        return time.monotonic() - self.born[uri] >= self.ready_seconds

    def pods(self) -> list[dict[str, Any]]:
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off"}
        state = {"name": "kserve-container", "state": {"waiting": waiting}, "lastState": {}}
        return [
            {
                "metadata": {"name": f"flights-{number}", "annotations": {"mainspring/version-uri": uri}},
                "status": {"containerStatuses": [state]},
            }
            for number, uri in enumerate({*self.deployed().values()})
            if uri in self.broken
        ]

    # --- the controller

    def service(self) -> dict[str, Any] | None:
        return self.objects.get(f"{SERVICES}/flights")

    def services(self) -> dict[str, dict[str, Any]]:
        return {path.rpartition("/")[2]: found for path, found in self.objects.items() if path.startswith(SERVICES)}

    def deployed(self) -> dict[str, str]:
        if self.mode == "Knative":
            return dict(self.revisions)
        return {name: uri_of(found["spec"]["predictor"]) for name, found in self.services().items()}

    def reconcile(self) -> None:
        for name, found in self.services().items():
            status = found["status"]
            status["deploymentMode"] = found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"]
            status["url"] = f"http://{name}.team.example.com"
            (self.standard if self.mode == "Standard" else self.revise)(found, status)
            self.version += 1
            found["metadata"]["resourceVersion"] = str(self.version)
        for name in {*self.running_in} - {*self.services()}:
            self.running_in.pop(name)
            self.objects.pop(deployment(name), None)

    def standard(self, found: dict[str, Any], status: dict[str, Any]) -> None:
        """A rolling update: the pods of the version before serve until those of the new one are ready."""
        name, predictor = found["metadata"]["name"], found["spec"]["predictor"]
        uri = uri_of(predictor)
        up = self.is_up(uri)
        if up:
            self.running_in[name] = uri
        others = int(name in self.running_in and self.running_in[name] != uri)
        counts = {"replicas": 1 + others, "updatedReplicas": 1, "availableReplicas": int(up) + others}
        self.objects[deployment(name)] = {
            "metadata": {"generation": 1},
            "spec": {"replicas": 1, "template": {"metadata": {"annotations": predictor["annotations"]}}},
            "status": {**counts, "observedGeneration": 1},
        }
        ready = "True" if up else "False"
        status["conditions"] = [{"type": "Ready", "status": ready, "reason": "MinimumReplicasUnavailable"}]
        if name == "flights" and name in self.running_in:
            self.note({self.running_in[name]: 100})

    def revise(self, found: dict[str, Any], status: dict[str, Any]) -> None:
        predictor = found["spec"]["predictor"]
        percent = predictor.get("canaryTrafficPercent")
        kept = {key: value for key, value in predictor.items() if key != "canaryTrafficPercent"}
        template = json.dumps(kept, sort_keys=True)
        state = self.knative
        if template != state["template"]:
            state["template"] = template
            name = f"flights-predictor-{len(self.revisions) + 1:05}"
            self.revisions.append((name, uri_of(predictor)))
        uris = dict(self.revisions)
        newest = self.revisions[-1][0]
        if self.is_up(uris[newest]):
            state["ready"] = newest
        shares = []
        if state["ready"]:
            split = percent if percent is not None and state["rolled"] else 100
            address = f"http://127.0.0.1:{self.port}/revisions"
            ready, rolled = state["ready"], state["rolled"]
            latest = {"revisionName": ready, "latestRevision": True, "percent": split, "tag": "latest"}
            shares.append({**latest, "url": f"{address}/{ready}"})
            if split < 100:
                before = {"revisionName": rolled, "percent": 100 - split, "tag": "prev"}
                shares.append({**before, "url": f"{address}/{rolled}"})
            if split == 100 and rolled != ready:
                state["previous"], state["rolled"] = rolled, ready
            elif split < 100 and rolled == ready == newest and state["previous"]:
                # A revision that had everything and is to have less: KServe goes back to the one before.
                state["rolled"] = state["previous"]
        status["components"] = {
            "predictor": {
                "latestCreatedRevision": newest,
                "latestReadyRevision": state["ready"],
                "latestRolledoutRevision": state["rolled"],
                "traffic": shares,
            }
        }
        status["conditions"] = [{"type": "Ready", "status": "True" if state["ready"] == newest else "False"}]
        if shares:
            given: dict[str, int] = {}
            for share in shares:
                uri = uris[share["revisionName"]]
                given[uri] = given.get(uri, 0) + share["percent"]
            self.note(given)

    def note(self, shares: dict[str, int]) -> None:
        shares = {uri: percent for uri, percent in shares.items() if percent}
        if not self.seen or self.seen[-1] != shares:
            self.seen.append(shares)

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    @contextlib.contextmanager
    def running(self) -> Any:
        cluster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # Headers and body are two writes: together they would wait 40 ms.

            def answer(self) -> None:
                answer(cluster, self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # Connections that a test broke.

        self.server = Server(("127.0.0.1", 0), Handler)
        threads = [threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True)]
        threads.append(threading.Thread(target=self._control, daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self.server.shutdown()
            self.server.server_close()

    def _control(self) -> None:
        while not self.stopping.wait(0.01):
            with self.lock:
                self.reconcile()


def answer(cluster: Cluster, request: http.server.BaseHTTPRequestHandler) -> None:
    parts = urllib.parse.urlsplit(request.path)
    text = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    query = dict(urllib.parse.parse_qsl(parts.query))
    headers: dict[str, str] = {}
    named = f"{request.command} {parts.path}"
    fault = None
    with cluster.lock:
        cluster.calls += 1
        fault = next((each for each in cluster.faults if each.times and each.matching.search(named)), None)
        if fault:
            fault.times -= 1
    if fault and fault.drop == "before":
        return reset(request)
    if not parts.path.startswith("/revisions") and request.headers.get("Authorization") != f"Bearer {cluster.token}":
        status, content = 401, "Unauthorized"
    elif fault and fault.status:
        status, content = fault.status, "in passing"
        headers = {"Retry-After": fault.after} if fault.after else {}
    else:
        proxied = "proxy" in parts.path or parts.path.startswith("/revisions")
        with contextlib.nullcontext() if proxied else cluster.lock:
            try:
                status, content = cluster.handle(request.command, parts.path, query, json.loads(text) if text else None)
            except Exception:
                status, content = 418, traceback.format_exc()[-350:]
    if fault and fault.drop == "after":
        return reset(request)
    if status >= 400 and isinstance(content, str):
        content = {"kind": "Status", "message": content, "code": status}
    sent = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    with contextlib.suppress(OSError):
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(sent))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(sent)
    return None


def reset(request: http.server.BaseHTTPRequestHandler) -> None:
    """Breaks the connection as a crashed server does."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()
    request.close_connection = True


def merge(people: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Returns an object with the fields of both managers; lists are atomic."""
    merged = copy.deepcopy(people)
    for key, value in ours.items():
        merged[key] = merge(merged.get(key, {}), value) if isinstance(value, dict) else copy.deepcopy(value)
    return merged


def deployment(service: str) -> str:
    return f"/apis/apps/v1/namespaces/team/deployments/{service}-predictor"


def uri_of(predictor: dict[str, Any]) -> str:
    return predictor["annotations"]["mainspring/version-uri"]


def refusals(service: dict[str, Any], before: dict[str, Any] | None, release: str) -> tuple[int, str] | None:
    """What real API servers answered for KServe's own schemas and webhooks (`tests/cluster/test_admission.py`)."""
    predictor, name = service["spec"]["predictor"], service["metadata"]["name"]
    for field in sorted(UNKNOWN[release] & {*predictor}):
        kind = f"(team/{name}; serving.kserve.io/v1beta1, Kind=InferenceService)"
        return 500, f"failed to create typed patch object {kind}: .spec.predictor.{field}: field not declared in schema"
    denied = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request'
    if not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name):
        return 403, f'{denied}: the InferenceService "{name}" is invalid: a InferenceService name must consist of lower'
    if release != "0.15" and predictor["model"].get("name"):
        return 403, f"{denied}: the 'name' field is not allowed in standard predictor"
    word = service["metadata"].get("annotations", {}).get("serving.kserve.io/deploymentMode", "")
    if release == "0.15" and word != "RawDeployment" and "deploymentStrategy" in predictor:
        return 403, f"{denied}: customizing deploymentStrategy is only supported for raw deployment mode"
    was = ((before or {}).get("status") or {}).get("deploymentMode", "")
    if was and word and was != word:
        return 403, f"{denied}: update rejected: deploymentMode cannot be changed from '{was}' to '{word}'"
    return None
