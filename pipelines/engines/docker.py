"""The docker engine: each task in a container of its image, on Docker or Podman; proof that the images work.

Our images run as in a strict cluster: as a user other than root, on a read-only root file system, without capabilities,
with /tmp in memory. Images of other people run as their authors made them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp import local
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from mainspring.components.common import storage
from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.components.common.images import NOBODY
from mainspring.pipelines.engines import container_engine, running, serving_container
from mainspring.pipelines.engines.kfp_seam import Command, Step
from mainspring.pipelines.engines.mounts import mounts
from mainspring.pipelines.engines.results import RunResult
from mainspring.pipelines.engines.workers import folder_of

if TYPE_CHECKING:
    import docker

RUN_LABEL = "dev.mainspring.run"
PASSED_ON = ("AWS_", "GOOGLE_", "STORAGE_EMULATOR_HOST", "MAINSPRING_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""What the environment variables begin with that tasks get from here: how to reach buckets."""

NOT_PASSED_ON = ("MAINSPRING_ENVIRONMENTS", "MAINSPRING_SERVING_PYTHON")

ON_THE_MACHINE = frozenset(("deployment",))
"""Folders whose tasks know a local target's servers by their numbers: they are in this machine's process namespace."""


def run_here(
    spec: PipelineSpec, arguments: dict[str, Any], root: Path, progress: running.Progress, caching: bool = True
) -> RunResult:
    """Runs a compiled pipeline with a container per task, as `running.run_here` describes it.

    Raises:
        UserError: No engine answers, or an image is not here.
    """
    client = container_engine.connect()
    with contextlib.closing(client):
        return running.run_here(
            spec,
            arguments,
            root,
            progress,
            lambda steps, folder: Containers(client, steps, arguments, root, folder),
            caching,
        )


class Containers:
    """The containers of one run."""

    def __init__(
        self, client: docker.DockerClient, steps: list[Step], arguments: dict[str, Any], root: Path, folder: Path
    ) -> None:
        """Checks that every image is here, and starts none yet.

        Args:
            client: The engine's.
            steps: The pipeline's tasks.
            arguments: The pipeline's.
            root: The local root.
            folder: The run's, with `logs/` in it.

        Raises:
            UserError: An image is missing, or the engine maps users in a way that leaves no user to run as.
        """
        self.runner = local.DockerRunner()
        self._client = client
        self._logs = folder / "logs"
        self._run_id = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._serving: serving_container.ServingContainer | None = None
        images = [step.image for step in steps if step.image]
        self._serving_image = serving_container.image_beside(images)
        wanted = [*images, *([self._serving_image] if self._serving_image else [])]
        self._ids = container_engine.image_ids(client, wanted)
        self.fingerprint = hashlib.sha256("\0".join(sorted(self._ids.values())).encode()).hexdigest()[:16]
        self._mounts = mounts(arguments, root, Path.cwd())
        self._root = root
        self._options = _options(client, self._mounts, Path.cwd())
        written = [Path(path) for path, mode in self._mounts.items() if mode == "rw" and path != str(root)]
        _prepare_folders(
            [root, folder.parent, folder], [folder / "tasks", root / "models", root / "endpoints", *written]
        )
        self._reaper = _start_reaper(f"{RUN_LABEL}={self._run_id}")

    def start_ahead(self) -> None:
        """Does nothing: a container is started when its task is."""

    def run(self, step: str, command: Command) -> bool | None:
        """Runs a task in a container of its image, with its output in the task's log."""
        folder = folder_of(command.image)
        variables = _variables(self._root) | command.variables
        options: dict[str, Any] = {name: self._options[name] for name in ("volumes", "network_mode")}
        if folder:
            options = dict(self._options)
            if folder in ON_THE_MACHINE:
                options |= {"pid_mode": "host"}
                variables[serving_container.SOCKET_VARIABLE] = self._serving_socket(options)
        container = self._client.containers.create(
            self._ids.get(command.image, command.image),
            command.line,
            labels={RUN_LABEL: self._run_id},
            environment=variables,
            **options,
        )
        try:
            return self._followed(container, self._logs / f"{step}.log")
        finally:
            with _gone_already():
                container.remove(force=True)

    def close(self) -> None:
        """Removes every container of the run; the serving container stays if it serves."""
        for container in self._client.containers.list(
            all=True, filters={"label": f"{RUN_LABEL}={self._run_id}"}, sparse=True
        ):
            with _gone_already():
                container.remove(force=True)
        if self._serving:
            self._serving.go_unless_needed()
        self._reaper.kill()
        self._reaper.wait()

    def _serving_socket(self, options: dict[str, Any]) -> str:
        with self._lock:
            self._serving = serving_container.running(
                self._client, self._ids[self._serving_image], self._root, options, _variables(self._root)
            )
            options["volumes"] = options["volumes"] | self._serving.volumes
            return self._serving.socket

    def _followed(self, container: Any, log: Path) -> bool:
        with log.open("ab") as file:
            container.start()
            for chunk in container.logs(stream=True, follow=True):
                file.write(chunk)
                file.flush()
            ended = container.wait()
            if ended["StatusCode"]:
                container.reload()
                if container.attrs.get("State", {}).get("OOMKilled"):
                    file.write(f"\n{ERROR_PREFIX}its container ran out of memory\n".encode())
        return ended["StatusCode"] == 0


def _options(client: docker.DockerClient, mounted: dict[str, str], folder: Path) -> dict[str, Any]:
    """Returns how a container of ours is created."""
    security = client.info().get("SecurityOptions") or []
    user, group = (os.getuid(), os.getgid()) if os.getuid() else (NOBODY, NOBODY)
    options: dict[str, Any] = {
        "user": f"{user}:{group}",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        # An address on the loopback, such as an endpoint's or an emulated bucket's, means the same inside and outside.
        "network_mode": "host",
        "working_dir": str(folder) if str(folder) in mounted else "/",
        "volumes": {path: {"bind": path, "mode": mode} for path, mode in mounted.items()},
    }
    if any("selinux" in option for option in security):
        options["security_opt"].append("label=disable")  # Labelling the user's folders anew would outlast the run.
    if any("rootless" in option for option in security):
        if not any("Podman" in part.get("Name", "") for part in client.version().get("Components", [])):
            raise UserError(
                "rootless Docker lets a container write to your folders only as root, which our images are not to be; "
                "use Podman, or a Docker that runs as root"
            )
        options["userns_mode"] = "keep-id"
    return options


def _variables(root: Path) -> dict[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper().startswith(PASSED_ON) and name not in NOT_PASSED_ON
    }
    return passed | {storage.ROOT_VARIABLE: str(root)}


def _prepare_folders(passed: list[Path], written: list[Path]) -> None:
    """Makes the folders that tasks write to; when we are root, they are given to the containers' user, with the way."""
    for place in written:
        with storage.full_disks_as_user_errors(place):
            place.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        for path in (*passed, *written, *(inner for place in written for inner in place.rglob("*"))):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def _start_reaper(label: str) -> subprocess.Popen[bytes]:
    """Starts what removes the run's containers if we are killed and cannot do it ourselves."""
    module = "mainspring.pipelines.engines.container_reaper"
    return subprocess.Popen(
        [sys.executable, "-m", module, label],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.contextmanager
def _gone_already() -> Iterator[None]:
    import docker.errors

    with contextlib.suppress(docker.errors.NotFound):
        try:
            yield
        except docker.errors.APIError as error:
            if "already in progress" not in str(error):
                raise
