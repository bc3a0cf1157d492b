"""The container that a local target's servers run in: of the serving image, and longer-lived than the task's.

Deployment's container asks it for servers over a socket (`serving.process_host` says how). It goes by itself once its
last server has been stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.images import REPOSITORY, image

if TYPE_CHECKING:
    import docker

SOCKET_VARIABLE = "MAINSPRING_SERVING_SOCKET"
LABEL = "dev.mainspring.serving"
INSIDE = "/run/mainspring"
"""Where the socket's folder is mounted: a Unix socket's path may have 107 characters, and a root may be deep."""

START_SECONDS = 60.0
LEAVE_SECONDS = 1.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ServingContainer:
    """A running one."""

    container: Any
    folder: Path
    """Its socket's, on the machine."""

    @property
    def socket(self) -> str:
        """The socket's path in a container that has `volumes`."""
        return f"{INSIDE}/{self.folder.name}/socket"

    @property
    def volumes(self) -> dict[str, dict[str, str]]:
        """What a container needs to reach the socket."""
        return {str(self.folder): {"bind": f"{INSIDE}/{self.folder.name}", "mode": "rw"}}

    def go_unless_needed(self) -> None:
        """Ends it now if it serves nothing; by itself it would stay for a minute."""
        import docker.errors

        with contextlib.suppress(docker.errors.APIError):
            self.container.kill(signal="SIGUSR1")
            deadline = time.monotonic() + LEAVE_SECONDS
            while (self.folder / "socket").exists():
                if time.monotonic() > deadline:
                    return  # It serves.
                time.sleep(_POLL_SECONDS)
            self.container.remove(force=True)


def image_beside(images: Iterable[str]) -> str:
    """Returns the serving image that goes with a pipeline's deployment image; empty if the pipeline deploys nothing."""
    for name in images:
        match = re.fullmatch(rf"((?:.*/)?{REPOSITORY}/)deployment(:[^@/]+)?(@.+)?", name)
        if match:
            return image("serving") if match[3] else f"{match[1]}serving{match[2] or ''}"
    return ""


def running(
    client: docker.DockerClient, image_id: str, root: Path, options: dict[str, Any], variables: dict[str, str]
) -> ServingContainer:
    """Returns the serving container of a local root, started if need be.

    Args:
        client: The engine's.
        image_id: The serving image's.
        root: The local root.
        options: How the deployment's container is created; this one is created likewise.
        variables: Its environment.

    Raises:
        UserError: It does not start.
    """
    made_of = json.dumps([image_id, str(root), options, variables], sort_keys=True)
    key = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    folder = root / "endpoints" / ".serving" / key
    for container in client.containers.list(filters={"label": f"{LABEL}={key}"}, sparse=True):
        return ServingContainer(container, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        user, group = map(int, options["user"].split(":"))
        os.chown(folder, user, group)
    (folder / "socket").unlink(missing_ok=True)
    found = ServingContainer(None, folder)
    command = ["python3", "-m", "mainspring.components.serving.process_host", "--socket", found.socket]
    container = client.containers.run(
        image_id,
        command,
        detach=True,
        auto_remove=True,
        labels={LABEL: key},
        healthcheck={"test": ["NONE"]},  # The image's own asks the server of a cluster.
        environment=variables,
        **(options | {"volumes": options["volumes"] | found.volumes}),
    )
    _wait_for(folder / "socket", container)
    return ServingContainer(container, folder)


def _wait_for(socket: Path, container: Any) -> None:
    import docker.errors

    deadline = time.monotonic() + START_SECONDS
    while not socket.exists():
        try:
            container.reload()
            ended = container.status in ("exited", "dead")
        except docker.errors.NotFound:
            ended = True
        if ended or time.monotonic() > deadline:
            raise UserError("the serving container does not start; see `docker logs` or `podman logs` of it")
        time.sleep(_POLL_SECONDS)
