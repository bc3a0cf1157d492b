"""The task's own folder for rows that do not stay in memory: removed at the end, or by the next task."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "mainspring-rows-"
LOCK = "lock"
"""Held as long as the folder is in use; the kernel lets go of it when the process ends, however it ends."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields an empty folder in `TMPDIR`, and removes those there that killed tasks have left."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(base: Path) -> None:
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # An OSError: somebody holds it.
            shutil.rmtree(folder, ignore_errors=True)
