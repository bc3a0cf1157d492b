"""Interpreters that have imported already what tests would import again and again: a call of one is a fork.

The same code does the same work in the fork; what is saved is the import of TensorFlow, TFDV or KFP each time. The
tests of the engine, and one whole loop, start real interpreters.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
WRAPPER = """#!/bin/sh
[ "$1 $2" = "-m mainspring.components.common.worker" ] && exec {here} -I -S {client} {socket} {real} "$@"
exec {real} "$@"
"""


@dataclass(frozen=True)
class Warm:
    """A switchboard that runs."""

    calls: str
    """The socket of `warm_client.call`."""
    servers: str
    """A socket for `$MAINSPRING_SERVING_SOCKET`."""

    @classmethod
    def in_folder(cls, folder: Path) -> Warm:
        """Returns the one whose sockets are in a folder."""
        return cls(str(folder / "calls"), str(folder / "servers"))

    def command(self, python: str, module: str) -> list[str]:
        """Returns the command that runs a module, or `module:function`, in a fork of an interpreter."""
        return [sys.executable, "-I", "-S", str(TESTS / "warm_client.py"), self.calls, python, "-m", module]


@contextlib.contextmanager
def running(folder: Path, serving_python: str, variables: dict[str, str]) -> Iterator[Warm]:
    """Runs a switchboard.

    Args:
        folder: A new folder with a short path, for the sockets.
        serving_python: The interpreter of the serving environment.
        variables: What the templates have in their environment (`environments.task_variables`).
    """
    warm = Warm.in_folder(folder)
    command = [sys.executable, str(TESTS / "warm_switchboard.py"), warm.calls, warm.servers, serving_python]
    with (folder / "log").open("wb") as log:
        switchboard = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=variables, start_new_session=True
        )
    assert switchboard.stdin is not None
    assert switchboard.stdout is not None
    assert switchboard.stdout.readline() == b"listening\n", (folder / "log").read_text()
    try:
        yield warm
    finally:
        switchboard.stdin.close()
        switchboard.wait()
        switchboard.stdout.close()


def environments_in(folder: Path, real: Path, names: list[str], warm: Warm) -> Path:
    """Makes the components' environments of real ones: they run a pipeline's tasks by forks, and all else as it was.

    Args:
        folder: Where to make them.
        real: The folder of the real ones.
        names: Which have an interpreter.
        warm: The switchboard.
    """
    folder.mkdir()
    for each in real.iterdir():
        if each.name not in names:
            (folder / each.name).symlink_to(each)
            continue
        (folder / each.name / "bin").mkdir(parents=True)
        for part in [*each.iterdir(), *(each / "bin").iterdir()]:
            if part.name not in ("bin", "python"):
                (folder / part.relative_to(real)).symlink_to(part)
        python = folder / each.name / "bin" / "python"
        words = {"here": sys.executable, "client": TESTS / "warm_client.py", "socket": warm.calls}
        python.write_text(WRAPPER.format(real=each / "bin" / "python", **words))
        python.chmod(0o755)
    return folder
