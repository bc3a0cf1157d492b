"""From a client's JSON to one array per feature; whatever a client can get wrong is refused here, in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from kserve.errors import InvalidInput

from mainspring.components.common.written import written_values
from mainspring.components.serving.model import strict_json
from mainspring.components.serving.model.strict_json import Doubled

NUMBER = "number"
INTEGER = "integer"
TEXT = "text"

BOOLEAN, MOMENT, WHOLE = "true or false", "a date or a time in ISO 8601", "a whole number"
"""What a source may have where a model takes a number, or a whole number as text."""

LONGEST_LISTING = 30
"""Features named in a message; a model can have thousands."""

MOST_ROWS = 100_000
"""In a request; `predict_batch` is for more."""

MOST_BRACKETS = 2_000_000
"""Opening ones, in a body. Each becomes a Python object of 64 bytes or more: a few megabytes of `{},{},…` would
otherwise take a small container's memory."""


@dataclass(frozen=True)
class Feature:
    """An input of the model's serving signature."""

    name: str
    kind: str
    """`NUMBER` (missing: NaN), `INTEGER` (cannot be missing) or `TEXT` (missing: the empty string)."""
    dtype: np.dtype[Any]
    """What the signature takes; `object` for text."""
    written: str = ""
    """How the source has it where that is something else: `BOOLEAN`, `MOMENT` or `WHOLE`."""


def parse(payload: Any) -> dict[str, Any]:
    """Returns a V1 request's JSON object, whatever content type it came with (curl says "form" unless told).

    Raises:
        InvalidInput: The body is no JSON object.
    """
    if isinstance(payload, bytes):
        check_brackets(payload)
        payload = strict_json.parse(payload)
    if isinstance(payload, Doubled):
        raise InvalidInput(f"the request has {payload.twice!r} twice")
    if not isinstance(payload, dict):
        raise InvalidInput('the request is not a JSON object like {"instances": [{"feature": value}]}')
    return payload


def check_brackets(body: bytes) -> None:
    """Refuses a body that would become too many objects, before it does.

    Raises:
        InvalidInput: It would.
    """
    if body.count(b"{") + body.count(b"[") > MOST_BRACKETS:
        raise InvalidInput(f"the request has more than {MOST_BRACKETS:,} lists and objects; send fewer rows at once")


def check_count(count: int) -> None:
    """Refuses too many rows.

    Raises:
        InvalidInput: There are too many.
    """
    if count > MOST_ROWS:
        raise InvalidInput(f"{count:,} rows in one request; send at most {MOST_ROWS:,} at once")


def columns_of_instances(payload: Mapping[str, Any], features: Mapping[str, Feature]) -> dict[str, np.ndarray]:
    """Returns an array per feature from V1 row instances; a feature that is absent or null is missing.

    Raises:
        InvalidInput: No list of instances, a row that is no object, an unknown feature, or a value of the wrong type.
    """
    instances = payload.get("instances")
    if not isinstance(instances, list):
        raise InvalidInput('"instances" must be a list of objects like {"feature": value}')
    check_count(len(instances))
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise InvalidInput(
                f'instance {index}: expected an object like {{"feature": value}}, got {_shown(instance)}'
            )
        if isinstance(instance, Doubled):
            raise InvalidInput(f"instance {index}: feature {instance.twice!r} is given twice")
        unknown = next((name for name in instance if name not in features), None)
        if unknown is not None:
            raise InvalidInput(f"instance {index}: unknown feature {unknown!r}; {listing(features)}")
    return {
        name: array(feature, [instance.get(name) for instance in instances], "instance")
        for name, feature in features.items()
    }


