"""JSON that a person wrote, read strictly: a name given twice is refused, as it is in YAML."""

from __future__ import annotations

import json
from typing import Any

from mainspring.components.common.errors import UserError


def loads(text: str, what: str) -> Any:
    """Returns what JSON says.

    Args:
        text: The JSON.
        what: It is, such as `hyperparameters`: how an error begins.

    Raises:
        UserError: A name occurs twice in one object.
        ValueError: It is no JSON.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise UserError(f"{what}: {name!r} occurs twice; keep one of them")
            found[name] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
