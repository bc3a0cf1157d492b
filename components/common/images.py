"""The images' names, bound to the package version."""

from __future__ import annotations

VERSION = "0.1.0"
"""The package's version and every image's tag. `pyproject.toml` says the same; a test holds them together."""

REPOSITORY = "mainspring"

NOBODY = 65532
"""The user and the group as whom every image runs."""


def image(folder: str, variant: str = "") -> str:
    """Returns the image of a component folder, such as `mainspring/training:0.1.0` or, for GPUs, `…:0.1.0-gpu`."""
    return f"{REPOSITORY}/{folder}:{VERSION}{f'-{variant}' if variant else ''}"
