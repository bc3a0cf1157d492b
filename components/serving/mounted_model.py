"""The serving image in a cluster: `python -m mainspring.components.serving.mounted_model`, V1 and V2 on one port.

KServe puts a version's files into `/mnt/models` before the container starts; where `storageUri` names the folder of all
versions, the newest is served. Everything else (the port's name, probes, replicas) is the ServingRuntime's.
"""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

from mainspring.components.common.errors import UserError

PORT = 8080
"""KServe's usual one."""

FOLDER = Path("/mnt/models")
SAVED_MODEL = "saved_model.pb"


def main(arguments: list[str] | None = None) -> None:
    """Serves a model until it is told to stop by SIGTERM."""
    parser = argparse.ArgumentParser(prog="mounted_model", description=__doc__)
    parser.add_argument("--model_name", default="model", help="the name in the protocols' paths")
    parser.add_argument("--model_dir", type=Path, default=FOLDER, help="a version's folder, or that of all versions")
    parser.add_argument("--http_port", type=int, default=PORT)
    options, _ = parser.parse_known_args(arguments)
    version, folder = version_in(options.model_dir)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

    from mainspring.components.serving import kserve_app
    from mainspring.components.serving.tabular_model import TabularModel

    listener = socket.create_server(("", options.http_port))
    model = TabularModel(options.model_name, version, folder)
    model.load()
    kserve_app.run(model, listener)


def version_in(folder: Path) -> tuple[int, Path]:
    """Returns the number and the folder of the version to serve: the folder itself, or its newest numbered one.

    Raises:
        UserError: There is no SavedModel.
    """
    if (folder / SAVED_MODEL).is_file():
        return int(folder.name) if folder.name.isdigit() else 1, folder
    numbers = [int(path.parent.name) for path in folder.glob(f"*/{SAVED_MODEL}") if path.parent.name.isdigit()]
    if not numbers:
        raise UserError(
            f"{folder}: holds no SavedModel; mount a published version there, or the folder of all versions"
        )
    return max(numbers), folder / str(max(numbers))


if __name__ == "__main__":
    main()
