"""An image's bill of materials in CycloneDX's form, from what is installed in it, and its licences as a table."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.images import VERSION
from mainspring.pipelines.images.builders import Builder
from mainspring.pipelines.images.inventory import Image

UNKNOWN = "not declared"
MODULE = "mainspring.components.common.contents"


def write(images: Iterable[Image], builder: Builder, folder: Path, say: Callable[[str], None]) -> None:
    """Writes `<image>.cdx.json` and `<image>.licences.tsv` for each built image.

    Raises:
        UserError: An image is not here, or the package `cyclonedx-python-lib` is missing.
    """
    for image in images:
        installed = contents(image, builder)
        storage.write_atomically(folder / f"{image.title}.cdx.json", bill(image, installed))
        lines = [f"{found['name']}\t{found['version']}\t{found['licence'] or UNKNOWN}\n" for found in installed]
        storage.write_atomically(folder / f"{image.title}.licences.tsv", "".join(lines))
        silent = sum(not found["licence"] for found in installed)
        say(f"{folder / image.title}.cdx.json: {len(installed)} packages, {silent} of them declare no licence")


def contents(image: Image, builder: Builder) -> list[dict[str, str]]:
    """Returns what is installed in an image, by `common.contents` run in a container of it.

    Raises:
        UserError: It cannot be run.
    """
    command = [builder.runner, "run", "--rm", "--read-only", "--network=none", image.name, "python3", "-m", MODULE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"image {image.name} cannot be looked into ({said}); build it with `make images`")
    return json.loads(done.stdout)


def bill(image: Image, installed: list[dict[str, str]]) -> str:
    """Returns a CycloneDX 1.6 document.

    Args:
        image: Which.
        installed: As `contents` gives it.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
        from packageurl import PackageURL
    except ImportError as error:
        raise UserError("bills of materials need a package: pip install cyclonedx-python-lib") from error
    document = Bom()
    document.metadata.component = root = Component(
        name=f"mainspring/{image.folder}", version=VERSION, type=ComponentType.CONTAINER, bom_ref="image"
    )
    for found in installed:
        vendor = "debian" if found["kind"] == "deb" else None
        url = PackageURL(found["kind"], vendor, found["name"], found["version"])
        component = Component(
            name=found["name"],
            version=found["version"],
            purl=url,
            bom_ref=str(url),
            licenses=_licences(found["licence"]),
        )
        document.components.add(component)
        document.register_dependency(root, [component])
    return make_outputter(document, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def _licences(declared: str) -> list[Any]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(declared)] if declared else []
