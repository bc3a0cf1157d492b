"""A stand-in for the Kubernetes API and for a registry of images, as far as doctor asks them, on loopback.

It stands for a cluster, which cannot exist here: what it serves is a table of objects by path, and who may do what.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from mainspring.pipelines import environments


class Kubernetes:
    """What the stand-in for the Kubernetes API and for a registry answers: a status and an object by path."""

    def __init__(self) -> None:
        self.url = ""
        self.forbidden: set[str] = set()
        """Paths, and verbs with their resource; with `name in namespace: ` before it, a service account's."""
        self.namespaces: set[str] = set()
        """In which rights were asked for."""
        self.objects: dict[str, Any] = {
            "/version": {"gitVersion": "v1.33.1"},
            "/apis/serving.kserve.io/v1beta1": {"resources": [{"name": "inferenceservices"}]},
            "/apis/trainer.kubeflow.org/v1alpha1": {"resources": [{"name": "trainjobs"}]},
            "/apis/storage.k8s.io/v1/storageclasses": {
                "items": [
                    {
                        "metadata": {
                            "name": "standard",
                            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                        }
                    }
                ]
            },
            "/api/v1/nodes": {"items": [node_with("nvidia-l4")]},
            "/v2/team/training/manifests/1": {},
        }

    def write_kubeconfig(self, path: Path) -> Path:
        """Writes a kubeconfig whose only context is this server, and returns its path."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "abc"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def write_pipeline(self, path: Path) -> Path:
        """Writes a pipeline whose only step wants an L4 and an image of this server's, and returns its path."""
        l4 = (environments.PIPELINES / "training" / "l4.yaml").read_text()
        image = f"image: {self.url.removeprefix('http://')}/team/training:1"
        path.write_text(re.sub(r"image: mainspring/training:\S+", image, l4))
        return path


def node_with(accelerator: str) -> dict[str, Any]:
    """Returns a node of GKE's with one GPU."""
    labels = {"cloud.google.com/gke-accelerator": accelerator}
    return {"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": {"nvidia.com/gpu": "1"}}}


@contextmanager
def running_kubernetes() -> Iterator[Kubernetes]:
    """Yields a server that listens on a port of its own, until the end of the block."""
    state = Kubernetes()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

        def _answer(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
            found: Any = state.objects.get(self.path)
            if self.path.endswith("subjectaccessreviews") and self.path not in state.forbidden:
                attributes = asked["spec"]["resourceAttributes"]
                state.namespaces.add(attributes["namespace"])
                *_, space, account = asked["spec"].get("user", ":").split(":")
                who = f"{account} in {space}: " if account else ""
                found = {
                    "status": {"allowed": f"{who}{attributes['verb']} {attributes['resource']}" not in state.forbidden}
                }
            status = 403 if self.path in state.forbidden else 404 if found is None else 200
            content = json.dumps(found or {}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = _answer

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield state
        server.shutdown()
