"""A policy's text, as every component that takes one reads it: YAML given inline, or the path of a YAML file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

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


def refuse_unknown(content: Mapping[Any, Any], known: Iterable[str], what: str) -> None:
    """Checks a mapping's keys.

    Args:
        content: The mapping.
        known: The keys that it may have.
        what: How the error begins, such as `policy: unknown key`.

    Raises:
        UserError: A key is none of them.
    """
    names = list(known)
    for key in content:
        if key not in names:
            raise UserError(f"{what} {key!r}{suggestion(key, names)}")


def suggestion(name: Any, known: Iterable[str], listed: Iterable[str] = ()) -> str:
    """Returns the end of a sentence: what was probably meant, or what there is.

    Args:
        name: What was written.
        known: What could have been meant.
        listed: What there is, where that is not all that is known.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    shown = ", ".join(listed or by_lower.values())
    return f"; did you mean {by_lower[close[0]]}?" if close else f"; known are {shown}"
