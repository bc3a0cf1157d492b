"""Plays the kubelet, the scheduler and the containers of training pods, on a control plane without nodes.

Everything but the containers is real: TrainJobs, JobSets, Jobs, their pods' environment, events of controllers. What
becomes of a pod is a test's to say (`Workers.play`), in the words that a scheduler or a kubelet writes. Logs are served
as a kubelet serves them, to the API server.
"""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tests.cluster.control_plane import ControlPlane

NODE = "node1"
ADDRESS = "127.0.0.1"


@dataclass
class Workers:
    """What happens to pods."""

    plane: ControlPlane
    play: Callable[[Workers, dict[str, Any]], None]
    """Is called in a thread of its own for every new pod."""
    logs: dict[tuple[str, str], str] = field(default_factory=dict)
    """By pod and container."""
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Every pod that ever was, by its uid, as it was made."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, pod: dict[str, Any]) -> None:
        """Starts a pod: it is bound to the node, and its containers run."""
        self._bind(pod)
        state = {"running": {"startedAt": now()}}
        ready = {"type": "Ready", "status": "True"}
        self._report(pod, "Running", _statuses(pod, state), [{**ready, "lastTransitionTime": now()}])

    def end(self, pod: dict[str, Any], status: int, log: str = "", container: str = "") -> None:
        """Ends a running pod with an exit status and a log."""
        first = container or pod["spec"]["containers"][0]["name"]
        self.logs[pod["metadata"]["name"], first] = log
        reason = {0: "Completed", 137: "OOMKilled"}.get(status, "Error")
        ended = {"terminated": {"exitCode": status, "reason": reason, "startedAt": now(), "finishedAt": now()}}
        self._report(pod, "Failed" if status else "Succeeded", _statuses(pod, ended), [])

    def leave(self, pod: dict[str, Any], why: str) -> None:
        """Finds no node for a pod, as the scheduler says it."""
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
        self._report(pod, "Pending", [], [{**condition, "lastTransitionTime": now()}])
        self.tell(pod, "FailedScheduling", why)

    def lack(self, pod: dict[str, Any], why: str, reason: str = "ImagePullBackOff") -> None:
        """Cannot start a pod's containers, as the kubelet says it."""
        self._bind(pod)
        waiting = {"waiting": {"reason": reason, "message": why}}
        self._report(pod, "Pending", _statuses(pod, waiting), [])

    def tell(self, pod: dict[str, Any], reason: str, message: str) -> None:
        """Makes an event about a pod, as the scheduler does: without `firstTimestamp`."""
        namespace = pod["metadata"]["namespace"]
        about = {"apiVersion": "v1", "kind": "Pod", **{key: pod["metadata"][key] for key in ("name", "namespace")}}
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{pod['metadata']['name']}.{uuid.uuid4().hex[:10]}", "namespace": namespace},
            "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime()),
            "reportingController": "default-scheduler",
            "reportingInstance": "default-scheduler-1",
            "action": "Scheduling",
            "reason": reason,
            "regarding": {**about, "uid": pod["metadata"]["uid"]},
            "note": message,
            "type": "Warning",
        }
        self.plane.call("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", event)

    def follow(self) -> None:
        """Acts on pods until it is told to stop."""
        core = client.CoreV1Api(self.plane.client)
        while not self.stopping.is_set():
            with contextlib.suppress(ApiException, HTTPError, OSError):
                for event in watch.Watch().stream(core.list_pod_for_all_namespaces, timeout_seconds=2):
                    if self.stopping.is_set():
                        return
                    pod = event["raw_object"]
                    if event["type"] != "DELETED" and pod["metadata"].get("deletionTimestamp"):
                        self._gone(pod)
                    elif event["type"] != "DELETED" and pod["metadata"]["uid"] not in self.seen:
                        self.seen[pod["metadata"]["uid"]] = pod
                        threading.Thread(target=self._played, args=(pod,), daemon=True).start()

    def _played(self, pod: dict[str, Any]) -> None:
        with contextlib.suppress(ApiException):  # It was deleted meanwhile.
            self.play(self, pod)

    def _bind(self, pod: dict[str, Any]) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}}
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        self.plane.call("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", {**body, "target": target})

    def _gone(self, pod: dict[str, Any]) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        with contextlib.suppress(ApiException):
            self.plane.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", gracePeriodSeconds=0)

    def _report(self, pod: dict[str, Any], phase: str, containers: list[Any], conditions: list[Any]) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        status = {"phase": phase, "conditions": conditions}
        status |= {"containerStatuses": containers} if containers else {}
        place = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self.plane.call("PATCH", place, {"status": status}, "application/merge-patch+json")


def _statuses(pod: dict[str, Any], state: dict[str, Any]) -> list[dict[str, Any]]:
    shared = {"imageID": "", "restartCount": 0, "ready": "running" in state, "state": state}
    return [{"name": each["name"], "image": each.get("image", ""), **shared} for each in pod["spec"]["containers"]]


@contextlib.contextmanager
def running(plane: ControlPlane, play: Callable[[Workers, dict[str, Any]], None]) -> Iterator[Workers]:
    """Plays pods on a control plane that acts on workloads."""
    workers = Workers(plane, play)
    with _logs(workers) as port:
        plane.apply(f"/api/v1/nodes/{NODE}", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": ADDRESS}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        plane.call("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, "application/merge-patch+json")
        thread = threading.Thread(target=workers.follow, daemon=True)
        thread.start()
        try:
            yield workers
        finally:
            workers.stopping.set()
            thread.join(10.0)


@contextlib.contextmanager
def _logs(workers: Workers) -> Iterator[int]:
    """Serves containers' logs at the address of the node, as a kubelet does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            # /containerLogs/NAMESPACE/POD/CONTAINER?…
            _, _, _, pod, container = self.path.partition("?")[0].split("/")
            log = workers.logs.get((pod, container))
            sent = (f"no log of {container}" if log is None else log).encode()
            self.send_response(404 if log is None else 200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            pass

    pair = workers.plane.authority.sign("kubelet", hosts=(ADDRESS,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = http.server.ThreadingHTTPServer((ADDRESS, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def now() -> str:
    """Returns the time as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
