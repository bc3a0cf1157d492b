"""Plays the kubelet of a control plane without one: pods get an address, and a model server that answers there.

Everything but the containers is real: Deployments, ReplicaSets, Services, KServe's own changes of the pods. A pod's
server reads what KServe's storage initializer is told to fetch, as TensorFlow Serving does: integer folders only. It
serves on until its `preStop` sleep is over, as a kubelet lets it.
"""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from tests.cluster.control_plane import ControlPlane

NETWORK = ipaddress.ip_network("10.201.0.0/16")
"""On the loopback device, so that each pod has an address: the API server's proxy passes nothing on to 127.0.0.1."""

PORT = 8080
NODE = "node1"
INITIALIZER = "storage-initializer"
MODEL_FILE = "saved_model.pb"
CONTENT = "variables/variables.index"
"""Where a test's model says what it computes (`models`)."""


@dataclass
class Pod:
    """A running pod."""

    name: str
    uri: str
    """What its storage initializer was told to fetch."""
    sleep: float
    """Seconds of its `preStop` hook."""
    server: http.server.ThreadingHTTPServer | None = None
    requests: int = 0


@dataclass
class Kubelet:
    """What happens to pods, and what tests may change of it."""

    plane: ControlPlane
    pods: dict[str, Pod] = field(default_factory=dict)
    unschedulable: str = ""
    """A message: pods made from now on are not scheduled, for this reason."""
    broken: str = ""
    """A message: the containers of pods made from now on end with it."""
    offsets: dict[str, float] = field(default_factory=dict)
    """By a part of a model's URI: what its server adds to every prediction that it should give."""
    ending: set[str] = field(default_factory=set)
    """Pods in the pause before their end."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _addresses: Iterator[Any] = field(default_factory=NETWORK.hosts)

    def follow(self) -> None:
        """Acts on pods until it is told to stop."""
        core = client.CoreV1Api(self.plane.client)
        while not self.stopping.is_set():
            with contextlib.suppress(ApiException, HTTPError, OSError):
                for event in watch.Watch().stream(core.list_pod_for_all_namespaces, timeout_seconds=2):
                    if self.stopping.is_set():
                        return
                    self._act(event["type"], event["raw_object"])

    def _act(self, kind: str, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._stop(uid)
        elif pod["metadata"].get("deletionTimestamp"):
            if uid not in self.pods or not self.pods[uid].sleep:
                self._end(pod)
            elif uid not in self.ending:
                threading.Timer(self.pods[uid].sleep, self._end, (pod,)).start()
                self.ending.add(uid)
        elif uid not in self.pods:
            try:
                self._start(uid, pod)
            except BaseException:
                self.pods.pop(uid, None)  # It is tried again when pods are listed anew.
                raise

    def _start(self, uid: str, pod: dict[str, Any]) -> None:
        name, spec = pod["metadata"]["name"], pod["spec"]
        initial = [each for each in spec.get("initContainers") or [] if each["name"] == INITIALIZER]
        hooks = [each.get("lifecycle", {}).get("preStop", {}).get("sleep") for each in spec["containers"]]
        sleep = max((float(hook["seconds"]) for hook in hooks if hook), default=0.0)
        found = self.pods[uid] = Pod(name, initial[0]["args"][0] if initial else "", sleep)
        if self.unschedulable:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            self._report(pod, {"phase": "Pending", "conditions": [{**condition, "message": self.unschedulable}]})
            return
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}}
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        place = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name}/binding"
        self.plane.call("POST", place, {**binding, "target": target})
        if self.broken:
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
            ended = {"exitCode": 1, "reason": "Error", "message": self.broken}
            self._report(pod, _status(spec, "", {"waiting": waiting}, {"terminated": ended}))
            return
        address = str(next(self._addresses))
        found.server = _serve(found, address, _model(found.uri), self)
        self._report(pod, _status(spec, address, {"running": {"startedAt": _now()}}, {}))

    def _report(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        place = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
        with contextlib.suppress(ApiException):  # It was deleted meanwhile.
            self.plane.call("PATCH", place, {"status": status}, "application/merge-patch+json")

    def _end(self, pod: dict[str, Any]) -> None:
        self._stop(pod["metadata"]["uid"])
        place = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        with contextlib.suppress(ApiException):
            self.plane.call("DELETE", place, gracePeriodSeconds=0)

    def _stop(self, uid: str) -> None:
        found = self.pods.get(uid)
        if found and found.server:
            found.server.shutdown()
            found.server.server_close()
            found.server = None


@contextlib.contextmanager
def running(plane: ControlPlane) -> Iterator[Kubelet]:
    """Plays a kubelet on a control plane that acts on workloads."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    plane.apply(f"/api/v1/nodes/{NODE}", node)
    kubelet = Kubelet(plane)
    thread = threading.Thread(target=kubelet.follow, daemon=True)
    with _network():
        thread.start()
        try:
            yield kubelet
        finally:
            kubelet.stopping.set()
            thread.join(10.0)
            for uid in [*kubelet.pods]:
                kubelet._stop(uid)


