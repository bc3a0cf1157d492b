"""Waiting for the other workers of a cluster, for a time that is said: TensorFlow itself waits for an hour, in silence.

Each worker listens where TensorFlow is going to, and looks whether the others do. Once each has been seen, the port is
given back, and TensorFlow takes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence

from mainspring.components.common.errors import RetriableError, UserError

WAIT_VARIABLE = "MAINSPRING_WORKER_WAIT_SECONDS"
LONGEST_WAIT = 1800.0
"""Seconds. A node with an accelerator may take tens of minutes to come."""
PAUSE = 0.2
CONNECT_SECONDS = 2.0
LINGER = 5.0


def await_workers(text: str) -> None:
    """Returns once every other worker has been seen.

    Args:
        text: `TF_CONFIG`, of several workers.

    Raises:
        RetriableError: One did not come in time.
        UserError: The time to wait is no number.
    """
    config = json.loads(text)
    own = (str(config["task"]["type"]), int(config["task"]["index"]))
    members = [
        (kind, number, str(address))
        for kind in ("chief", "worker")
        for number, address in enumerate(config["cluster"].get(kind, ()))
    ]
    others = [each for each in members if each[:2] != own]
    address = next(address for kind, number, address in members if (kind, number) == own)
    name = f"{own[0]} {own[1]}\n".encode()
    seconds = _longest_wait()
    all_there = time.monotonic()
    ends, said = all_there + seconds, False
    missing, unaware = others, {f"{kind} {number}" for kind, number, _ in others}
    with _listening(address) as listener:
        while True:
            missing = [each for each in missing if not _is_there(each[2], name)]
            if missing:
                all_there = time.monotonic()
            unaware -= _callers(listener) if listener else unaware
            # Whoever has not called yet does so soon, or meets TensorFlow at this port.
            if not missing and (not unaware or time.monotonic() > all_there + LINGER):
                return
            if missing and time.monotonic() >= ends:
                raise RetriableError(
                    f"{_named(missing)} did not come within {seconds:,g} s ({WAIT_VARIABLE}); this worker ends as "
                    "well; start all of them again"
                )
            if missing and not said:
                print(f"waiting for {_named(missing)}, for at most {seconds:,g} s", flush=True)
                said = True
            time.sleep(PAUSE)


def _longest_wait() -> float:
    text = os.environ.get(WAIT_VARIABLE, "")
    try:
        seconds = float(text or LONGEST_WAIT)
    except ValueError as error:
        raise UserError(f"{WAIT_VARIABLE}: {text!r} is no number of seconds") from error
    if not 0 < seconds < float("inf"):
        raise UserError(f"{WAIT_VARIABLE}: {text!r} is out of range; give a number of seconds above 0")
    return seconds


@contextlib.contextmanager
def _listening(address: str) -> Iterator[socket.socket | None]:
    """Listens at this worker's address as long as the block lasts; yields None where the port is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(address.rpartition(":")[2])))
            listener.listen(128)
        except OSError:
            yield None
            return
        listener.setblocking(False)
        yield listener


def _callers(listener: socket.socket) -> set[str]:
    """Returns which workers have called since the last look."""
    found = set()
    with contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(CONNECT_SECONDS)
                found.add(connection.makefile("rb").readline(64).decode("ascii", "replace").strip())
    return found


def _is_there(address: str, name: bytes) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS) as connection:
            connection.sendall(name)
            return True
    except OSError:  # No such name yet, nobody listens, or no way there.
        return False


def _named(members: Sequence[tuple[str, int, str]]) -> str:
    return " and ".join(f"{kind} {number} ({address})" for kind, number, address in members)
