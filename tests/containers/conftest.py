"""What the container tests share: an engine, which Podman provides where none runs, and a registry on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.common.images import image
from mainspring.pipelines.engines import container_engine
from tests.pipelines.conftest import flights_sample, mainspring  # noqa: F401

PIPELINES = Path(__file__).parents[1] / "pipelines"
SECONDS = 30.0


def until(condition, seconds: float = SECONDS) -> None:
    """Returns once a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def registry_port() -> int:
    """A free port, chosen before the engine starts: it must know that the registry there speaks plain HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="session", autouse=True)
def engine(tmp_path_factory: pytest.TempPathFactory, registry_port: int) -> Iterator[docker.DockerClient]:
    """The running Docker or Podman, or a service of Podman's for the time of the tests."""
    with contextlib.ExitStack() as stack:
        try:
            client = container_engine.connect()
        except UserError:
            if not shutil.which("podman"):
                raise
            client = stack.enter_context(_podman(tmp_path_factory.mktemp("podman"), registry_port))
        with contextlib.closing(client):
            container_engine.image_ids(client, [image("deployment")])  # Says in one line that there are no images.
            yield client


@contextlib.contextmanager
def _podman(folder: Path, registry_port: int) -> Iterator[docker.DockerClient]:
    registries = folder / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "127.0.0.1:{registry_port}"\ninsecure = true\n')
    place = f"unix://{folder}/podman.sock"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries))
        patch.setenv("DOCKER_HOST", place)
        service = subprocess.Popen(["podman", "system", "service", "--time", "0", place])
        try:
            # It waits for a build that happens to write a layer.
            until(lambda: (folder / "podman.sock").exists() or service.poll() is not None, 180)
            yield container_engine.connect()
        finally:
            service.terminate()
            service.wait(30)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, registry_port: int) -> Iterator[str]:
    """A real registry on loopback: the `docker-registry` of Debian and Ubuntu."""
    program = shutil.which("docker-registry")
    if not program and not os.environ.get("CI"):
        pytest.skip("docker-registry is not installed")
    assert program, "apt-get install docker-registry"
    folder = tmp_path_factory.mktemp("registry")
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{registry_port}'}}\n"
    )
    service = subprocess.Popen([program, "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(f"http://127.0.0.1:{registry_port}/v2/"))
        yield f"127.0.0.1:{registry_port}"
    finally:
        service.terminate()
        service.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