@contextlib.contextmanager
def _network() -> Iterator[None]:
    address = f"{NETWORK.network_address + 1}/{NETWORK.prefixlen}"
    subprocess.run(["ip", "address", "replace", address, "dev", "lo"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "address", "delete", address, "dev", "lo"], check=False)


def can_run() -> str:
    """Returns why this machine cannot give pods addresses, in words; empty: it can."""
    done = subprocess.run(["ip", "address", "show", "dev", "lo"], capture_output=True, check=False)
    if done.returncode:
        return "it takes `ip` (Debian: iproute2)"
    address = ["10.254.254.254/32", "dev", "lo"]
    done = subprocess.run(["ip", "address", "add", *address], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "address", "delete", *address], capture_output=True, check=False)
    return "" if not done.returncode else f"it takes the right to change the loopback device ({done.stderr.strip()})"


def _model(uri: str) -> dict[str, Any] | None:
    """Returns the newest model under a URI, by TensorFlow Serving's rule: an integer folder; None if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            buckets.download_tree(uri, Path(folder))
        except UserError:
            return None
        numbers = [int(path.parent.name) for path in Path(folder).glob(f"*/{MODEL_FILE}") if path.parent.name.isdigit()]
        if not numbers:
            return None
        content: dict[str, Any] = json.loads((Path(folder) / str(max(numbers)) / CONTENT).read_text())
        return content


def _serve(pod: Pod, address: str, model: dict[str, Any] | None, kubelet: Kubelet) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # One packet an answer: the second of two would wait for the first one's acknowledgement.

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            pod.requests += 1
            if model is None:
                return self.answer(404, {"error": f"no integer folder with a SavedModel in {pod.uri}"})
            offset = sum(value for part, value in kubelet.offsets.items() if part in pod.uri)
            values = [model["factor"] * row["x"] + offset for row in body["instances"]]
            return self.answer(200, {"predictions": values, "model": model["model"]})

        def answer(self, status: int, content: Any) -> None:
            sent = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server((address, PORT), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _status(spec: dict[str, Any], address: str, state: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    up = "running" in state
    flags = {"PodScheduled": True, "Initialized": True, "ContainersReady": up, "Ready": up}
    conditions = [
        {"type": kind, "status": "True" if value else "False", "lastTransitionTime": _now()}
        for kind, value in flags.items()
    ]
    containers = [
        {
            "name": each["name"],
            "image": each.get("image", ""),
            "imageID": "",
            "ready": up,
            "restartCount": 0 if up else 1,
            "state": state,
            "lastState": last,
        }
        for each in spec["containers"]
    ]
    addresses = {"podIP": address, "podIPs": [{"ip": address}]} if address else {}
    return {
        "phase": "Running",
        "startTime": _now(),
        "conditions": conditions,
        "containerStatuses": containers,
        **addresses,
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
