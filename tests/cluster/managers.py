"""What every controller of a test cluster takes: certificates for its webhooks, and those told to the API server."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.control_plane import ControlPlane, documents

READY_SECONDS = 180.0
"""A machine of two cores under load starts a controller in 60 s."""

ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def folder_with_certificates(plane: ControlPlane, name: str) -> Path:
    """Returns a folder for a controller; its webhooks' certificates lie where controllers look below `$TMPDIR`."""
    folder = plane.folder / name
    certificates = folder / "k8s-webhook-server/serving-certs"
    certificates.mkdir(parents=True)
    pair = plane.authority.sign(f"{name}-webhook-server", hosts=("127.0.0.1",))
    (certificates / "tls.crt").write_bytes(pair.certificate.read_bytes())
    (certificates / "tls.key").write_bytes(pair.key.read_bytes())
    return folder


@contextlib.contextmanager
def certificates_at(plane: ControlPlane, name: str, folder: Path) -> Iterator[None]:
    """Puts a controller's certificates where it looks for them and nowhere else, while the block runs."""
    pair = plane.authority.sign(f"{name}-server", hosts=("127.0.0.1",))
    folder.mkdir(parents=True, exist_ok=True)
    written = {folder / "tls.crt": pair.certificate, folder / "tls.key": pair.key}
    for path, source in written.items():
        path.write_bytes(source.read_bytes())
    try:
        yield
    finally:
        for path in written:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Somebody else has something there.
            os.removedirs(folder)


def configuration(folder: Path, content: dict[str, Any]) -> Path:
    """Writes a controller's configuration and returns its path."""
    path = folder / "configuration.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def register(plane: ControlPlane, name: str, path: Path, port: int) -> list[str]:
    """Makes the API server ask a controller on loopback, as its webhook manifests say; returns where that is written.

    Args:
        plane: The control plane.
        name: The controller's: many projects give their configurations the same name.
        path: The manifests.
        port: Where the controller listens.
    """
    places = []
    authority = base64.b64encode(plane.authority.certificate).decode()
    for each in documents(path):
        if not each["kind"].endswith("WebhookConfiguration"):
            continue
        each["metadata"].pop("creationTimestamp", None)
        each["metadata"]["name"] = f"{name}-{each['metadata']['name']}"
        for hook in each["webhooks"]:
            asked = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{asked}", "caBundle": authority}
        places.append(f"{ADMISSION}/{each['kind'].lower()}s/{each['metadata']['name']}")
        plane.apply(places[-1], each)
    return places
