"""Held-out rows with the model's own predictions: a rollout sends them to what serves the model, and compares."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from mainspring.components.evaluation.gates.gates import CHALLENGER
from mainspring.components.evaluation.scoring import rows, scoring
from mainspring.components.evaluation.scoring.scoring import LoadedModel

ROWS = 100
"""A request of so many rows is quick to answer, and a wrong conversion of a feature shows in far fewer."""


def of(model: LoadedModel, sample: pa.RecordBatch) -> dict[str, Any]:
    """Returns rows as a client writes them, and predictions: `{"instances": [...], "predictions": [...]}`.

    Args:
        model: The model.
        sample: Rows of the eval split; the first `ROWS` are taken.
    """
    batch = sample.slice(0, ROWS)
    predicted = scoring.predict({CHALLENGER: model}, batch)[CHALLENGER].tolist()
    columns = {name: _values(model, name, batch.column(name)) for name in model.manifest.features}
    instances = [{name: values[row] for name, values in columns.items()} for row in range(batch.num_rows)]
    # JSON knows no infinity.
    kept = [
        row
        for row in range(batch.num_rows)
        if np.isfinite(predicted[row]).all() and math.inf not in map(_magnitude, instances[row].values())
    ]
    return {"instances": [instances[row] for row in kept], "predictions": [predicted[row] for row in kept]}


def _values(model: LoadedModel, feature: str, column: pa.Array) -> list[Any]:
    if model.manifest.features[feature] == "numeric":
        # In the precision in which the model took them.
        numbers = scoring.feed(model, feature, column).numpy()
        return [None if math.isnan(value) else value for value in numbers.tolist()]
    texts: list[Any] = rows.texts(column).to_pylist()
    return texts


def _magnitude(value: Any) -> float:
    return abs(value) if isinstance(value, float) else 0.0
