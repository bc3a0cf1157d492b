"""A real KServe on a control plane: its manager as a process, with definitions and webhooks from its sources."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, documents, free_port

READY_SECONDS = 180.0
NAMESPACE = "kserve"
KINDS = ("inferenceservices", "trainedmodels", "clusterservingruntimes", "servingruntimes", "inferencegraphs")
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RUNTIME = "kserve-tensorflow-serving"


def install(plane: ControlPlane, minor: str, **settings: dict[str, Any]) -> None:
    """Starts KServe on a control plane, and returns once its webhooks judge.

    Args:
        plane: The control plane.
        minor: KServe's version: `0.15`, `0.16` or `0.20`.
        settings: Changes of its ConfigMap, by key: `ingress={"enableGatewayApi": True}`.
    """
    program = programs.KSERVE[minor]
    sources = programs.sources(program)
    plane.namespace(NAMESPACE, **{"control-plane": "kserve-controller-manager"})
    plane.define([each for kind in KINDS for each in documents(_definition(sources, kind))])
    storage = sources / "config/crd/full/clusterstoragecontainer/serving.kserve.io_clusterstoragecontainers.yaml"
    storage = storage if storage.is_file() else _definition(sources, "clusterstoragecontainers")
    plane.define(documents(storage))
    (configured,) = documents(sources / "config/configmap/inferenceservice.yaml")
    configured["data"].pop("_example", None)
    for key, changes in {"deploy": {"defaultDeploymentMode": "RawDeployment"}, **settings}.items():
        configured["data"][key] = json.dumps({**json.loads(configured["data"][key]), **changes})
    plane.apply(f"/api/v1/namespaces/{NAMESPACE}/configmaps/inferenceservice-config", configured)
    _start(plane, minor)
    for path in ("config/storagecontainers/default.yaml", "config/runtimes/kserve-tensorflow-serving.yaml"):
        for each in documents(sources / path):
            kind = f"{each['kind'].lower()}s"
            each["metadata"].pop("creationTimestamp", None)
            text = json.dumps(each).replace("tensorflow-serving:replace", "tensorflow/serving:2.6.2")
            plane.apply(f"/apis/{each['apiVersion']}/{kind}/{each['metadata']['name']}", json.loads(text))


def _definition(sources: Path, kind: str) -> Path:
    return sources / f"config/crd/full/serving.kserve.io_{kind}.yaml"


def _start(plane: ControlPlane, minor: str) -> None:
    program = programs.KSERVE[minor]
    port, health = free_port(), free_port()
    folder = plane.folder / "kserve"
    certificates = folder / "k8s-webhook-server/serving-certs"
    certificates.mkdir(parents=True)
    pair = plane.authority.sign("kserve-webhook-server", hosts=("127.0.0.1",))
    (certificates / "tls.crt").write_bytes(pair.certificate.read_bytes())
    (certificates / "tls.key").write_bytes(pair.key.read_bytes())
    command = [
        str(programs.build(program)),
        f"--kubeconfig={plane.kubeconfig}",
        "--metrics-addr=0",
        f"--webhook-port={port}",
        f"--health-probe-addr=127.0.0.1:{health}",
        "--leader-elect=false",
    ]
    environment = {**os.environ, "TMPDIR": str(folder), "POD_NAMESPACE": NAMESPACE}
    manager = plane.run(f"kserve-{minor}", command, environment)
    manager.wait_ready(f"http://127.0.0.1:{health}/readyz", READY_SECONDS)
    authority = base64.b64encode(plane.authority.certificate).decode()
    for each in documents(programs.sources(program) / "config/webhook/manifests.yaml"):
        each["metadata"].pop("creationTimestamp", None)
        for hook in each["webhooks"]:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": authority}
        kind = f"{each['kind'].lower()}s"
        plane.apply(f"{ADMISSION}/{kind}/{each['metadata']['name']}", each)
