"""Which images there are: one for each component folder with a Dockerfile, and one more for each lock of a variant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.components.common.images import image
from mainspring.pipelines import environments

VARIANTS = ("gpu", "tpu")
"""A folder with `requirements-<variant>.txt` has that variant, built by the same Dockerfile."""


@dataclass(frozen=True)
class Image:
    """An image that can be built."""

    folder: str
    variant: str
    """One of `VARIANTS`; empty: for CPUs."""
    dockerfile: Path
    lock: Path

    @property
    def title(self) -> str:
        """What it is called in messages and given as an argument: `training`, `training-gpu`."""
        return f"{self.folder}-{self.variant}" if self.variant else self.folder

    @property
    def name(self) -> str:
        """Its name with the package's version as tag, as compiled pipelines have it."""
        return image(self.folder, self.variant)

    @property
    def lock_hash(self) -> str:
        """`sha256:<hex>` of the lock, which is also in its labels."""
        return f"sha256:{hashlib.sha256(self.lock.read_bytes()).hexdigest()}"


def sources() -> Path:
    """Returns the checkout that images are built from.

    Raises:
        UserError: This is an installed package.
    """
    root = environments.COMPONENTS.parent
    if not (root / "pyproject.toml").is_file():
        raise UserError("images are built from a checkout of Mainspring; this is an installed package")
    return root


def images(titles: Iterable[str] = ()) -> list[Image]:
    """Returns the images with these titles, or the CPU image of every folder.

    Raises:
        UserError: There is no such image.
    """
    found = {}
    for dockerfile in sorted(sources().glob("components/*/Dockerfile")):
        for variant in ("", *VARIANTS):
            lock = dockerfile.with_name(f"requirements-{variant}.txt" if variant else "requirements.txt")
            if lock.is_file():
                known = Image(dockerfile.parent.name, variant, dockerfile, lock)
                found[known.title] = known
    for title in titles:
        if title not in found:
            raise UserError(f"no image {title!r}; there are {', '.join(found)}")
    return [found[title] for title in titles] or [known for known in found.values() if not known.variant]
