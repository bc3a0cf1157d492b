"""The process that serves one published version: `python -m mainspring.components.serving.model_server`.

It imports TensorFlow and KServe, which takes seconds, while it waits on standard input for its order, a line of JSON:
started while the pipeline's earlier stages work, it serves a version so much earlier. A line `keep` makes it
independent of whoever started it; until then it ends with them (`probation`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.serving import library_pages, light_imports, low_priority, probation

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Order:
    """What to serve."""

    name: str
    """The model's name in the protocols' paths."""
    version: int
    path: str
    """The published version's folder."""
    report: str
    """File that gets `{"pid": …, "port": …}` before the model is loaded; the port answers once it is ready."""
    log: str
    """File that gets everything this process prints from now on."""


def main() -> None:
    """Runs a model server until it is told to stop by SIGTERM."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A model server must leave the GPU's memory to the training beside it.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    serve(_order())


def serve(order: Order) -> None:
    """Serves a version on a free loopback port: binds it, reports it, loads and warms up the model, then listens."""
    from mainspring.components.serving.model import batching, signature
    from mainspring.components.serving.model.tabular_model import TabularModel
    from mainspring.components.serving.protocol import kserve_app

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((HOST, 0))
    storage.write_json(Path(order.report), {"pid": os.getpid(), "port": listener.getsockname()[1]})
    model = TabularModel(order.name, order.version, Path(order.path), batching.limits())
    signature.start_threads()
    low_priority.run(model.load)
    made = low_priority.run(lambda: kserve_app.application(model))
    library_pages.give_back()
    kserve_app.run(made, listener)


def _order() -> Order:
    """Imports what serving needs while a thread waits for the order, and then for the word to stay."""
    lines: list[str] = []
    ordered = threading.Event()

    def read() -> None:
        lines.append(probation.read_line_or_end())
        ordered.set()
        probation.wait_until_kept()

    threading.Thread(target=read, daemon=True).start()
    low_priority.run(light_imports.run)
    ordered.wait()
    order = _parse(lines[0])
    _leave_caller(order)
    return order


def _parse(line: str) -> Order:
    try:
        return Order(**json.loads(line))
    except (ValueError, TypeError) as error:
        fields = ", ".join(field.name for field in dataclasses.fields(Order))
        raise UserError(f"model_server: the order must be a JSON object with {fields}: {error}") from error


def _leave_caller(order: Order) -> None:
    """Takes output and working folder away from the caller's."""
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir("/")


if __name__ == "__main__":
    main()
