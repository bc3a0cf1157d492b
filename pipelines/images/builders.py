"""Docker, Podman or Buildah, whichever is there: their commands, and what went wrong in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.pipelines.images.inventory import Image

BUILDERS = ("docker", "podman", "buildah")
"""In the order in which they are preferred."""

ENGINE_SECONDS = 20.0
LONGEST_REASON = 300


@dataclass(frozen=True)
class Builder:
    """A program that builds and pushes images."""

    name: str
    """One of `BUILDERS`."""
    options: tuple[str, ...] = ()
    """Given to each build, such as `--network=host` or `--platform=linux/arm64`."""

    def build(self, image: Image, context: Path, name: str, arguments: Mapping[str, str], log: Path) -> None:
        """Builds an image.

        Args:
            image: Which.
            context: The checkout.
            name: What it is tagged with.
            arguments: The Dockerfile's `ARG`s.
            log: Gets everything that the build prints.

        Raises:
            UserError: It fails; the last words of the build, or what our own steps said was wrong.
        """
        command = [self.name, "bud" if self.name == "buildah" else "build"]
        if self.name != "docker":
            command += ["--format=docker", "--layers"]  # OCI's own format has no health check.
        if certificates := os.environ.get("SSL_CERT_FILE"):
            command += [f"--secret=id=ca,src={certificates}"]
        command += [f"--build-arg={key}={value}" for key, value in arguments.items()]
        command += [*self.options, f"--file={image.dockerfile}", f"--tag={name}", str(context)]
        variables = dict(os.environ) | ({"DOCKER_BUILDKIT": "1"} if self.name == "docker" else {})
        with log.open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=variables, check=False)
        if done.returncode:
            raise UserError(f"image {image.title}: {_said(log.read_text(errors='replace'))}; the whole build: {log}")

    @property
    def runner(self) -> str:
        """The program that runs and inspects what this one builds."""
        return "podman" if self.name == "buildah" else self.name

    def size(self, name: str) -> int:
        """Returns an image's size in bytes, uncompressed."""
        return int(_output([self.runner, "image", "inspect", "--format", "{{.Size}}", name]))

    def has(self, name: str) -> bool:
        """Returns whether an image of that name is here."""
        try:
            self.size(name)
        except subprocess.CalledProcessError:
            return False
        return True

    def push(self, name: str, remote: str, insecure: bool = False) -> str:
        """Pushes an image and returns the digest that the registry knows it by.

        Args:
            name: As it was built.
            remote: The registry, the path and the tag.
            insecure: Whether the registry may speak plain HTTP.

        Raises:
            UserError: The registry does not take it.
        """
        try:
            if self.name == "docker":  # Whether a registry is insecure is the daemon's to know.
                _output(["docker", "tag", name, remote])
                _output(["docker", "push", "--quiet", remote])
                digests = json.loads(
                    _output(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", remote])
                )
                repository = remote.rpartition(":")[0]
                return next(digest for digest in digests if digest.startswith(f"{repository}@")).partition("@")[2]
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "digest"
                tls = ["--tls-verify=false"] if insecure else []
                _output([self.name, "push", "--quiet", *tls, f"--digestfile={file}", name, f"docker://{remote}"])
                return file.read_text().strip()
        except subprocess.CalledProcessError as error:
            host = remote.partition("/")[0]
            raise UserError(
                f"{remote}: the registry does not take it ({_said(error.output)}); is it the right one, and are you "
                f"logged in (`{self.name} login {host}`)?"
            ) from error


def builder(wanted: str = "", options: Sequence[str] = ()) -> Builder:
    """Returns the program of that name, or the first that is there and works.

    Raises:
        UserError: There is none.
    """
    if wanted and wanted not in BUILDERS:
        raise UserError(f"no builder {wanted!r}; there are {', '.join(BUILDERS)}")
    for name in (wanted,) if wanted else BUILDERS:
        if shutil.which(name) and _works(name):
            return Builder(name, tuple(options))
    missing = f"{wanted} is not here, or does not work" if wanted else "none of Docker, Podman and Buildah works here"
    raise UserError(f"{missing}; install one (Debian and Ubuntu: apt-get install podman buildah) or start its service")


def _works(name: str) -> bool:
    # Docker's client can be there without its daemon, or without the builder that reads these Dockerfiles.
    commands = [[name, "info"], [name, "buildx", "version"]] if name == "docker" else [[name, "--version"]]
    try:
        return not any(
            subprocess.run(command, capture_output=True, timeout=ENGINE_SECONDS, check=False).returncode
            for command in commands
        )
    except subprocess.TimeoutExpired:
        return False


def _output(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout.strip()


def _said(text: str) -> str:
    """Returns what a program complained about: our own steps' line if there is one, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"]
    ours = [line.partition(ERROR_PREFIX)[2] for line in lines if ERROR_PREFIX in line]
    if not ours:
        return lines[-1][-LONGEST_REASON:]
    # Docker quotes the step's text as well when it fails; the shell's own variables stand in that.
    return next((line for line in reversed(ours) if "$" not in line), ours[-1])[:LONGEST_REASON]
