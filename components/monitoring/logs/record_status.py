"""An answer's status, where a logger says it.

KServe's logger (0.20) logs answers of status 200 only and says no status. Other loggers, and CloudEvents with an
extension, say it beside the body, among the annotations or among the headers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

NAMES = ("statusCode", "statuscode", "status_code", "responseStatus", "status")

OK = 200


def of(places: Iterable[Any]) -> int:
    """Returns the first status that is said; 200 where none is.

    Args:
        places: A status, or a mapping (an object, or JSON text) with one of `NAMES`.
    """
    for place in places:
        if not place:
            continue
        if isinstance(place, str) and place.startswith("{"):
            place = _mapping(place) if "tatus" in place else None
        if isinstance(place, dict):
            found = next((number for name in NAMES if (number := _number(place.get(name)))), 0)
        else:
            found = _number(place)
        if found:
            return found
    return OK


def is_error(status: int) -> bool:
    """Returns whether an answer of a status is no prediction."""
    return not 200 <= status < 300


def _number(value: Any) -> int:
    """Returns a status of three digits, such as 503 of `503`, `"503"` or `"503 Service Unavailable"`; 0 for none."""
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    text = str(value).strip()
    digits = text[:3]
    whole = digits.isascii() and digits.isdigit() and not text[3:4].isdigit()
    return int(digits) if whole and 100 <= int(digits) <= 599 else 0


def _mapping(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
