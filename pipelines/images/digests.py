"""The lock file of images: for each name in a pipeline, the registry's digest. A tag can move; a digest cannot."""

from __future__ import annotations

import re
from pathlib import Path

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.images import REPOSITORY

DEFAULT_FILE = Path("images.lock.json")
BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")

_IMAGE_LINE = re.compile(rf"(?m)^(\s*image: )({REPOSITORY}/\S+)$")


def read(file: Path) -> dict[str, str]:
    """Returns the references with digests by image name.

    Raises:
        UserError: The file is missing, or is no such file.
    """
    content = storage.read_json(file)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, dict) or not all(BY_DIGEST.fullmatch(str(value)) for value in images.values()):
        raise UserError(f"{file}: is no lock of images; `mainspring images push` writes one")
    return images


def write(file: Path, images: dict[str, str]) -> None:
    """Writes references with digests by image name."""
    storage.write_json(file, {"images": dict(sorted(images.items()))})


def applied(text: str, file: Path) -> str:
    """Returns a compiled pipeline's YAML with each of Mainspring's images named by digest.

    Raises:
        UserError: One of them is not in the file.
    """
    images = read(file)

    def by_digest(match: re.Match[str]) -> str:
        if match[2] not in images:
            raise UserError(f"{file}: has no digest of {match[2]}; push it with `mainspring images push`")
        return f"{match[1]}{images[match[2]]}"

    return _IMAGE_LINE.sub(by_digest, text)
