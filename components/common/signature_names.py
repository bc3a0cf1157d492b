"""Names of a SavedModel's inputs: any column's name, written so that TensorFlow takes it.

TensorFlow makes each input of a signature a parameter of a Python function, and drops a name that is no identifier.
Such a name is written as its UTF-8 in hexadecimal. That form stays inside the saved function: the signature that
servers read, and everything that people see, has the column's own name.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ESCAPED = re.compile(r"utf8_(([0-9a-f]{2})+)", re.IGNORECASE)
_TAKEN = {"self"}
"""Parameters of TensorFlow's own, beside the inputs."""


def inputs(names: Iterable[str]) -> dict[str, str]:
    """Returns the name of the saved function's input for each column, in the columns' order."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for name in names:
        # TensorFlow tells parameters apart by their letters in lower case.
        clear = _is_plain(name) and name.lower() not in seen
        found[name] = name if clear else f"utf8_{name.encode().hex()}"
        seen.add(name.lower())
    return found


def column(name: str) -> str:
    """Returns the column that an input of a saved function stands for."""
    escaped = _ESCAPED.fullmatch(name)
    if not escaped:
        return name
    try:
        return bytes.fromhex(escaped[1]).decode()
    except UnicodeDecodeError:
        return name


def _is_plain(name: str) -> bool:
    if not _IDENTIFIER.fullmatch(name) or keyword.iskeyword(name) or name in _TAKEN:
        return False
    return not _ESCAPED.fullmatch(name)
