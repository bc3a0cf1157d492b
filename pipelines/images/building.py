"""Builds the images one after the other, and publishes them."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.images import VERSION
from mainspring.pipelines.images import digests, inventory
from mainspring.pipelines.images.builders import Builder
from mainspring.pipelines.images.inventory import Image


def build(images: Iterable[Image], builder: Builder, base: str, index: str, say: Callable[[str], None]) -> None:
    """Builds images, tagged as compiled pipelines name them.

    Args:
        images: Which.
        builder: With what.
        base: The image to build on; empty: the Dockerfiles' own.
        index: The package index to install from; empty: the tools' own.
        say: Is told how it goes.

    Raises:
        UserError: One cannot be built.
    """
    context = inventory.sources()
    logs = storage.local_root() / "images"
    logs.mkdir(parents=True, exist_ok=True)
    wanted = list(images)
    for number, image in enumerate(wanted, 1):
        started = time.monotonic()
        say(f"image {number} of {len(wanted)}: {image.title} with {builder.name}")
        arguments = {"VERSION": VERSION, "REVISION": revision(context), "LOCK": image.lock_hash}
        arguments |= {"REQUIREMENTS": image.lock.name} if image.variant else {}
        arguments |= ({"BASE": base} if base else {}) | ({"INDEX": index} if index else {})
        builder.build(image, context, image.name, arguments, logs / f"{image.title}.log")
        size = builder.size(image.name) / 1e6
        seconds = time.monotonic() - started
        say(f"image {number} of {len(wanted)}: {image.name} is ready after {seconds:.0f} s, {size:.0f} MB")


def push(
    images: Iterable[Image],
    builder: Builder,
    registry: str,
    file: Path,
    say: Callable[[str], None],
    insecure: bool = False,
) -> None:
    """Pushes built images, and writes the digests under which the registry knows them.

    Args:
        images: Which.
        builder: With what they were built.
        registry: Host and path, such as `registry.example.com/team`.
        file: What `mainspring compile --digests` reads; images of earlier pushes to other names stay in it.
        say: Is told how it goes.
        insecure: Whether the registry may speak plain HTTP.

    Raises:
        UserError: The registry's name makes no sense, an image is not here (both said before anything is pushed), or
            the registry does not take one; none of this call's digests is written.
    """
    if not re.fullmatch(r"[^\s:/]+(:\d+)?(/[^\s:/]+)*/?", registry):
        raise UserError(f"--registry={registry}: give a host and a path, such as registry.example.com/team")
    wanted, pushed = list(images), {}
    if missing := [image.title for image in wanted if not builder.has(image.name)]:
        raise UserError(f"{' '.join(missing)}: not built here; `mainspring images build {' '.join(missing)}` does that")
    for image in wanted:
        remote = f"{registry.rstrip('/')}/{image.name}"
        say(f"pushing {remote}")
        digest = builder.push(image.name, remote, insecure)
        pushed[image.name] = f"{remote.rpartition(':')[0]}@{digest}"
    digests.write(file, (digests.read(file) if file.is_file() else {}) | pushed)
    say(f"{len(pushed)} digests are in {file}")


def revision(context: Path) -> str:
    """Returns the checkout's commit, marked if files differ from it; `unknown` outside of git."""
    command = ["git", "-C", str(context), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
