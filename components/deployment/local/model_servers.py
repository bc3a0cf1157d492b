"""A version's model server: started, waited for, and asked for a prediction before it gets traffic."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, manifests, published, storage
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.local import durations, endpoint_state, loopback, processes
from mainspring.components.deployment.local.endpoint_state import Server
from mainspring.components.deployment.local.processes import Probationer

_preloaded: list[Probationer] = []


def preload() -> None:
    """Starts a model server that imports its libraries now, gets its order from `start`, or ends with this process."""
    if _preloaded or not os.environ.get(processes.SERVING_PYTHON_VARIABLE):
        return
    # Its own log is known only once it has its order; what it says before is of interest only if it ends.
    with contextlib.suppress(UserError, OSError):
        _preloaded.append(processes.start_serving("model_server", log=Path(os.devnull)))


def start(name: str, version: int, uri: str) -> tuple[Probationer, Server]:
    """Starts the model server of a version, the preloaded one if there is one. It is on probation."""
    log = log_of(name, version)
    log.unlink(missing_ok=True)
    report_of(name, version).unlink(missing_ok=True)
    probationer = _preloaded.pop() if _preloaded else None
    if probationer is None or not processes.alive(probationer.process):
        probationer = processes.start_serving("model_server", log=log)
    order = {
        "name": name,
        "version": version,
        "path": str(published.saved_model(copy_of(name, version, uri))),
        "report": str(report_of(name, version)),
        "log": str(log),
    }
    probationer.tell(json.dumps(order))
    return probationer, Server(version, uri, probationer.process, port=0)


def wait_until_ready(name: str, server: Server) -> Server:
    """Returns the server with its port, once it is ready.

    Raises:
        UserError: It ended, with the last line of its log, or was not ready in time.
    """
    began, told = time.monotonic(), 0.0
    while True:
        server = _with_port(name, server)
        if is_ready(name, server):
            print(f"local://{name}: version {server.version} ready after {time.monotonic() - began:.1f} s", flush=True)
            return server
        waited = time.monotonic() - began
        log = log_of(name, server.version)
        if not processes.alive(server.process):
            raise UserError(f"local://{name}: version {server.version} cannot be served: {processes.last_line(log)}")
        if waited > durations.READY_SECONDS:
            raise UserError(f"local://{name}: version {server.version} is not ready after {waited:.0f} s; see {log}")
        if waited - told > durations.PROGRESS_SECONDS:
            told = waited
            print(f"local://{name}: version {server.version} still loads after {waited:.0f} s", flush=True)
        time.sleep(durations.READY_POLL_SECONDS)


def is_ready(name: str, server: Server) -> bool:
    """Returns whether a model server runs and answers."""
    if not server.port or not processes.alive(server.process):
        return False
    return loopback.call(server.port, "GET", f"/v2/models/{name}/ready").status == 200


def check_prediction(name: str, server: Server) -> None:
    """Asks a server for a prediction: of the model's own sample request, or of a row of zeros and empty text.

    Raises:
        UserError: It gives none, or one that is no number.
    """
    sample = published.saved_model(copy_of(name, server.version, server.uri)) / manifests.REQUEST_FILE
    request = storage.read_json(sample) if sample.is_file() else {"instances": [_zeros(name, server)]}
    answer = loopback.call(server.port, "POST", f"/v1/models/{name}:predict", request, seconds=60.0)
    try:
        given = answer.content["predictions"][0]["prediction"]
    except (TypeError, KeyError, IndexError):
        given = None
    if answer.status != 200 or not _all_numbers(given):
        said = answer.error if answer.status != 200 else f"it predicts {given!r} for {json.dumps(request)[:200]}"
        raise UserError(f"local://{name}: version {server.version} gives no usable prediction: {said}")


def copy_of(name: str, version: int, uri: str) -> Path:
    """Returns the folder of a version as its model server reads it: its own, or a copy of the one in a bucket.

    Raises:
        UserError: The bucket cannot be read, or the disk is full.
    """
    if not buckets.is_bucket(uri):
        return storage.as_path(uri)
    # The version is part of the name, the bucket is too: the endpoint outlives this process, and a root may change.
    copy = endpoint_state.folder_of(name) / "copies" / f"{version}-{zlib.crc32(uri.encode()):08x}"
    if not copy.exists():
        print(f"local://{name}: downloading version {version}", flush=True)
        with storage.publishing_directory(copy) as aside:
            buckets.download_tree(uri, aside)
    return copy


def log_of(name: str, version: int) -> Path:
    """Returns the log of a version's model server."""
    return endpoint_state.folder_of(name) / f"server-{version}.log"


def report_of(name: str, version: int) -> Path:
    """Returns the file in which a version's model server says where it listens."""
    return endpoint_state.folder_of(name) / f"server-{version}.json"


def _zeros(name: str, server: Server) -> dict[str, Any]:
    metadata = loopback.call(server.port, "GET", f"/v2/models/{name}")
    inputs = metadata.content["inputs"] if metadata.status == 200 else []
    return {tensor["name"]: "" if tensor["datatype"] == "BYTES" else 0 for tensor in inputs}


def _with_port(name: str, server: Server) -> Server:
    report = report_of(name, server.version)
    if server.port or not report.exists():
        return server
    return replace(server, port=storage.read_json(report)["port"])


def _all_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_all_numbers, value))
    return isinstance(value, int | float) and math.isfinite(value)
