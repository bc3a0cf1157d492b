"""How long each image takes from the container's start to its first useful work, and how big it is.

Part of `make bench`, where the images are built. First useful work is when all that the folder's components import is
there: from then on a task reads its inputs. `imports` is wall time from the beginning of the `run` command until the
container says so, on a read-only root, page cache warm; `cpu` is the processor time of that, which says on a busy
machine how much was waiting; `whole` lasts until the container is gone; `start` is one that imports nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from mainspring.components.common.errors import UserError
from mainspring.pipelines.engines.workers import imported_modules
from mainspring.pipelines.images import builders, inventory
from mainspring.pipelines.images.inventory import Image

WANTED_SECONDS = {"deployment": 1.0, "validation": 7.0, "evaluation": 7.0}
WANTED_MEGABYTES = {"deployment": 200.0}
OTHERS = {
    "serving": [
        "mainspring.components.serving.protocol.kserve_app",
        "mainspring.components.serving.model.tabular_model",
    ],
    "kubeflow": ["mainspring.components.training.train_model_distributed", "kubeflow.trainer"],
}
"""What is imported in the images of folders by code that is not of a component of their own."""


class Start(NamedTuple):
    """One start of a container, in seconds."""

    imports: float
    """Until its imports were done."""
    whole: float
    """Until it was gone."""
    processor: float
    """Processor time of its process until its imports were done."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times the start of each image.")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure (default 3)")
    parser.add_argument("images", nargs="*", help="such as training (default: every folder's)")
    given = parser.parse_args()
    try:
        builder = builders.builder()
    except UserError as error:
        print(f"cold start: not measured: {error}")
        return
    head = f"{'image':24} {'MB':>8} {'wanted':>8} {'start, s':>9} {'imports, s':>10} {'wanted':>8}"
    print(f"{head} {'cpu, s':>8} {'whole, s':>9} {'of':>3}")
    for image in inventory.images(given.images):
        try:
            size = builder.size(image.name) / 1e6
        except subprocess.CalledProcessError:
            print(f"{image.title:24} is not built; `make images`")
            continue
        begun = _medians(builder.runner, image, "pass", given.runs)
        done = _medians(builder.runner, image, _code(image), given.runs)
        megabytes, seconds = (_text(wanted.get(image.folder)) for wanted in (WANTED_MEGABYTES, WANTED_SECONDS))
        row = f"{image.title:24} {size:8.0f} {megabytes:>8} {begun.imports:9.2f} {done.imports:10.2f} {seconds:>8}"
        print(f"{row} {done.processor:8.2f} {done.whole:9.2f} {given.runs:3}", flush=True)


def _text(wanted: float | None) -> str:
    return "" if wanted is None else f"{wanted:.1f}"


def _code(image: Image) -> str:
    """Returns what imports all that an image's components need, what they import late included."""
    loads = [f"getattr(import_module({name!r}), 'preload', int)()" for name in _imports(image)]
    return "\n".join(["from importlib import import_module", *loads])


def _imports(image: Image) -> list[str]:
    """Returns the modules that an image's tasks or servers import first."""
    file = image.dockerfile.with_name("component.py")
    names = imported_modules(file.read_text(encoding="utf-8")) if file.is_file() else []
    own = f"mainspring.components.{image.folder}."
    # Another interface that this one only hands on is nothing that a task imports.
    work = [name for name in names if name.startswith(own) and not name.endswith("component")]
    return [*work, *OTHERS.get(image.folder, [])]


def _medians(program: str, image: Image, code: str, runs: int) -> Start:
    """Returns the medians of several starts, after one that fills the page cache."""
    code = f"{code}\nimport time\nprint(time.process_time(), flush=True)"
    command = [program, "run", "--rm", "--read-only", "--tmpfs=/tmp", image.name, "python3", "-c", code]
    starts = [_start(command, image.name) for _ in range(runs + 1)][1:]
    return Start(*(statistics.median(values) for values in zip(*starts, strict=True)))


def _start(command: list[str], name: str) -> Start:
    with tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as container:
            assert container.stdout is not None
            processor = container.stdout.readline()
            imports = time.monotonic() - began
            container.stdout.read()
        whole = time.monotonic() - began
        if container.returncode:
            errors.seek(0)
            said = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
            sys.exit(f"{name}: {said}; built from other code? `make images`")
    return Start(imports, whole, float(processor))


if __name__ == "__main__":
    main()
