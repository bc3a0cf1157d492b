"""The folder of runs, models and endpoints on this machine, for commands that work in this process."""

from __future__ import annotations

import os
from pathlib import Path

from mainspring.components.common import storage
from mainspring.pipelines import environments


def root_or_default(root: Path | None) -> Path:
    """Returns the local root, absolute."""
    return root.absolute() if root else storage.local_root()


def use_root(root: Path | None) -> None:
    """Points this process, and what it starts, at a local root, as the engines do for tasks."""
    os.environ.update(environments.task_variables() | {storage.ROOT_VARIABLE: str(root_or_default(root))})
