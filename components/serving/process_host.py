"""Starts serving processes for deployments in other containers: `python -m mainspring.components.serving.process_host`.

A local target's servers outlive the task that starts them, and a task's container ends with its task. So the docker
engine runs this in a container of the serving image, which stays; the deployment's container asks it over a Unix socket
for a `front` or a `model_server`. The connection becomes the new process's standard input, so that probation works as
if the deployment had started it itself. Both containers are in the machine's process and network namespaces: a
process's number means the same in either, and on the machine, whose command line lists and stops endpoints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mainspring.components.common.errors import UserError

MODULES = ("front", "model_server", "own_predictions")
"""What may be started."""

IDLE_SECONDS = 60.0
"""How long it stays when nothing that it started runs any more."""

ORDER_SECONDS = 5.0
"""How long a caller may take to say what it wants."""

GRACE_SECONDS = 35.0
"""How long the processes may take to end when this one is told to: a little more than their own grace."""

_LONGEST_ORDER = 1 << 16
_POLL_SECONDS = 0.2


def main(arguments: list[str] | None = None) -> None:
    """Takes orders until it is told to stop by SIGTERM, or nothing that it started runs for a while.

    SIGUSR1 says that nobody is going to ask for more: if nothing runs, it goes at once.
    """
    parser = argparse.ArgumentParser(prog="process_host", description=__doc__)
    parser.add_argument("--socket", required=True, type=Path, help="where to listen; made anew")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds to stay with nothing to run")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    not_needed = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: not_needed.set())
    children: list[subprocess.Popen[bytes]] = []
    with _listening(options.socket) as listener:
        try:
            _take_orders(listener, children, options.idle, not_needed)
        finally:
            _end(children)


def _take_orders(
    listener: socket.socket, children: list[subprocess.Popen[bytes]], idle: float, not_needed: threading.Event
) -> None:
    busy_until = time.monotonic() + idle
    while time.monotonic() < busy_until:
        with contextlib.suppress(TimeoutError, socket.timeout):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(ORDER_SECONDS)
                with contextlib.suppress(OSError):  # The caller is gone: nobody to answer.
                    connection.sendall(json.dumps(_answer(connection, children)).encode() + b"\n")
        children[:] = [child for child in children if child.poll() is None]
        if children:
            busy_until = time.monotonic() + idle
        elif not_needed.is_set():
            return
        not_needed.clear()


def _answer(connection: socket.socket, children: list[subprocess.Popen[bytes]]) -> dict[str, object]:
    """Starts what is asked for, with the connection as its standard input."""
    try:
        order = json.loads(_line(connection))
        module, given, log = order["module"], [str(argument) for argument in order["arguments"]], order["log"]
        if module not in MODULES:
            return {"error": f"{module}: is none of {', '.join(MODULES)}"}
        connection.settimeout(None)  # The flag is the open file's, and the new process reads it blocking.
        with Path(log).open("w") as output:
            command = [sys.executable, "-m", f"mainspring.components.serving.{module}", *given]
            child = subprocess.Popen(
                command, stdin=connection.fileno(), stdout=output, stderr=output, start_new_session=True
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    children.append(child)
    return {"pid": child.pid}


def _line(connection: socket.socket) -> bytes:
    """Returns the first line, and takes nothing that follows it: that is the new process's to read."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte or len(line) > _LONGEST_ORDER:
            raise ValueError("no whole line was sent")
        line += byte
    return line


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be listened on: {error.strerror or error}") from error
    finally:
        os.umask(before)
    with listener:
        listener.listen()
        listener.settimeout(_POLL_SECONDS)
        yield listener
    path.unlink(missing_ok=True)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.kill()


if __name__ == "__main__":
    main()