def array(feature: Feature, values: Sequence[Any], row: str) -> np.ndarray:
    """Returns one feature's values as an array of shape [rows].

    Args:
        feature: The feature.
        values: A value per row, None where it is missing.
        row: What a row is called in messages.

    Raises:
        InvalidInput: A value of the wrong type.
    """
    if feature.kind == TEXT:
        texts = [_text(feature, value, row, index) for index, value in enumerate(values)]
        return np.array(texts, dtype=object)
    numbers = [_number(feature, value, row, index) for index, value in enumerate(values)]
    if feature.kind == INTEGER:
        return np.array(numbers, dtype=feature.dtype)
    with np.errstate(over="ignore"):
        column = np.array(numbers, dtype=feature.dtype)
    if np.isinf(column).any():
        index = int(np.isinf(column).argmax())
        raise InvalidInput(
            f"{row} {index}: feature {feature.name!r}: {_shown(values[index])} is too large for the model, which takes "
            f"numbers up to {np.finfo(feature.dtype).max:.2g} ({feature.dtype.name})"
        )
    return column


def missing(features: Mapping[str, Feature], rows: int) -> dict[str, np.ndarray]:
    """Returns arrays of missing values (zeros where a feature cannot be missing)."""
    return {
        name: array(feature, [0 if feature.kind == INTEGER else None] * rows, "row")
        for name, feature in features.items()
    }


def listing(features: Mapping[str, Feature]) -> str:
    """Returns a sentence that names the features."""
    names = sorted(features)
    more = f" and {len(names) - LONGEST_LISTING} more" if len(names) > LONGEST_LISTING else ""
    return f"the model takes {', '.join(names[:LONGEST_LISTING])}{more}"


def _text(feature: Feature, value: Any, row: str, index: int) -> bytes:
    if value is None:
        return b""
    if feature.written and not isinstance(value, str | bytes):
        number = _as_written(feature, value)
        if isinstance(number, int) or (isinstance(number, float) and number.is_integer()):
            return str(int(number)).encode()
    if not isinstance(value, str | bytes):
        wanted = f"text or {feature.written}" if feature.written else "text"
        raise InvalidInput(f"{row} {index}: feature {feature.name!r} takes {wanted}, got {_shown(value)}")
    try:
        text = value.encode() if isinstance(value, str) else value
        if isinstance(value, bytes):
            value.decode()
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{row} {index}: feature {feature.name!r}: the text is not valid UTF-8") from error
    if feature.written in (BOOLEAN, MOMENT):
        number = _as_written(feature, text.decode())
        return text if number is None else str(number).encode()
    return text


def _number(feature: Feature, value: Any, row: str, index: int) -> float | int:
    if value is None and feature.kind == NUMBER:
        return math.nan
    if feature.written:
        value = _as_written(feature, value, value)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not isinstance(value, int | float) or (feature.kind == INTEGER and not whole):
        wanted = "a number" if feature.kind == NUMBER else "an integer"
        wanted = f"{feature.written} or {wanted}" if feature.written else wanted
        raise InvalidInput(f"{row} {index}: feature {feature.name!r} takes {wanted}, got {_shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(
            f"{row} {index}: feature {feature.name!r}: {value} is no number; leave out what is missing, or send null"
        )
    if feature.kind == INTEGER:
        limits = np.iinfo(feature.dtype)
        if not limits.min <= value <= limits.max:
            raise InvalidInput(f"{row} {index}: feature {feature.name!r}: {value} does not fit {feature.dtype.name}")
        return int(value)
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidInput(f"{row} {index}: feature {feature.name!r}: the number is too large") from error


def _as_written(feature: Feature, value: Any, otherwise: Any = None) -> Any:
    """Returns the number that a value stands for as the source writes it; `otherwise` if it is not written so."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool):
        return int(value) if feature.written == BOOLEAN else otherwise
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        return otherwise
    if feature.written == BOOLEAN:
        found = written_values.NUMBERS.get(value.strip().lower())
    else:
        found = written_values.seconds(value) if feature.written == MOMENT else None
    return otherwise if found is None else found


def _shown(value: Any) -> str:
    try:
        text = orjson.dumps(value).decode().encode("ascii", "backslashreplace").decode()
    except (TypeError, ValueError):  # Nested too deeply, half a surrogate pair, or no JSON's type.
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
