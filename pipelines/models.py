"""The published versions under the local models root, as the command line shows them."""

from __future__ import annotations

from typing import Any


def published_versions() -> list[dict[str, Any]]:
    """Returns a row per published version of every model, by name and version."""
    raise NotImplementedError
