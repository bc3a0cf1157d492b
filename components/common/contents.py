"""What is installed here, for an image's bill of materials: `python -m mainspring.components.common.contents`.

Python distributions with the licences that they declare, and Debian packages with those in their copyright files.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterator
from pathlib import Path

DPKG_STATUS = Path("/var/lib/dpkg/status")
COPYRIGHTS = Path("/usr/share/doc")

SHORT_NAME = re.compile(r"[A-Za-z0-9][\w.+/~-]*( (and|or|with) .*)?")
"""Some copyright files have a licence's first words where its short name belongs."""

LONGEST_LICENCE = 100
"""Some distributions put a licence's whole text where its name belongs."""


def python_packages() -> Iterator[dict[str, str]]:
    """Yields each installed distribution's name, version and licence."""
    for found in importlib.metadata.distributions():
        said = found.metadata
        licence = next(iter(said.get_all("License-Expression") or said.get_all("License") or [""]))
        if not licence or len(licence) > LONGEST_LICENCE or "\n" in licence:
            classifiers = [line for line in said.get_all("Classifier") or [] if line.startswith("License ::")]
            licence = " AND ".join(line.rpartition(":: ")[2] for line in classifiers)
        yield {"kind": "pypi", "name": said["Name"], "version": found.version, "licence": licence}


def debian_packages(status: Path = DPKG_STATUS, copyrights: Path = COPYRIGHTS) -> Iterator[dict[str, str]]:
    """Yields each installed Debian package's name, version and licences; none where there is no dpkg."""
    if not status.is_file():
        return
    for paragraph in status.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        if fields.get("Status", "").endswith(" installed"):
            licence = _debian_licence(copyrights / fields["Package"] / "copyright")
            yield {"kind": "deb", "name": fields["Package"], "version": fields["Version"], "licence": licence}


def _debian_licence(file: Path) -> str:
    """Returns the short names in a copyright file of Debian's machine-readable form; empty if it has none."""
    if not file.is_file():
        return ""
    text = file.read_text(encoding="utf-8", errors="replace")
    names = {name.strip() for name in re.findall(r"(?m)^License: *(\S.*)$", text)}
    return " AND ".join(sorted(name for name in names if SHORT_NAME.fullmatch(name)))


if __name__ == "__main__":
    print(
        json.dumps(sorted([*python_packages(), *debian_packages()], key=lambda found: (found["kind"], found["name"])))
    )
