"""The images' names, bound to the package version."""

from __future__ import annotations

VERSION = "0.1.0"
"""The package's version and every image's tag. `pyproject.toml` says the same; a test holds them together."""

REPOSITORY = "mainspring"


def image(folder: str) -> str:
    """Returns the image of a component folder, such as `mainspring/training:0.1.0`."""
    return f"{REPOSITORY}/{folder}:{VERSION}"
