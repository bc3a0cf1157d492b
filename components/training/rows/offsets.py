"""The middle of quantities far from zero, which is subtracted in double precision before anything else.

Seconds since 1970, ids from a counter, 1,000,000 with cents: float32 makes neighbours of them one number, though their
differences are small. Told from the files' own statistics, so no row is read for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.common.manifests import ExamplesManifest
from mainspring.components.training.features.columns import NUMERIC, Feature
from mainspring.components.training.features.resolution import FIRST_INTEGER
from mainspring.components.training.rows.examples import TFRECORD, split_files

FINE = 2.0**12
"""Doubles this many times as far from zero as their range is wide: twelve bits of float32's twenty-four are left."""


def with_offsets(features: Sequence[Feature], folder: Path, manifest: ExamplesManifest) -> list[Feature]:
    """Returns the features, those of them that are far from zero with their offset.

    Args:
        features: From `select_features`.
        folder: The examples artifact; TFRecord files have no statistics and give no offsets.
        manifest: Its manifest.
    """
    files = split_files(folder, "train")
    if any(path.name.endswith(TFRECORD) for path in files):
        return list(features)
    ranges: dict[str, list[float]] = {}
    for path in files:
        try:
            metadata = pq.read_metadata(path)
        except (OSError, pa.ArrowException):
            return list(features)  # Whoever reads its rows says what is wrong with it.
        for group in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(group).column(place)
                found = column.statistics
                if found is not None and found.has_min_max and isinstance(found.min, int | float):
                    ranges.setdefault(column.path_in_schema, []).extend((found.min, found.max))
    return [
        replace(feature, offset=_offset(ranges[feature.name], manifest.columns.get(feature.name) == "int64"))
        if feature.kind == NUMERIC and feature.name in ranges
        else feature
        for feature in features
    ]


def _offset(bounds: Sequence[float], is_integer: bool) -> float:
    """Returns what to subtract; 0 where float32 holds the values as they are, or subtracting would not help."""
    low, high = float(min(bounds)), float(max(bounds))
    largest, width = max(abs(low), abs(high)), high - low
    if not math.isfinite(width) or 2 * width > largest or largest > 2.0**1000:
        return 0.0
    if (largest <= FIRST_INTEGER) if is_integer else (largest < FINE * width or not largest):
        return 0.0
    # On a coarse grid: the next span's middle is a little further on, and a warm start wants the same offset.
    grid = 2.0 ** math.ceil(math.log2(width)) if width > 0 else math.ulp(largest)
    grid = max(grid, 1.0) if is_integer else grid
    return round((low + high) / 2 / grid) * grid
