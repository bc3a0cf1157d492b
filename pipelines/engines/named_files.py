"""What the texts among a task's arguments name on this machine: a module, a policy, a file of rows."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST_PATH = 4096

LARGEST_READ = 64 * 2**20
"""Bytes. A larger file is data, and is known by its size and its time of change."""


def named(value: str, folder: Path) -> Path | None:
    """Returns the file or folder that a text names, or the folder of a pattern; None if it names nothing here."""
    text = value.removeprefix("file://")
    if not text or len(text) > LONGEST_PATH or "\n" in text or "://" in text:
        return None
    fixed = re.split(r"[{*?\[]", text)[0]
    path = absolute(fixed, folder) if fixed == text else absolute(fixed.rpartition("/")[0] or ".", folder)
    return path if path.exists() else None


def absolute(text: str, folder: Path) -> Path:
    """Returns the path with the folder before it, links and all: inside a container a path must be what it is here."""
    return Path(os.path.normpath(folder / text))


def contents_of_files(arguments: Any, folder: Path) -> str:
    """Returns a digest of the files that texts among the arguments name; empty if they name none.

    A folder or a pattern adds nothing: which data there are is for `resolve_spans` to find out.

    Args:
        arguments: A task's; lists and mappings are searched, artifacts are not.
        folder: What relative paths start from.
    """
    found = {path for text in _texts(arguments) if (path := named(text, folder)) and path.is_file()}
    if not found:
        return ""
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(f"{path}\0{_content(path)}\0".encode())
    return digest.hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _content(path: Path) -> str:
    try:
        status = path.stat()
        if status.st_size > LARGEST_READ:
            return f"{status.st_size} {status.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:  # The task will say so, in words that fit what it wanted of the file.
        return f"unreadable: {error.strerror}"
