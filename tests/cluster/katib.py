"""Real Katib on a control plane: its controller as a process; its algorithm's service and its database are played.

Katib reaches both by gRPC, through the proxy of its environment: a name of the cluster is a host that nobody here
resolves. Played are a search that draws at random, and a database that keeps what collectors report.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mainspring.pipelines import environments
from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, documents, free_port
from tests.cluster.managers import READY_SECONDS, certificates_at, configuration, register

NAMESPACE = "kubeflow"
COLLECTOR = "metrics-logger-and-collector"
FOLDER = Path(tempfile.gettempdir()) / "cert"
"""Where Katib looks for its certificates, and nowhere else."""


@dataclass
class Services:
    """What Katib asks: for values to try, and for what was measured."""

    port: int
    folder: Path

    def report(self, trial: str, losses: list[float]) -> None:
        """Reports what a trial's collector has measured."""
        aside = self.folder / f"{trial}.new"
        aside.write_text(json.dumps(losses))
        aside.rename(self.folder / f"{trial}.json")


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
    services = _play(plane, folder)
    with certificates_at(plane, "katib", FOLDER), _proxy(services.port) as proxy:
        command = [
            str(programs.build(program)),
            f"--katib-config={configuration(folder, settings)}",
            f"--kubeconfig={plane.kubeconfig}",
        ]
        environment = {**os.environ, "KATIB_CORE_NAMESPACE": NAMESPACE, "HTTPS_PROXY": f"http://127.0.0.1:{proxy}"}
        manager = plane.run("katib", command, environment)
        manager.wait_ready(f"http://127.0.0.1:{health}/readyz", READY_SECONDS)
        places = register(plane, "katib", sources / "components/webhook/webhooks.yaml", port)
        try:
            yield services
        finally:
            for place in places:
                plane.call("DELETE", place)
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


def _play(plane: ControlPlane, folder: Path) -> Services:
    """Starts what Katib asks by gRPC, in the words of its own protocol; apart, for gRPC bears no forks."""
    (folder / "measured").mkdir()
    services = Services(free_port(), folder / "measured")
    protocol = programs.sources(programs.KATIB) / "pkg/apis/manager/v1beta1/python"
    program = Path(__file__).with_name("katib_services.py")
    python = environments.environment("serving").python  # It brings gRPC.
    command = [str(python), str(program), str(services.port), str(services.folder)]
    plane.run("katib-services", command, {**os.environ, "PYTHONPATH": str(protocol)})
    return services


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
