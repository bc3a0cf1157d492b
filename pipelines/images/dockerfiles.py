"""The images' Dockerfiles: one for each component folder, each complete in itself, all from one template."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Recipe:
    """How the image of one folder differs from the others."""

    about: str
    """The Dockerfile's first line."""
    build_packages: tuple[str, ...] = ()
    """Debian packages for the stage in which the environment is made, which is then carried over; empty: it is made in
    the final stage, which spares a copy of it."""
    why_packages: str = ""
    shrink: bool = False
    """Whether what no task reads is taken out of the environment."""


def _with_tfdv(about: str) -> Recipe:
    why = "pyfarmhash comes as source only: the environment is made where the compiler is, and carried over."
    return Recipe(about, ("g++", "python3-dev"), why)


RECIPES = {
    "ingestion": Recipe("The ingestion image: DuckDB and Arrow read tables and write examples; no TensorFlow."),
    "validation": _with_tfdv("The validation image: TFDV."),
    "training": Recipe(
        "The training image: TensorFlow, for CPUs; for GPUs or TPUs with another lock (ARG REQUIREMENTS)."
    ),
    "evaluation": Recipe("The evaluation image: TensorFlow and TFMA."),
    "deployment": Recipe(
        "The deployment image: publishes versions and switches traffic; no TensorFlow.",
        build_packages=("binutils",),
        why_packages="What no task reads is taken out, because this image is to stay below 200 MB.",
        shrink=True,
    ),
    "monitoring": _with_tfdv("The monitoring image: TFDV."),
    "serving": Recipe("The serving image: KServe's model server over a TensorFlow SavedModel."),
    "kubeflow": Recipe("The kubeflow image: submits and follows work of Kubeflow's other services; no TensorFlow."),
}


def dockerfile(folder: str) -> str:
    """Returns the Dockerfile of a component folder.

    Args:
        folder: One of `RECIPES`.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("Dockerfile.j2").render(folder=folder, **asdict(RECIPES[folder]))
