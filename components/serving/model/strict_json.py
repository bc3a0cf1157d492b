"""A request's JSON, read quickly where it is good, and exactly where something is wrong with it.

orjson takes a key twice without a word, and says of a number or a text that it does not take only at which byte it is.
What it refuses, and what may hold a key twice, is read again by Python's own reader, so that row and feature are named.
"""

from __future__ import annotations

import json
from typing import Any

import orjson
from kserve.errors import InvalidInput


class Doubled(dict[str, Any]):
    """An object in which a key comes twice."""

    twice: str = ""
    """The key."""


def parse(body: bytes) -> Any:
    """Returns a body's JSON, in which numbers may not be finite, texts not Unicode, and objects `Doubled`.

    Raises:
        InvalidInput: It is no JSON.
    """
    try:
        content = orjson.loads(body)
    except ValueError as error:
        return _exactly(body, error)
    # Each key has a colon. Where there are more, they are within texts, or a key came twice.
    return content if body.count(b":") <= _keys(content) else _exactly(body, None)


def _keys(content: Any) -> int:
    if isinstance(content, dict):
        return len(content) + sum(_keys(value) for value in content.values() if isinstance(value, dict | list))
    if isinstance(content, list):
        return sum(_keys(value) for value in content if isinstance(value, dict | list))
    return 0


def _exactly(body: bytes, refused: ValueError | None) -> Any:
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the request is not JSON: {refused or error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) == len(pairs):
        return content
    seen: set[str] = set()
    doubled = Doubled(content)
    doubled.twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return doubled
