"""Finding a container engine, Docker or Podman, and the images that a run needs; each failure is one line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.components.common.errors import UserError
from mainspring.components.common.images import REPOSITORY

if TYPE_CHECKING:
    import docker

TIMEOUT_SECONDS = 120


def sockets() -> list[str]:
    """Returns where an engine may listen, most wanted first: `$DOCKER_HOST` alone if it is set."""
    if given := os.environ.get("DOCKER_HOST"):
        return [given]
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    places = (
        "/var/run/docker.sock",
        f"{Path.home()}/.docker/run/docker.sock",
        f"{runtime}/podman/podman.sock",
        "/run/podman/podman.sock",
    )
    return [f"unix://{place}" for place in places if Path(place).exists()]


def connect() -> docker.DockerClient:
    """Returns a client of the first engine that answers.

    Raises:
        UserError: None does, or the package `docker` is missing.
    """
    try:
        import docker
        import docker.errors
    except ImportError as error:
        raise UserError("the docker engine needs a package: pip install 'mainspring[docker]'") from error
    refused = []
    for place in sockets():
        try:
            client = docker.DockerClient(base_url=place, timeout=TIMEOUT_SECONDS)
            client.ping()
        except (docker.errors.DockerException, OSError) as error:
            refused.append(f"{place}: {_reason(error)}")
        else:
            return client
    tried = f" ({'; '.join(refused)})" if refused else ""
    raise UserError(
        f"no container engine answers{tried}: start Docker, or Podman's socket "
        "(`systemctl --user start podman.socket`), or name one by DOCKER_HOST=unix:///…"
    )


def image_ids(client: docker.DockerClient, images: Iterable[str]) -> dict[str, str]:
    """Returns the images' ids by name; pulls those that are not here and lie in a registry.

    Raises:
        UserError: One is not here and cannot be pulled.
    """
    return {image: _id(client, image) for image in dict.fromkeys(images)}


def _id(client: docker.DockerClient, image: str) -> str:
    import docker.errors

    try:
        found = client.images.get(image).id
    except docker.errors.ImageNotFound:
        if re.fullmatch(rf"{REPOSITORY}/[^@]+", image):
            raise UserError(f"image {image} is not here; build the images with `make images`") from None
        try:
            pulled = client.images.pull(image)
            found = (pulled[0] if isinstance(pulled, list) else pulled).id
        except (docker.errors.APIError, IndexError) as error:
            raise UserError(
                f"image {image} is not here and cannot be pulled ({_reason(error)}); "
                "check its name and that you are logged in to its registry"
            ) from error
    assert found is not None
    return found


def _reason(error: Exception) -> str:
    return str(getattr(error, "explanation", "") or error).strip().splitlines()[-1][:300]
