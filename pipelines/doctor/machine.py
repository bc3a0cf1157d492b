"""This machine: what running pipelines here takes."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.pipelines import environments
from mainspring.pipelines.doctor.findings import NOTE, OK, WRONG, Finding

ENVIRONMENT_BYTES = 1.5e9
"""About what one of the components' environments takes, most of it TensorFlow."""
SOCKETS = ("/var/run/docker.sock", "/run/podman/podman.sock")


def check_machine() -> Iterator[Finding]:
    """Yields what was found on this machine."""
    yield Finding("python", OK, f"{platform.python_version()} for the commands, {sys.executable}")
    missing = [env for env in map(environments.environment, environments.FOLDERS) if not env.is_ready]
    yield from _pythons(missing)
    yield _compiler(missing)
    name, version = platform.libc_ver()
    yield Finding("c library", OK, f"{name or 'not glibc'} {version}; TFDV's {_tfdv()} is used".replace("  ", " "))
    yield _disk(len(missing))
    ready = len(environments.FOLDERS) - len(missing)
    says = f"{ready} of {len(environments.FOLDERS)} are built in {environments.base_folder()}"
    yield Finding("environments", NOTE if missing else OK, says, "run `mainspring setup`" if missing else "")
    yield _engine()


def _pythons(missing: list[environments.Environment]) -> Iterator[Finding]:
    for pythons in sorted({env.pythons for env in missing}):
        env = next(env for env in missing if env.pythons == pythons)
        try:
            yield Finding(f"python {pythons}", OK, environments.interpreter_for(env))
        except UserError as error:
            yield Finding(f"python {pythons}", WRONG, str(error))


def _compiler(missing: list[environments.Environment]) -> Finding:
    found = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), "")
    if found or not any(env.needs_compiler for env in missing):
        return Finding("c++ compiler", OK, found or "not needed any more: what it built is there")
    return Finding("c++ compiler", WRONG, "none is found", "install one (Debian and Ubuntu: `apt-get install g++`)")


def _tfdv() -> str:
    return "1.16.1" if "1.16" in environments.environment("validation").lock.name else "newest"


def _disk(missing: int) -> Finding:
    folder = environments.base_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    needed = max(missing, 1) * ENVIRONMENT_BYTES
    says = f"{free / 1e9:.0f} GB are free at {folder}"
    if free >= needed:
        return Finding("disk", OK, says)
    return Finding(
        "disk", WRONG, f"only {says}", f"make room for {needed / 1e9:.0f} GB, or set MAINSPRING_ENVIRONMENTS"
    )


def _engine() -> Finding:
    host = os.environ.get("DOCKER_HOST", "")
    found = host or next((path for path in SOCKETS if Path(path).exists()), "")
    if found:
        return Finding("container engine", OK, f"{found} for `mainspring run --engine docker`")
    fix = "install Docker or Podman, or set DOCKER_HOST, if you want `--engine docker`"
    return Finding("container engine", NOTE, "none is found; `mainspring run` needs none", fix)
