"""The V1 and V2 protocols' payloads, read into rows: one value per feature, one prediction per row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.components.monitoring.logs import bodies
from mainspring.components.monitoring.logs.malformed import ErrorAnswer, Malformed

PREDICTION, LABEL = "prediction", "label"
"""The outputs of our models: a score, or one per class; and, of classifiers, the class."""


Row = dict[str, Any]
"""Values by feature; a feature that is absent or None is missing."""

ERROR_WORDS = ("error", "errors", "detail", "message")
"""What an answer without predictions says in place of them: KServe's, FastAPI's and Istio's errors."""


@dataclass(frozen=True)
class Predictions:
    """The rows of one response."""

    scores: Sequence[float | None]
    """The prediction; of several classes, the chosen one's."""
    classes: Sequence[str | None]
    """The chosen class, where the response says it or its index."""


def instances(content: bytes) -> list[Row | None]:
    """Returns a request's rows: V1 `instances` (objects) or `inputs` (columns), or V2 `inputs` (tensors).

    An instance that is no object is None: it does not cost its neighbours.

    Raises:
        Malformed: It has none of these forms.
    """
    payload = bodies.parsed(content)
    if "instances" in payload:
        rows = payload["instances"]
        if not isinstance(rows, list) or not rows:
            raise Malformed('"instances" is no list, or an empty one')
        if not any(isinstance(row, dict) for row in rows):
            raise Malformed("instances that are no objects")
        return [row if isinstance(row, dict) else None for row in rows]
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

    A prediction that is null, absent or no finite number is None: it does not cost its neighbours.

    Raises:
        ErrorAnswer: It is an error.
        Malformed: It has none of these forms.
    """
    payload = bodies.parsed(content)
    if "predictions" in payload:
        rows = payload["predictions"]
        if not isinstance(rows, list):
            raise Malformed('"predictions" is no list')
        told = [row if isinstance(row, dict) else {PREDICTION: row} for row in rows]
        return _chosen([row.get(PREDICTION) for row in told], [row.get(LABEL) for row in told], classes)
    given = payload.get("outputs")
    if given is None and (word := next((one for one in ERROR_WORDS if payload.get(one)), None)):
        raise ErrorAnswer(f"{word}: {payload[word]!r:.80}")
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
    if len(labels) != len(values):
        raise Malformed(f"{len(values)} predictions and {len(labels)} labels")
    scores: list[float | None] = []
    chosen: list[str | None] = []
    for value, label in zip(values, labels, strict=True):
        index, score = _score(value)
        scores.append(score)
        if score is None:
            chosen.append(None)
        elif isinstance(label, str):
            chosen.append(label.encode(errors="replace").decode())  # JSON can escape half of a surrogate pair.
        elif _is_number(label):
            chosen.append(str(label))
        elif index is not None and index < len(classes):
            chosen.append(classes[index])
        elif len(classes) == 2:
            chosen.append(classes[score > 0.5])
        else:
            chosen.append(None)
    return Predictions(scores, chosen)


def _score(value: Any) -> tuple[int | None, float | None]:
    """Returns the chosen class's index, where there are several scores, and the score; None where it is no number."""
    index = None
    if isinstance(value, list):
        if not value or not all(map(_is_finite, value)):
            return None, None
        index = max(range(len(value)), key=value.__getitem__) if len(value) > 1 else None
        value = value[index or 0]
    return index, float(value) if _is_finite(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    try:
        return _is_number(value) and math.isfinite(value)
    except OverflowError:  # A whole number beyond every float.
        return False
