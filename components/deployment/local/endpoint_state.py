"""What is known of a local endpoint between two deployments: one JSON file, one lock."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.local import durations, loopback
from mainspring.components.deployment.local.processes import Process
from mainspring.components.deployment.versions.takeovers import Takeover, Withdrawal

STATE_FILE = "endpoint.json"

PORTS = range(20000, 30000)
"""Below the ports that systems give to outgoing connections, so that a stopped endpoint finds its own free again."""


@dataclass(frozen=True)
class Server:
    """A model server of one version."""

    version: int
    uri: str
    process: Process
    port: int
    """0 until it has said which."""


@dataclass(frozen=True)
class State:
    """A local endpoint as the last deployment left it."""

    name: str
    port: int
    """The endpoint's own, chosen once."""
    version: int = 0
    """The version that is served, or was when the endpoint was stopped; 0 before the first."""
    uri: str = ""
    """Where that version is published."""
    since: str = ""
    """When it took over; ISO 8601, UTC."""
    front: Process | None = None
    servers: tuple[Server, ...] = ()
    """Every model server that was started and not yet seen to end: none is forgotten when a deployment is killed."""
    history: tuple[Takeover, ...] = ()
    """The versions that were served, the current one last."""
    withdrawn: tuple[Withdrawal, ...] = ()
    """The versions that were rolled back: deployments refuse them."""

    @property
    def url(self) -> str:
        """What answers V1 predictions."""
        return f"http://{loopback.HOST}:{self.port}/v1/models/{self.name}:predict"


SERVING: Literal["serving"] = "serving"
STOPPED: Literal["stopped"] = "stopped"
FAILED: Literal["failed"] = "failed"


@dataclass(frozen=True)
class Endpoint:
    """A local endpoint as `mainspring endpoints list` shows it."""

    name: str
    url: str
    """What answers V1 predictions."""
    version: int
    """The version that is served, or will be once the endpoint is started again."""
    state: Literal["serving", "stopped", "failed"]
    pid: int
    """The front's process, which owns the port; 0 if there is none."""
    port: int
    since: str
    """When that version took over; ISO 8601, UTC."""
    model: str
    """Where that version is published."""
    problem: str
    """Why it failed; empty otherwise."""
    canary: int = 0
    """The version that is being rolled out beside it; 0 if none is."""
    canary_percent: float = 0.0
    """Its share of the traffic."""


def folder_of(name: str) -> Path:
    """Returns the folder of an endpoint's state and logs."""
    return storage.local_root() / "endpoints" / name


def names() -> list[str]:
    """Returns the names of all endpoints of the local root, sorted."""
    return sorted(path.parent.name for path in (storage.local_root() / "endpoints").glob(f"*/{STATE_FILE}"))


def read(name: str) -> State | None:
    """Returns an endpoint's state, or None if there is no such endpoint.

    Raises:
        UserError: The state cannot be read.
    """
    path = folder_of(name) / STATE_FILE
    if not path.exists():
        return None
    content = storage.read_json(path)
    try:
        servers = tuple(Server(**{**server, "process": Process(**server["process"])}) for server in content["servers"])
        front = Process(**content["front"]) if content["front"] else None
        history = tuple(Takeover(**takeover) for takeover in content.get("history", ()))
        withdrawn = tuple(Withdrawal(**withdrawal) for withdrawal in content.get("withdrawn", ()))
        known = {"front": front, "servers": servers, "history": history, "withdrawn": withdrawn}
        return _in_one_spelling(State(**{**content, **known}))
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: not an endpoint's state ({error}); remove its folder and deploy again") from error


def _in_one_spelling(state: State) -> State:
    """Returns the state with every version's URI spelled as publishing spells it, whoever wrote it down."""
    servers = tuple(replace(server, uri=_spelled(server.uri)) for server in state.servers)
    history = tuple(replace(takeover, uri=_spelled(takeover.uri)) for takeover in state.history)
    withdrawn = tuple(replace(withdrawal, uri=_spelled(withdrawal.uri)) for withdrawal in state.withdrawn)
    return replace(state, uri=_spelled(state.uri), servers=servers, history=history, withdrawn=withdrawn)


def _spelled(uri: str) -> str:
    return buckets.canonical(uri) if uri else ""


def write(state: State) -> State:
    """Writes an endpoint's state atomically, and returns it."""
    content: dict[str, Any] = dataclasses.asdict(state)
    storage.write_json(folder_of(state.name) / STATE_FILE, content)
    return state


def new(name: str) -> State:
    """Returns the state of an endpoint that serves nothing yet, with a free port that no other endpoint has."""
    taken = {state.port for state in map(read, names()) if state is not None}
    # Starting at a place of its own per endpoint, two projects on one machine seldom meet.
    start = zlib.crc32(str(folder_of(name)).encode()) % len(PORTS)
    for offset in range(len(PORTS)):
        port = PORTS[(start + offset) % len(PORTS)]
        if port not in taken and loopback.is_free(port):
            return State(name, port)
    raise UserError(f"local://{name}: no free port from {PORTS.start} to {PORTS.stop - 1}; stop an endpoint first")


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds an endpoint's lock, so that two deployments follow each other.

    Raises:
        UserError: Another deployment held it for too long.
    """
    folder = folder_of(name)
    with storage.full_disks_as_user_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a")
    with file:
        deadline, told = time.monotonic() + durations.LOCK_SECONDS, False
        while not _try_lock(file.fileno()):
            if not told:
                print(f"local://{name}: waiting for another deployment to end", flush=True)
                told = True
            if time.monotonic() > deadline:
                raise UserError(
                    f"local://{name}: another deployment has held it for {durations.LOCK_SECONDS:.0f} s; end that first"
                )
            time.sleep(durations.POLL_SECONDS)
        yield


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
