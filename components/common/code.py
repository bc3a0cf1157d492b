"""Which code and which locked requirements a task runs with: what a model's manifest names beside the versions."""

from __future__ import annotations

import hashlib
from pathlib import Path

COMPONENTS = Path(__file__).parents[1]


def code_fingerprint() -> str:
    """Returns `sha256:<hex>` of the source of all components."""
    digest = hashlib.sha256()
    for path in sorted(COMPONENTS.rglob("*.py")):
        digest.update(f"{path.relative_to(COMPONENTS).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"sha256:{digest.hexdigest()}"


def lock_fingerprint(folder: str) -> str:
    """Returns `sha256:<hex>` of a component folder's locked requirements; empty where they are not at hand."""
    path = COMPONENTS / folder / "requirements.txt"
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else ""
