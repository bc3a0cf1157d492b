"""Real Katib on a control plane: its controller as a process; its algorithm's service and its database are played.

Katib reaches both by gRPC, through the proxy of its environment: a name of the cluster is a host that nobody here
resolves. Played are a search that draws at random, and a database that keeps what collectors report.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import socketserver
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mainspring.pipelines import environments
from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, documents, free_port
from tests.cluster.managers import READY_SECONDS, configuration, register

NAMESPACE = "kubeflow"
COLLECTOR = "metrics-logger-and-collector"
FOLDER = Path(tempfile.gettempdir()) / "cert"
"""Where Katib looks for its certificates, and nowhere else."""


@dataclass
class Services:
    """What Katib asks: for values to try, and for what was measured."""

    port: int
    measured: dict[str, list[float]] = field(default_factory=dict)
    """By trial."""
    seed: int = 7


@contextlib.contextmanager
def running(plane: ControlPlane, *, restricted: bool = False) -> Iterator[Services]:
    """Starts Katib on a control plane that has Trainer, until the block ends.

    Args:
        plane: The control plane.
        restricted: Whether Katib is set up for namespaces that enforce pod security: `injectSecurityContext`, and a
            security context for the algorithm's service.
    """
    program = programs.KATIB
    sources = programs.sources(program) / "manifests/v1beta1"
    plane.namespace(NAMESPACE)
    plane.define([each for path in (sources / "components/crd").glob("*.yaml") for each in _kinds(path)])
    port, health = free_port(), free_port()
    (settings,) = documents(sources / "installs/katib-standalone/katib-config.yaml")
    settings["init"]["certGenerator"] = {"enable": False}
    settings["init"]["controller"] = {
        "webhookPort": port,
        "healthzAddr": f"127.0.0.1:{health}",
        "metricsAddr": "0",
        "trialResources": ["TrainJob.v1alpha1.trainer.kubeflow.org", "Job.v1.batch"],
        "injectSecurityContext": restricted,
    }
    if restricted:
        for each in settings["runtime"]["suggestions"]:
            each["securityContext"] = RESTRICTED
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "katib-config"}}
    data = {"katib-config.yaml": yaml.safe_dump(settings)}
    plane.apply(f"/api/v1/namespaces/{NAMESPACE}/configmaps/katib-config", {**body, "data": data})
    folder = plane.folder / "katib"
    folder.mkdir()
    with _certificates(plane), _played(programs.sources(program)) as services, _proxy(services.port) as proxy:
        command = [
            str(programs.build(program)),
            f"--katib-config={configuration(folder, settings)}",
            f"--kubeconfig={plane.kubeconfig}",
        ]
        environment = {**os.environ, "KATIB_CORE_NAMESPACE": NAMESPACE, "HTTPS_PROXY": f"http://127.0.0.1:{proxy}"}
        manager = plane.run("katib", command, environment)
        manager.wait_ready(f"http://127.0.0.1:{health}/readyz", READY_SECONDS)
        register(plane, "katib", sources / "components/webhook/webhooks.yaml", port)
        yield services
        manager.stop()


RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _kinds(path: Path) -> list[dict[str, Any]]:
    return [each for each in documents(path) if each["kind"] == "CustomResourceDefinition"]


@contextlib.contextmanager
def _certificates(plane: ControlPlane) -> Iterator[None]:
    pair = plane.authority.sign("katib-webhook-server", hosts=("127.0.0.1",))
    FOLDER.mkdir(exist_ok=True)
    ours = [FOLDER / "tls.crt", FOLDER / "tls.key"]
    for path, source in zip(ours, (pair.certificate, pair.key), strict=True):
        path.write_bytes(source.read_bytes())
    try:
        yield
    finally:
        for path in ours:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _played(sources: Path) -> Iterator[Services]:
    """Serves what Katib asks by gRPC, in the words of its own protocol."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path += [
        str(environments.environment("serving").path / f"lib/{version}/site-packages"),  # It brings gRPC.
        str(sources / "pkg/apis/manager/v1beta1/python"),
    ]
    import api_pb2 as words
    import api_pb2_grpc as served
    import grpc

    services = Services(0)
    draw = random.Random(services.seed)

    class Algorithm(served.SuggestionServicer):
        def ValidateAlgorithmSettings(self, request: Any, context: Any) -> Any:
            return words.ValidateAlgorithmSettingsReply()

        def GetSuggestions(self, request: Any, context: Any) -> Any:
            spaces = request.experiment.spec.parameter_specs.parameters
            answer = words.GetSuggestionsReply()
            for _ in range(request.current_request_number):
                given = answer.parameter_assignments.add()
                for space in spaces:
                    value = _drawn(draw, space.feasible_space, space.parameter_type == words.INT)
                    given.assignments.add(name=space.name, value=value)
            return answer

    class Database(served.DBManagerServicer):
        def GetObservationLog(self, request: Any, context: Any) -> Any:
            answer = words.GetObservationLogReply()
            for number, value in enumerate(services.measured.get(request.trial_name, [])):
                log = answer.observation_log.metric_logs.add(time_stamp=f"2026-01-01T00:00:{number:02}Z")
                log.metric.name, log.metric.value = "eval_loss", str(value)
            return answer

        def DeleteObservationLog(self, request: Any, context: Any) -> Any:
            services.measured.pop(request.trial_name, None)
            return words.DeleteObservationLogReply()

    server = grpc.server(futures.ThreadPoolExecutor(4))
    served.add_SuggestionServicer_to_server(Algorithm(), server)
    served.add_DBManagerServicer_to_server(Database(), server)
    services.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield services
    finally:
        server.stop(None)


def _drawn(draw: random.Random, space: Any, whole: bool) -> str:
    if space.list:
        return str(draw.choice(list(space.list)))
    low, high = float(space.min), float(space.max)
    return str(draw.randint(int(low), int(high))) if whole else str(draw.uniform(low, high))


@contextlib.contextmanager
def _proxy(port: int) -> Iterator[int]:
    """An HTTP proxy that connects whoever asks for any host to one port of loopback."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            with socket.create_connection(("127.0.0.1", port)) as there:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=(there, self.connection), daemon=True)
                back.start()
                _copy(self.connection, there)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)
