"""What of this machine's files a run's containers see, each at its own path, so that paths mean the same in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mainspring.pipelines.engines.named_files import absolute, named

WRITTEN = ("models_root",)
"""Parameters that name a folder to write to."""

SYSTEM = frozenset(
    map(Path, ("/", "/bin", "/dev", "/etc", "/home", "/lib", "/opt", "/proc", "/sys", "/tmp", "/usr", "/var"))
)
"""Never mounted over the image's own."""


def mounts(arguments: dict[str, Any], root: Path, folder: Path) -> dict[str, str]:
    """Returns the mode, `rw` or `ro`, of each path to mount.

    Args:
        arguments: The pipeline's; what a text among them names, a file, a folder or a pattern, can be read.
        root: The local root, which is written to.
        folder: The current folder, which can be read: parameters and policies name files relative to it.
    """
    found = {folder: "ro"}
    for name, value in arguments.items():
        if isinstance(value, str) and (path := named(value, folder)):
            found[path] = "ro"
        if name in WRITTEN and isinstance(value, str) and value and "://" not in value:
            found[absolute(value, folder)] = "rw"
    found[root] = "rw"
    return {str(path): mode for path, mode in found.items() if path not in SYSTEM}
