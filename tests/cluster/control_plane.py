"""A real control plane on loopback: etcd, the API server and, where asked for, the controllers of workloads."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from tests.cluster import programs
from tests.cluster.certificates import Authority, Pair, key_pair
from tests.cluster.processes import Process, start

READY_SECONDS = 180.0
"""A machine of two cores under load starts an API server in 20 s."""

SERVER, ACCOUNTS = "kube-apiserver", "service-accounts"
"""What the files of certificates and keys are called."""

SERVICES = "10.96.0.0/16"
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "serviceaccount-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "job-controller",
    "resourcequota-controller",
)
"""What Deployments, Jobs, Services, quotas and deletions take; nothing that watches over nodes: they are played."""

ESTABLISHED_SECONDS = 60.0
POLL_SECONDS = 0.1
MANAGER = "mainspring-tests"


@dataclass
class ControlPlane:
    """A running API server, and what speaks to it."""

    folder: Path
    url: str
    authority: Authority
    kubeconfig: Path
    """The administrator's."""
    client: client.ApiClient
    processes: list[Process] = field(default_factory=list)

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: Any) -> Any:
        """Sends a request and returns the parsed answer.

        Raises:
            ApiException: It was refused.
        """
        headers = {"Accept": "application/json", **({"Content-Type": kind} if body is not None else {})}
        answer = self.client.call_api(
            path, method, query_params=list(query.items()), header_params=headers, body=body, _preload_content=False
        )[0]
        return json.loads(answer.data)

    def get(self, path: str) -> dict[str, Any] | None:
        """Returns an object, or None if there is none."""
        try:
            found: dict[str, Any] = self.call("GET", path)
            return found
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def apply(self, path: str, body: dict[str, Any]) -> Any:
        """Applies an object at its path by server-side apply."""
        return self.call("PATCH", path, body, "application/apply-patch+yaml", fieldManager=MANAGER, force="true")

    def namespace(self, name: str, **labels: str) -> None:
        """Makes a namespace."""
        metadata = {"name": name, "labels": labels}
        self.apply(f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def define(self, kinds: list[dict[str, Any]]) -> None:
        """Applies custom resource definitions, and returns once they are served."""
        place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for kind in kinds:
            kind.pop("status", None)
            kind["metadata"].pop("creationTimestamp", None)
            self.apply(f"{place}/{kind['metadata']['name']}", kind)
        for kind in kinds:
            self.wait(lambda name=kind["metadata"]["name"]: _is_established(self.get(f"{place}/{name}")))

    def wait(self, arrived: Any, seconds: float = ESTABLISHED_SECONDS) -> Any:
        """Returns what a function returns as soon as that is true.

        Raises:
            TimeoutError: It was not in time.
        """
        deadline = time.monotonic() + seconds
        while not (found := arrived()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not after {seconds:.0f} s")
            time.sleep(POLL_SECONDS)
        return found

    def credentials(self, user: str, group: str = "") -> Path:
        """Returns a kubeconfig for a user whom the API server knows by certificate."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        if not path.is_file():
            path.write_text(_kubeconfig(self.url, self.authority, self.authority.sign(user, organisation=group)))
        return path

    def account(self, namespace: str, name: str) -> Path:
        """Returns a kubeconfig for a service account that there is."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        given = self.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body)
        path = self.folder / f"{namespace}-{name}.kubeconfig"
        user = {"token": given["status"]["token"]}
        path.write_text(_written(self.url, self.authority, user, namespace))
        return path

    def act_on_workloads(self) -> None:
        """Starts the controllers of workloads; kinds that are defined later are counted by no quota for a while."""
        port = free_port()
        command = [
            str(programs.build(programs.KUBE_CONTROLLER_MANAGER)),
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            f"--controllers={','.join(CONTROLLERS)}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--service-account-private-key-file={self.folder / ACCOUNTS}.key",
            f"--root-ca-file={self.authority.pair.certificate}",
            f"--tls-cert-file={self.folder / SERVER}.crt",
            f"--tls-private-key-file={self.folder / SERVER}.key",
        ]
        manager = self.run("kube-controller-manager", command)
        manager.wait_ready(f"https://127.0.0.1:{port}/healthz", READY_SECONDS, self.authority.pair.certificate)

    def run(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Process:
        """Starts a program that ends with this control plane."""
        process = start(name, command, self.folder, environment)
        self.processes.append(process)
        return process


@contextlib.contextmanager
def running(folder: Path, *, workloads: bool = False) -> Iterator[ControlPlane]:
    """Runs a control plane in a folder.

    Args:
        folder: An empty folder for its data, certificates and logs.
        workloads: Whether Deployments and so on are acted on.
    """
    authority = Authority(folder)
    port, etcd_port, peer_port = free_port(), free_port(), free_port()
    url, etcd_url = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{etcd_port}"
    admin = folder / "admin.kubeconfig"
    admin.write_text(_kubeconfig(url, authority, authority.sign("admin", organisation="system:masters")))
    plane = ControlPlane(folder, url, authority, admin, config.new_client_from_config(str(admin)))
    try:
        peers = f"http://127.0.0.1:{peer_port}"
        etcd = plane.run(
            "etcd",
            [
                "etcd",
                "--unsafe-no-fsync",
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls={etcd_url}",
                f"--advertise-client-urls={etcd_url}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
            ],
        )
        etcd.wait_ready(f"{etcd_url}/health", READY_SECONDS)
        server = authority.sign(SERVER, hosts=("localhost", "127.0.0.1", "10.96.0.1", "kubernetes.default.svc"))
        private, public = key_pair(folder, ACCOUNTS)
        flags = {
            "etcd-servers": etcd_url,
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "secure-port": str(port),
            "service-cluster-ip-range": SERVICES,
            "authorization-mode": "Node,RBAC",
            "client-ca-file": str(authority.pair.certificate),
            "tls-cert-file": str(server.certificate),
            "tls-private-key-file": str(server.key),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": str(public),
            "service-account-signing-key-file": str(private),
            "allow-privileged": "true",
        }
        command = [
            str(programs.build(programs.KUBE_APISERVER)),
            *(f"--{name}={value}" for name, value in flags.items()),
        ]
        plane.run("kube-apiserver", command).wait_ready(f"{url}/readyz", READY_SECONDS, authority.pair.certificate)
        if workloads:
            plane.act_on_workloads()
        yield plane
    finally:
        for process in reversed(plane.processes):
            process.stop()


def free_port() -> int:
    """Returns a port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def documents(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a YAML file."""
    with path.open() as file:
        return [each for each in yaml.load_all(file, yaml.CSafeLoader) if each]


def _is_established(found: dict[str, Any] | None) -> bool:
    conditions = (found or {}).get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _kubeconfig(url: str, authority: Authority, pair: Pair) -> str:
    return _written(url, authority, {"client-certificate": str(pair.certificate), "client-key": str(pair.key)})


def _written(url: str, authority: Authority, user: dict[str, str], namespace: str = "default") -> str:
    cluster = {"server": url, "certificate-authority": str(authority.pair.certificate)}
    context = {"cluster": "test", "user": "test", "namespace": namespace}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": context}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
    }
    return yaml.safe_dump(content)
