"""A Kubernetes API on loopback, as far as training and tuning use it for TrainJobs and Experiments; faults on demand.

Stands for the API server: it keeps objects, refuses what the schemas refuse and a second object of a name, rehearses,
deletes what a deleted object owns, and answers as it is told to by `faults`. What real controllers do with the objects,
`tests/cluster` says. What becomes of a TrainJob or an
Experiment is the test's to play.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

NOW = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
Manifest = dict[str, Any]


@dataclass
class Cluster:
    """What the API server keeps."""

    runtimes: dict[str, Manifest]
    validate: Callable[[Manifest], list[str]]
    play: Callable[[Cluster, Manifest], None]
    """Is called in a thread of its own for every new TrainJob or Experiment that a client submits."""
    faults: list[tuple[str, str, int | str]] = field(default_factory=list)
    """Method, part of the path, and a status, `reset` (no answer) or `lost` (done, but no answer); each once."""
    jobs: dict[str, Manifest] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    """By pod."""
    events: list[Manifest] = field(default_factory=list)
    created: list[Manifest] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    experiments: dict[str, Manifest] = field(default_factory=dict)
    trials: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Manifest] = field(default_factory=dict)
    """Those of steps."""
    phases: dict[str, str] = field(default_factory=dict)
    """By pod of a TrainJob."""
    asked: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    """Of the namespace."""

    def end(self, job: Manifest, kind: str) -> None:
        """Gives a job its last condition, `Complete` or `Failed`."""
        condition = {"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": NOW}
        self.jobs[job["metadata"]["name"]]["status"] = {"conditions": [condition]}

    def run_pods(self, job: Manifest, phase: str = "Running") -> list[str]:
        """Gives a job's pods a phase, and returns their names."""
        name, count = job["metadata"]["name"], job["spec"]["trainer"]["numNodes"]
        pods = [f"{name}-node-0-{number}-x" for number in range(count)]
        self.phases |= dict.fromkeys(pods, phase)
        return pods

    def answer(self, method: str, path: str, query: str, body: Manifest | None) -> tuple[int, Any]:
        """Returns status and content for a request."""
        kind, name = path.rstrip("/").split("/")[-2:]
        if path.endswith("/clustertrainingruntimes/" + name):
            return (200, self.runtimes[name]) if name in self.runtimes else (404, "not found")
        kept = {"trainjobs": self.jobs, "experiments": self.experiments}
        if method == "POST" and name in kept and body is not None:
            return self._create(body, kept[name], keeps="dryRun=All" not in query)
        if kind in kept and name in kept[kind]:
            if method == "DELETE":
                return 200, self._delete(kept[kind], name)
            return 200, kept[kind][name]
        if kind == "namespaces":
            return 200, {"kind": "Namespace", "metadata": {"name": name, "labels": self.labels}}
        if name == "trials":
            return 200, {"kind": "TrialList", "metadata": {}, "items": [*self.trials.values()]}
        if kind == "pods" and name in self.pods:
            return 200, self.pods[name]
        if name == "pods":
            wanted = re.search(r"jobset-name(?:=|%3D)([\w-]+)", query)
            items = [self._pod(pod) for pod in self.phases if wanted and pod.startswith(wanted[1])]
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        if name == "log" and kind in self.logs:
            return 200, self.logs[kind]
        if name == "events":
            return 200, {"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": self.events}
        return 404, "not found"

    def _create(self, made: Manifest, kept: dict[str, Manifest], keeps: bool) -> tuple[int, Any]:
        name = made["metadata"]["name"]
        if errors := self.validate(made):
            return 422, errors[0]
        if name in kept:
            return 409, f"{made['kind']} {name} already exists"
        if not keeps:
            return 201, made
        made["metadata"] |= {"namespace": "team", "creationTimestamp": NOW}
        kept[name] = made
        self.created.append(json.loads(json.dumps(made)))
        threading.Thread(target=self.play, args=(self, made), daemon=True).start()
        return 201, made

    def _delete(self, kept: dict[str, Manifest], name: str) -> Manifest:
        self.deleted.append(name)
        if kept is self.experiments:  # Katib makes an experiment the owner of its trials, and a trial of its TrainJob.
            for trial in [*self.trials]:
                self.trials.pop(trial)
                self._end_pods(trial)
                self.jobs.pop(trial, None)
        self._end_pods(name)
        return kept.pop(name)

    def _end_pods(self, job: str) -> None:
        self.phases = {pod: phase for pod, phase in self.phases.items() if not pod.startswith(f"{job}-node-")}

    def _pod(self, name: str) -> Manifest:
        index = re.sub(r".*-(\d+)-x$", r"\1", name)
        labels = {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": index}
        status = {"Failed": 1, "Succeeded": 0}.get(self.phases[name])
        ended = {} if status is None else {"terminated": {"exitCode": status, "finishedAt": NOW}}
        return {
            "metadata": {"name": name, "namespace": "team", "creationTimestamp": NOW, "labels": labels},
            "spec": {"containers": [{"name": name, "image": "i"} for name in ("node", "metrics-logger-and-collector")]},
            "status": {"phase": self.phases[name], "containerStatuses": [{"name": "node", "state": ended}]},
        }


@contextmanager
def serving(cluster: Cluster, kubeconfig: Path) -> Iterator[Cluster]:
    """Serves a cluster on a free port, and writes the kubeconfig that leads there."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # Headers and body are two writes: together they would wait 40 ms.

        def _handle(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            path, _, query = self.path.partition("?")
            cluster.asked.append(f"{self.command} {path}")
            fault = next((f for f in cluster.faults if f[0] == self.command and f[1] in path), None)
            if fault:
                cluster.faults.remove(fault)
            if fault and fault[2] == "reset":
                self.close_connection = True
                return
            asked = fault and isinstance(fault[2], int)
            status, content = (
                (fault[2], "as asked") if asked and fault else cluster.answer(self.command, path, query, body)
            )
            if fault and fault[2] == "lost":
                self.close_connection = True
                return
            if isinstance(content, str) and status >= 400:
                content = {"kind": "Status", "apiVersion": "v1", "message": content, "code": status}
            sent = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(int(status))
            self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_DELETE = _handle

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    host = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": host}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "team"}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
