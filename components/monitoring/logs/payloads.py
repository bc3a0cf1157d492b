"""The V1 and V2 protocols' payloads, read into rows: one value per feature, one prediction per row."""

from __future__ import annotations

import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

PREDICTION, LABEL = "prediction", "label"
"""The outputs of our models: a score, or one per class; and, of classifiers, the class."""


class Malformed(Exception):
    """A payload that is not of the protocols' form; the message says how."""


Row = dict[str, Any]
"""Values by feature; a feature that is absent or None is missing."""


@dataclass(frozen=True)
class Predictions:
    """The rows of one response."""

    scores: Sequence[float | None]
    """The prediction; of several classes, the chosen one's."""
    classes: Sequence[str | None]
    """The chosen class, where the response says it or its index."""


def decoded(body: str) -> bytes:
    """Returns a base64 body's bytes.

    Raises:
        Malformed: It is no base64.
    """
    try:
        raw = body.encode("ascii")
        content = binascii.a2b_base64(raw)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Malformed(f"no base64: {error}") from error
    # The decoder passes over what is not in its alphabet; lengths tell.
    if len(raw) != 4 * (-(-len(content) // 3)):
        raise Malformed("no base64: characters outside its alphabet")
    return content


def instances(content: bytes) -> list[Row]:
    """Returns a request's rows: V1 `instances` (objects) or `inputs` (columns), or V2 `inputs` (tensors).

    Raises:
        Malformed: It has none of these forms.
    """
    payload = _object(content)
    if "instances" in payload:
        rows = payload["instances"]
        if not isinstance(rows, list) or not rows:
            raise Malformed('"instances" is no list, or an empty one')
        if not all(isinstance(row, dict) for row in rows):
            raise Malformed("an instance that is no object")
        return rows
    given = payload.get("inputs")
    if isinstance(given, dict):
        given = {name: values if isinstance(values, list) else [values] for name, values in given.items()}
    elif isinstance(given, list):
        given = _tensors(given)
    if isinstance(given, dict):
        _refuse_uneven(given)
        return [dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True)]
    raise Malformed('neither "instances" nor "inputs"')


def predictions(content: bytes, classes: Sequence[str]) -> Predictions:
    """Returns a response's predictions, in the order of the request's rows.

    Args:
        content: The body: V1 `predictions` or `outputs`, or V2 `outputs`.
        classes: The model's classes, in the order of its outputs; empty for regression.

    Raises:
        Malformed: It has none of these forms, or holds no numbers.
    """
    payload = _object(content)
    if "predictions" in payload:
        rows = payload["predictions"]
        if not isinstance(rows, list):
            raise Malformed('"predictions" is no list')
        if rows and isinstance(rows[0], dict):
            if not all(isinstance(row, dict) for row in rows):
                raise Malformed("a prediction that is no object among those that are")
            return _chosen([row.get(PREDICTION) for row in rows], [row.get(LABEL) for row in rows], classes)
        return _chosen(rows, [None] * len(rows), classes)
    given = payload.get("outputs")
    if isinstance(given, list):
        columns = _tensors(given)
    elif isinstance(given, dict):
        columns = {name: value for name, value in given.items() if isinstance(value, list)}
    else:
        raise Malformed('neither "predictions" nor "outputs"')
    _refuse_uneven(columns)
    values = columns.get(PREDICTION) if PREDICTION in columns else next(iter(columns.values()), None)
    if values is None:
        raise Malformed(f"no output {PREDICTION!r}")
    return _chosen(values, columns.get(LABEL) or [None] * len(values), classes)


def _object(content: bytes) -> dict[str, Any]:
    try:
        payload = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"no JSON: {error}") from error
    if not isinstance(payload, dict):
        raise Malformed("no JSON object")
    return payload


def _refuse_uneven(columns: Mapping[str, Sequence[Any]]) -> None:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise Malformed("columns of different lengths, or none")


def _tensors(tensors: Sequence[Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise Malformed("a tensor without a name")
        data, shape = tensor.get("data"), tensor.get("shape")
        if not isinstance(data, list):
            raise Malformed(f"tensor {tensor['name']!r} has no data in JSON")
        if tensor["name"] in columns:
            raise Malformed(f"tensor {tensor['name']!r} twice")
        sizes = shape if isinstance(shape, list) and all(isinstance(size, int) for size in shape) else [len(data)]
        if len(sizes) == 2 and sizes[1] > 1:  # A vector a row, such as a probability for each class.
            if len(data) == sizes[0] * sizes[1]:
                data = [data[start : start + sizes[1]] for start in range(0, len(data), sizes[1])]
            elif len(data) != sizes[0]:
                raise Malformed(f"tensor {tensor['name']!r}: {len(data)} values for shape {sizes}")
        elif data and all(isinstance(value, list) and len(value) == 1 for value in data):
            data = [value[0] for value in data]
        columns[tensor["name"]] = data
    return columns


def _chosen(values: Sequence[Any], labels: Sequence[Any], classes: Sequence[str]) -> Predictions:
    scores: list[float | None] = []
    chosen: list[str | None] = []
    for value, label in zip(values, labels, strict=True):
        index = None
        if isinstance(value, list):
            if not value or not all(_is_number(one) for one in value):
                raise Malformed("a prediction that is no list of numbers")
            index = max(range(len(value)), key=value.__getitem__) if len(value) > 1 else None
            value = value[index or 0]
        if value is not None and not _is_number(value):
            raise Malformed(f"a prediction that is no number: {value!r:.60}")
        scores.append(None if value is None or not math.isfinite(value) else float(value))
        if isinstance(label, str):
            chosen.append(label)
        elif index is not None and index < len(classes):
            chosen.append(classes[index])
        elif value is not None and len(classes) == 2:
            chosen.append(classes[value > 0.5])
        else:
            chosen.append(None)
    return Predictions(scores, chosen)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
