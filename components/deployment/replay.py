"""Rows that a rollout sends to what serves a version, and the predictions that must come back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError

REPLAY_FILE = "replay.json"
"""In an evaluation: held-out rows, and the model's predictions for them."""

EVALUATION_FOLDER = "evaluation"
"""In a published version."""

EVALUATION = "in its evaluation"
MODEL_ITSELF = "by the model itself"


@dataclass(frozen=True)
class Replay:
    """Rows with predictions."""

    rows: list[Any]
    predictions: list[Any]
    source: str = EVALUATION
    """Whose predictions: `EVALUATION` or `MODEL_ITSELF`."""


def held_out(version_uri: str) -> Replay:
    """Returns the held-out rows that were published with a version.

    Raises:
        UserError: There are none: nothing could be judged.
    """
    return read(buckets.join(version_uri, EVALUATION_FOLDER))


def read(evaluation: str) -> Replay:
    """Returns the held-out rows of an evaluation, a folder or a URI; raises as `held_out`."""
    place = buckets.join(evaluation, REPLAY_FILE)
    try:
        text = buckets.read(place) if buckets.is_bucket(place) else storage.as_path(place).read_bytes()
        content = json.loads(text)
        rows, predictions = content["instances"], content["predictions"]
        if not rows or len(rows) != len(predictions) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{len(rows)} rows, {len(predictions)} predictions")
    except (buckets.NotFound, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{place}: no held-out rows with predictions to judge by ({error}); evaluate the model again"
        ) from error
    return Replay(rows, predictions)


def complete(replay: Replay) -> Replay:
    """Returns the rows without missing values, which TensorFlow Serving's JSON cannot express."""
    kept = [place for place, row in enumerate(replay.rows) if None not in row.values()]
    return Replay([replay.rows[place] for place in kept], [replay.predictions[place] for place in kept], replay.source)
