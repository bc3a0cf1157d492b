"""The serving image in a cluster: `python -m mainspring.components.serving.mounted_model`; V1, V2 and gRPC.

KServe puts a version's files into `/mnt/models` before the container starts; where `storageUri` names the folder of all
versions, the newest is served. Everything else (the port's name, probes, replicas) is the ServingRuntime's.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from mainspring.components.common import published
from mainspring.components.common.errors import UserError
from mainspring.components.serving import library_pages, light_imports

PORT = 8080
"""KServe's usual one."""

GRPC_PORT = 8081
"""KServe's usual one."""

FOLDER = Path("/mnt/models")


def main(arguments: list[str] | None = None) -> None:
    """Serves a model until it is told to stop by SIGTERM."""
    parser = argparse.ArgumentParser(prog="mounted_model", description=__doc__)
    parser.add_argument("--model_name", default="model", help="the name in the protocols' paths")
    parser.add_argument("--model_dir", type=Path, default=FOLDER, help="a version's folder, or that of all versions")
    parser.add_argument("--http_port", type=int, default=PORT)
    parser.add_argument("--grpc_port", type=int, default=GRPC_PORT)
    parser.add_argument("--enable_grpc", type=_truth, default=True, help="true or false")
    parser.add_argument("--batch_rows", default="", help="rows of concurrent requests in one call of the model; 1: off")
    parser.add_argument("--batch_delay_ms", default="", help="how long a request may wait for others; 0: not at all")
    # KServe's controller and people add arguments that mean something to its own servers only.
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        print(f"arguments that mean nothing here: {' '.join(unknown)}", file=sys.stderr, flush=True)
    version, folder = version_in(options.model_dir)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

    light_imports.run()
    from mainspring.components.serving.model import batching
    from mainspring.components.serving.model.tabular_model import TabularModel
    from mainspring.components.serving.protocol import kserve_app

    limits = batching.limits(options.batch_rows, options.batch_delay_ms)
    # Bound and not yet listening: whoever can connect meets a model that is ready, and a port in use is said at once.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("", options.http_port))
    except OSError as error:
        raise UserError(f"http_port {options.http_port}: cannot be listened on: {error.strerror}") from error
    model = TabularModel(options.model_name, version, folder, limits)
    model.load()
    made = kserve_app.application(model)
    library_pages.give_back()
    kserve_app.run(made, listener, options.grpc_port if options.enable_grpc else None)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected true or false")
    return text.lower() == "true"


def version_in(folder: Path) -> tuple[int, Path]:
    """Returns the number of the version to serve, and the folder of its SavedModel.

    Args:
        folder: A SavedModel's, a published version's, or one of numbered folders, of which the newest is served.

    Raises:
        UserError: There is no SavedModel.
    """
    found = published.saved_model(folder)
    if (found / published.SAVED_MODEL).is_file():
        return int(found.name) if found.name.isdigit() else 1, found
    names = [path.parent.name for path in folder.glob(f"*/{published.SAVED_MODEL}")]
    numbers = [int(name) for name in names if name.isdigit()]
    if not numbers:
        raise UserError(
            f"{folder}: holds no SavedModel; mount a published version there, or the folder of all versions"
        )
    return max(numbers), folder / str(max(numbers))


if __name__ == "__main__":
    main()
