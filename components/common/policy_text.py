"""A policy's text, as every component that takes one reads it: YAML given inline, or the path of a YAML file."""

from __future__ import annotations

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError


def read_text(policy: str) -> str:
    """Returns the policy's YAML text: `policy` itself, or the content of the file it names.

    Raises:
        UserError: `policy` names a file that cannot be read.
    """
    text = policy.strip()
    if "\n" in text or not text.endswith((".yaml", ".yml")):
        return text
    path = storage.as_path(text)
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UserError(f"policy: {path}: cannot be read: {error}") from error
