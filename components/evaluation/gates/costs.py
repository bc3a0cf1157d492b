"""What a model costs to serve: its size on disk, and how long a prediction of one row and of many takes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from numpy.typing import NDArray

from mainspring.components.common import published
from mainspring.components.evaluation.metrics.noise import Interval
from mainspring.components.evaluation.policy.policy import BATCH_LATENCY, MODEL_SIZE, ROW_LATENCY
from mainspring.components.evaluation.scoring import scoring
from mainspring.components.evaluation.scoring.scoring import LoadedModel

MEGABYTE = 1_000_000

CALLS = {ROW_LATENCY: 60, BATCH_LATENCY: 20}
"""Calls timed: the models take turns, so that what else the machine does hits both."""

WARM_UP = 5
"""Calls before those: the first ones trace and allocate."""

BATCH_ROWS = 1_000

Z_95 = 1.96


def size_in_megabytes(folder: Path) -> float:
    """Returns the size of the exported graph, variables and assets."""
    folder = published.saved_model(folder)
    parts = [folder / "saved_model.pb", folder / "variables", folder / "assets"]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files) / MEGABYTE


def measure(
    folders: Mapping[str, Path], models: Mapping[str, LoadedModel], sample: pa.RecordBatch, timed: set[str]
) -> tuple[dict[str, dict[str, float]], dict[str, Interval]]:
    """Returns the costs by role and name, and the 95 % intervals of challenger minus champion by name.

    Args:
        folders: Of the models, by role; the challenger first.
        models: The same, loaded.
        sample: Rows to predict.
        timed: Which latencies to measure: `ROW_LATENCY`, `BATCH_LATENCY`.
    """
    costs = {role: {MODEL_SIZE: size_in_megabytes(folders[role])} for role in models}
    intervals = {}
    for name in sorted(timed):
        count = 1 if name == ROW_LATENCY else BATCH_ROWS
        taken = _milliseconds(models, sample, count, CALLS[name])
        for role, values in taken.items():
            costs[role][name] = float(np.median(values))
        if len(taken) == 2:
            first, second = taken.values()
            intervals[name] = _interval_of_median(first - second)
    return costs, intervals


def _milliseconds(
    models: Mapping[str, LoadedModel], sample: pa.RecordBatch, count: int, calls: int
) -> dict[str, NDArray[np.float64]]:
    batch = sample.take(pa.array(np.arange(count) % sample.num_rows))
    feeds = {role: _feed(model, batch) for role, model in models.items()}
    taken: dict[str, list[float]] = {role: [] for role in models}
    for _ in range(WARM_UP + calls):
        for role, model in models.items():
            start = time.perf_counter()
            for output in model.signature(**feeds[role]).values():
                output.numpy()
            taken[role].append((time.perf_counter() - start) * 1000)
    return {role: np.array(values[WARM_UP:]) for role, values in taken.items()}


def _feed(model: LoadedModel, batch: pa.RecordBatch) -> dict[str, tf.Tensor]:
    return {model.inputs[name]: scoring.feed(model, name, batch.column(name)) for name in model.manifest.features}


def _interval_of_median(differences: NDArray[np.float64]) -> Interval:
    """Returns the sign test's interval: the order statistics about the median."""
    ordered, count = np.sort(differences), len(differences)
    away = Z_95 * math.sqrt(count) / 2
    low, high = math.floor(count / 2 - away), math.ceil(count / 2 + away)
    return Interval(float(ordered[max(low, 0)]), float(ordered[min(high, count - 1)]))
