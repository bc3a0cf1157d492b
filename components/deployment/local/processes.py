"""Detached processes that outlive the task that started them, and telling ours from a stranger with the same number."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.components.deployment.local import durations

SERVING_PYTHON_VARIABLE = "MAINSPRING_SERVING_PYTHON"
"""Names the interpreter of the `serving` environment; the process engine and the command line set it."""

SERVING_SOCKET_VARIABLE = "MAINSPRING_SERVING_SOCKET"
"""Names the socket of `serving.process_host`, which starts the servers instead; the docker engine sets it."""

_children: set[int] = set()


@dataclass(frozen=True)
class Process:
    """A process that we started."""

    pid: int
    birth: str
    """When it began, in the system's own words: a later process with the same number has another."""


@dataclass(frozen=True)
class Probationer:
    """A server that ends with us until it is kept (`serving.probation`)."""

    process: Process
    pipe: IO[bytes]

    def tell(self, line: str) -> None:
        """Sends a line; a server that is gone hears nothing, and whoever waits for it finds out."""
        with contextlib.suppress(BrokenPipeError):
            self.pipe.write(f"{line}\n".encode())
            self.pipe.flush()

    def keep(self) -> None:
        """Makes it independent of us."""
        self.tell("keep")
        self.release()

    def release(self) -> None:
        """Lets go of the pipe, which ends it unless it was kept."""
        with contextlib.suppress(BrokenPipeError):
            self.pipe.close()


def check_serving() -> None:
    """Checks that serving processes can be started.

    Raises:
        UserError: Neither variable is set, or the interpreter is no program.
    """
    if not os.environ.get(SERVING_SOCKET_VARIABLE):
        _serving_python()


def start_serving(module: str, *arguments: str, log: Path) -> Probationer:
    """Starts a module of `mainspring.components.serving`, detached but on probation, with its output in a log file.

    Raises:
        UserError: It cannot be started.
    """
    if given := os.environ.get(SERVING_SOCKET_VARIABLE):
        return _started_by_host(given, module, arguments, log)
    command = [_serving_python(), "-m", f"mainspring.components.serving.{module}", *arguments]
    with log.open("w") as output:
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True)
    process = Process(started.pid, birth(started.pid))
    _children.add(started.pid)
    # It is not ours to wait for; without this, the interpreter warns that it still runs when the object goes.
    started.returncode = 0
    assert started.stdin is not None
    return Probationer(process, started.stdin)


def _serving_python() -> str:
    python = os.environ.get(SERVING_PYTHON_VARIABLE, "")
    if not python:
        raise UserError(f"${SERVING_PYTHON_VARIABLE} is not set: it names the Python of the serving environment")
    if not os.access(python, os.X_OK):
        raise UserError(f"${SERVING_PYTHON_VARIABLE}: {python}: no such program")
    return python


def _started_by_host(path: str, module: str, arguments: tuple[str, ...], log: Path) -> Probationer:
    """Has the process started in another container; the connection is its standard input."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(durations.HOST_SECONDS)
    deadline = time.monotonic() + durations.HOST_SECONDS
    try:
        while connection.connect_ex(path):
            if time.monotonic() > deadline:
                raise UserError(
                    f"${SERVING_SOCKET_VARIABLE}: nobody answers at {path}; is the serving container there?"
                )
            time.sleep(durations.POLL_SECONDS)
        order = {"module": module, "arguments": arguments, "log": str(log)}
        connection.sendall(json.dumps(order).encode() + b"\n")
        with connection.makefile("rb") as reader:
            answer = json.loads(reader.readline() or b'{"error": "it went away"}')
    except (OSError, ValueError) as error:
        connection.close()
        raise UserError(f"${SERVING_SOCKET_VARIABLE}: {path}: {error}") from error
    if "pid" not in answer:
        connection.close()
        raise UserError(f"the serving container cannot start {module}: {answer.get('error')}")
    process = Process(answer["pid"], birth(answer["pid"]))
    connection.settimeout(None)
    pipe = connection.makefile("wb")
    connection.close()  # The file keeps it open.
    return Probationer(process, pipe)


def birth(pid: int) -> str:
    """Returns when a process began, or an empty string if there is none, or only its remains."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"
    listed = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"},
    )
    state, _, began = listed.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()


def alive(process: Process | None) -> bool:
    """Returns whether the process still runs, and is the one that we started."""
    if process is None or process.pid <= 0:
        return False
    _reap(process.pid)
    return bool(process.birth) and birth(process.pid) == process.birth


def stop(process: Process | None, grace_seconds: float) -> None:
    """Ends a process: SIGTERM, and SIGKILL if it still runs after the grace period. A stranger is left alone."""
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if process is None or not alive(process):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        deadline = time.monotonic() + seconds
        while alive(process) and time.monotonic() < deadline:
            time.sleep(durations.POLL_SECONDS)


def last_line(log: Path) -> str:
    """Returns the last line of a log that says something, without our own prefix."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log"
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return said.removeprefix(ERROR_PREFIX)


def _reap(pid: int) -> None:
    # A child of this very interpreter (a notebook, a test) would stay as a zombie.
    if pid in _children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
