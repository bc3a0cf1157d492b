"""What a model itself predicts, with no server between: `python -m mainspring.components.serving.own_predictions`.

A rollout compares with it what a canary serves. The rows are those of a sample request, and that request's first row
with each feature left out in turn, which is what goes wrong between a client's JSON and a model's tensors.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from mainspring.components.common import signature_names, storage
from mainspring.components.common.written import written_values
from mainspring.components.serving import low_priority

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Live requests go before it: this whole process ends with its answer.
os.nice(low_priority.NICENESS)

# TensorFlow reads the variable when it is imported.
import tensorflow as tf  # noqa: E402

SIGNATURE = "serving_default"
PREDICTION = "prediction"

MOST_ROWS = 200


def main(model: str, answer: str, sample: str = "") -> None:
    """Writes `{"instances": […], "predictions": […]}`.

    Args:
        model: A SavedModel's folder.
        answer: The file to write.
        sample: A V1 request; empty: a row of zeros and empty text.
    """
    signature = tf.saved_model.load(model).signatures[SIGNATURE]
    inputs = {signature_names.column(name): name for name in signature.structured_input_signature[1]}
    specs = {name: signature.structured_input_signature[1][given] for name, given in inputs.items()}
    given = json.loads(Path(sample).read_text(encoding="utf-8"))["instances"] if sample else [_zeros(specs)]
    rows = _with_gaps(given, specs)[:MOST_ROWS]
    tensors = {
        inputs[name]: tf.constant([_value(row.get(name), spec) for row in rows], dtype=spec.dtype)
        for name, spec in specs.items()
    }
    predictions = signature(**tensors)[PREDICTION].numpy().tolist()
    finite = [(row, value) for row, value in zip(rows, predictions, strict=True) if _is_finite(value)]
    kept = {"instances": [row for row, _ in finite], "predictions": [value for _, value in finite]}
    storage.write_json(Path(answer), kept)


def _with_gaps(rows: list[dict[str, Any]], specs: dict[str, tf.TensorSpec]) -> list[dict[str, Any]]:
    gaps = [name for name, spec in specs.items() if not spec.dtype.is_integer]
    return rows + [{name: value for name, value in rows[0].items() if name != gap} for gap in gaps]


def _zeros(specs: dict[str, tf.TensorSpec]) -> dict[str, Any]:
    return {name: "" if spec.dtype == tf.string else 0 for name, spec in specs.items()}


def _value(given: Any, spec: tf.TensorSpec) -> Any:
    if given is None:
        return "" if spec.dtype == tf.string else math.nan
    number = given
    if isinstance(given, bool):
        number = int(given)
    elif isinstance(given, str) and spec.dtype != tf.string:
        number = written_values.seconds(given)
    return str(number) if spec.dtype == tf.string else number


def _is_finite(value: Any) -> bool:
    return all(map(_is_finite, value)) if isinstance(value, list) else math.isfinite(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
