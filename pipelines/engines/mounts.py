"""What of this machine's files a run's containers see, each at its own path, so that paths mean the same in and out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

WRITTEN = ("models_root",)
"""Parameters that name a folder to write to."""

SYSTEM = frozenset(
    map(Path, ("/", "/bin", "/dev", "/etc", "/home", "/lib", "/opt", "/proc", "/sys", "/tmp", "/usr", "/var"))
)
"""Never mounted over the image's own."""

LONGEST_PATH = 4096


def mounts(arguments: dict[str, Any], root: Path, folder: Path) -> dict[str, str]:
    """Returns the mode, `rw` or `ro`, of each path to mount.

    Args:
        arguments: The pipeline's; what a text among them names, a file, a folder or a pattern, can be read.
        root: The local root, which is written to.
        folder: The current folder, which can be read: parameters and policies name files relative to it.
    """
    found = {folder: "ro"}
    for name, value in arguments.items():
        if isinstance(value, str) and (path := _named(value, folder)):
            found[path] = "ro"
        if name in WRITTEN and isinstance(value, str) and value and "://" not in value:
            found[_absolute(value, folder)] = "rw"
    found[root] = "rw"
    return {str(path): mode for path, mode in found.items() if path not in SYSTEM}


def _named(value: str, folder: Path) -> Path | None:
    """Returns the file or folder that a text names, or the folder of a pattern; None if it names nothing here."""
    text = value.removeprefix("file://")
    if not text or len(text) > LONGEST_PATH or "\n" in text or "://" in text:
        return None
    fixed = re.split(r"[{*?\[]", text)[0]
    path = _absolute(fixed, folder) if fixed == text else _absolute(fixed.rpartition("/")[0] or ".", folder)
    return path if path.exists() else None


def _absolute(text: str, folder: Path) -> Path:
    # Not `Path.resolve`: inside, a path must be what it is outside, links and all.
    return Path(os.path.normpath(folder / text))
