"""An interpreter that imports what is asked of it once, and forks for every call: run by `warm_switchboard`.

Its standard input is a socket over which the switchboard hands it connections. On one of `CALL`, a client
(`warm_client`) sends a module, its arguments, variables, folder and descriptors, and gets the exit status; the child
ends when the client does. On one of `SERVE` comes an order of `components/serving/process_host.py`. The template itself
imports and does nothing else, so that a child starts as a fresh interpreter would after its imports.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

CALL, SERVE = b"c", b"s"
WORKER = "mainspring.components.common.worker"
SERVERS = "mainspring.components.serving"
AHEAD = {
    WORKER: ("kfp.dsl.executor_main",),
    "mainspring.pipelines.cli:main": ("kfp", "kfp.compiler", "kfp.kubernetes", "kfp.local", "duckdb", "yaml"),
    "train_once:main": (
        "mainspring.components.training.train_model",
        "mainspring.components.training.choosing.fitting",
    ),
    f"{SERVERS}.front": (f"{SERVERS}.front",),
    f"{SERVERS}.model_server": (f"{SERVERS}.model.tabular_model", f"{SERVERS}.protocol.kserve_app"),
    f"{SERVERS}.own_predictions": ("tensorflow",),
}
"""What a module imports only once it runs."""
STARTS_A_SERVER = ("mainspring.components.deployment",)
"""Components whose `preload` does more than import: it is left to the child."""
HEADER_BYTES, MOST_DESCRIPTORS = 8, 8
HIGH = 500
"""Descriptors from here on are nobody's own number."""


def main() -> None:
    """Serves the switchboard's connections until it goes away."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=os.dup(0))
    while True:
        kind, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not kind:
            return
        with socket.socket(fileno=descriptors[0]) as connection, contextlib.suppress(OSError, ValueError):
            {CALL: _call, SERVE: _serve}[kind](connection, channel)


def _call(connection: socket.socket, channel: socket.socket) -> None:
    header, descriptors, _, _ = socket.recv_fds(connection, HEADER_BYTES, MOST_DESCRIPTORS)
    try:
        order = json.loads(_exactly(connection, int.from_bytes(header, "big")))
        module, arguments = order["module"], order["arguments"]
        os.environ.update(order["variables"])  # KFP imports less where `_KFP_RUNTIME` is set.
        _import_ahead([*AHEAD.get(module, ()), *(arguments if module == WORKER else [module.partition(":")[0]])])

        def child() -> socket.socket:
            client = socket.socket(fileno=_out_of_the_way(connection.fileno()))
            received = [_out_of_the_way(descriptor) for descriptor in descriptors]
            for descriptor in [channel.detach(), connection.detach(), *descriptors]:
                os.close(descriptor)
            for descriptor, wanted in zip(received, order["descriptors"], strict=True):
                os.dup2(descriptor, wanted)
                os.close(descriptor)
            os.chdir(order["folder"])
            sys.path.insert(0, order["folder"])  # As `python -m` does.
            os.environ.clear()
            os.environ.update(order["variables"])
            threading.Thread(target=_end_with, args=[client], daemon=True).start()
            return client

        _fork(child, module, arguments)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _serve(connection: socket.socket, channel: socket.socket) -> None:
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(1) or b"\n"
    order = json.loads(line)
    module = f"{SERVERS}.{order['module']}"
    if module not in AHEAD:
        connection.sendall(json.dumps({"error": f"{order['module']}: is no server"}).encode() + b"\n")
        return
    _import_ahead(AHEAD[module])

    def child() -> None:
        channel.close()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for descriptor, wanted in ((connection.fileno(), 0), (log, 1), (log, 2)):
            os.dup2(descriptor, wanted)

    pid = _fork(child, module, order["arguments"])
    connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")


def _fork(prepare: Callable[[], socket.socket | None], module: str, arguments: list[str]) -> int:
    """Runs a module in a child, which tells its exit status over the socket that `prepare` returns there."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setsid()
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        told = prepare()
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.argv = [module, *arguments]
        status = _status_of(lambda: _run(module))
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        if told:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # The client goes now, and the end of it ends nothing.
            told.sendall(bytes([status]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _run(module: str) -> None:
    name, _, function = module.partition(":")
    if function:
        sys.argv[0] = "mainspring"  # What the command line calls itself.
        getattr(importlib.import_module(name), function)()
        return
    sys.modules.pop(name, None)  # As `__main__` it is executed again.
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _status_of(run: Callable[[], Any]) -> int:
    try:
        run()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return int(ended.code or 0)
    except BaseException as error:
        # Mainspring's own hook prints a user's mistake as one line.
        sys.excepthook(type(error), error, error.__traceback__) if sys.excepthook else traceback.print_exc()
        return 1
    return 0


def _import_ahead(names: list[str] | tuple[str, ...]) -> None:
    for name in names:
        if name in sys.modules and name != "__main__":
            continue
        with contextlib.suppress(Exception):
            module = importlib.import_module(name)
            if hasattr(module, "preload") and not name.startswith(STARTS_A_SERVER):
                module.preload()


def _out_of_the_way(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH)


def _end_with(connection: socket.socket) -> None:
    """Ends this process, and all that it started in its session, when the client is gone."""
    with contextlib.suppress(OSError):
        while connection.recv(1):
            pass
    os.killpg(os.getpgrp(), signal.SIGTERM)


def _exactly(connection: socket.socket, number: int) -> bytes:
    content = b""
    while len(content) < number:
        part = connection.recv(number - len(content))
        if not part:
            raise ValueError("the client went away")
        content += part
    return content


def _reap(*_: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    sys.path.pop(0)  # This folder: `tests/packaging` is no package of a component's.
    main()
