"""Hands each connection to the template of the interpreter that it names, started at the first: one for a test run.

    python warm_switchboard.py SOCKET SERVING_SOCKET SERVING_PYTHON

Run by `warm.start`. It ends, and the templates with it, when its standard input does.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

from warm_template import CALL, SERVE

TEMPLATE = Path(__file__).with_name("warm_template.py")


def main(calls: str, servers: str, serving_python: str) -> None:
    """Hands over connections."""
    templates: dict[str, socket.socket] = {}
    listeners = {_listening(calls): CALL, _listening(servers): SERVE}
    print("listening", flush=True)
    while True:
        for ready in select.select([0, *listeners], [], [])[0]:
            if ready == 0:
                return
            connection, _ = ready.accept()
            with connection, contextlib.suppress(OSError):
                python = serving_python if listeners[ready] == SERVE else _line(connection)
                if python not in templates:
                    templates[python] = _start(python)
                socket.send_fds(templates[python], [listeners[ready]], [connection.fileno()])


def _listening(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    return listener


def _start(python: str) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    subprocess.Popen([python, str(TEMPLATE)], stdin=theirs.fileno(), stdout=2, start_new_session=True)
    theirs.close()
    return ours


def _line(connection: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(1) or b"\n"
    return os.fsdecode(line.strip())


if __name__ == "__main__":
    main(*sys.argv[1:])
