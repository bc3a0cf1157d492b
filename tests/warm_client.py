"""Has a module run by a fork of an interpreter's template: `warm_client.py SOCKET PYTHON -m MODULE ARGUMENTS…`.

It stands where the interpreter would: its descriptors, variables and folder are the module's, and so is its exit
status. When it is killed, the module's process ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

READY_VARIABLE = "MAINSPRING_READY_DESCRIPTOR"


def call(path: str, python: str, module: str, arguments: list[str], descriptors: dict[int, int], **more: object) -> int:
    """Runs a module and returns its exit status.

    Args:
        path: The switchboard's socket.
        python: The interpreter.
        module: What to run.
        arguments: Its arguments.
        descriptors: Ours by its own number.
        **more: `variables` and `folder`; what is left out is this process's own.
    """
    given = {"variables": dict(os.environ), "folder": str(Path.cwd())} | more
    order = {"module": module, "arguments": arguments, "descriptors": list(descriptors), **given}
    content = json.dumps(order).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(os.fsencode(python) + b"\n")
        socket.send_fds(connection, [len(content).to_bytes(8, "big")], list(descriptors.values()))
        connection.sendall(content)
        if 0 not in descriptors:
            raise ValueError("standard input must be given")
        for descriptor in [wanted for wanted in descriptors if wanted > 2 and "variables" not in more]:
            os.close(descriptor)  # Whoever waits for its end waits for the module's process alone.
        status = connection.recv(1)
    return status[0] if status else 128 + signal.SIGKILL


if __name__ == "__main__":
    _, given_socket, given_python, _, given_module, *given_arguments = sys.argv
    handed = [0, 1, 2, *map(int, filter(None, [os.environ.get(READY_VARIABLE)]))]
    sys.exit(call(given_socket, given_python, given_module, given_arguments, {each: each for each in handed}))
