"""TFDV's histograms of numbers, out of its own sketches, by whole arrays.

TFDV walks ten thousand fine buckets of every number one by one, at some 50 milliseconds a column: with a hundred
columns that costs more than everything else together. The results here are the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow_data_validation.utils import quantiles_util
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics, Histogram

FINE = 100
"""How many fine buckets TFDV takes out of a sketch for each bucket of the quantile histogram."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sketched:
    """A number's distribution, as TFDV's accumulator holds it."""

    sketch: Any
    """`tfx_bsl`'s `QuantilesSketch`."""
    low: float
    high: float
    nans: int


def taken_out(accumulator: Mapping[Any, Any]) -> dict[tuple[str, ...], Sketched]:
    """Takes the sketches out of an accumulator of TFDV's `BasicStatsGenerator`, which then makes no histograms of them.

    Numbers with infinities among them, or of a span that no double holds, stay with TFDV: it treats them specially.

    Returns:
        The sketches, by the steps of the feature's path.
    """
    found = {}
    for path, state in accumulator.items():
        numbers = state.numeric_stats
        if numbers.quantiles_summary is None or not math.isfinite(float(numbers.max) - float(numbers.min)):
            continue
        found[path.steps()] = Sketched(
            numbers.quantiles_summary, numbers.finite_min, numbers.finite_max, int(numbers.num_nan)
        )
        numbers.quantiles_summary = None
    return found


def put_in(
    dataset: DatasetFeatureStatistics, sketches: Mapping[tuple[str, ...], Sketched], equal: int, quantiles: int
) -> None:
    """Writes median and histograms of the numbers whose sketches were taken out.

    Args:
        dataset: What TFDV extracted without them; changed in place.
        sketches: As `taken_out` returned them.
        equal: Buckets of the histogram of equal widths.
        quantiles: Buckets of the histogram of equal frequencies.
    """
    for feature in dataset.features:
        one = sketches.get(tuple(feature.path.step))
        if one is None or not feature.HasField("num_stats"):
            continue
        found, weights = one.sketch.GetQuantilesAndCumulativeWeights(FINE * quantiles)
        bounds, cumulative = (array.flatten().to_numpy(zero_copy_only=False) for array in (found, weights))
        numbers = feature.num_stats
        numbers.median = float(quantiles_util.find_median(bounds))
        del numbers.histograms[:]
        _write(
            numbers.histograms.add(type=Histogram.STANDARD, num_nan=one.nans), *_equal(bounds, cumulative, one, equal)
        )
        coarse, counts = quantiles_util.rebin_quantiles(bounds, cumulative, FINE)
        rows = _rows(coarse, counts)
        _write(numbers.histograms.add(type=Histogram.QUANTILES, num_nan=one.nans), coarse[:-1], coarse[1:], rows)


def _write(histogram: Histogram, lows: Numbers, highs: Numbers, rows: Numbers) -> None:
    add = histogram.buckets.add
    for low, high, count in zip(lows.tolist(), highs.tolist(), rows.tolist(), strict=True):
        add(low_value=low, high_value=high, sample_count=count)


def _rows(bounds: Numbers, cumulative: Numbers) -> Numbers:
    """Returns the rows in each bucket; buckets with one upper bound share theirs evenly.

    The rows of the least number belong to the buckets that are like the first one.
    """
    lows, highs = bounds[:-1], bounds[1:]
    counts = np.diff(cumulative.astype(np.float64))
    starts = np.flatnonzero(np.concatenate([[True], highs[1:] != highs[:-1]]))
    lengths = np.diff(np.append(starts, len(highs)))
    rows = np.repeat(np.add.reduceat(counts, starts) / lengths, lengths)
    alike = (lows == lows[0]) & (highs == highs[0])
    first = len(alike) if alike.all() else int(alike.argmin())
    rows[:first] += cumulative[0] / first
    return rows


def _equal(bounds: Numbers, cumulative: Numbers, one: Sketched, buckets: int) -> tuple[Numbers, Numbers, Numbers]:
    """Returns lower and upper bounds and rows of buckets of one width, between the fine buckets' bounds."""
    edges = np.linspace(one.low, one.high, buckets + 1) if one.low != one.high else np.array([one.low, one.high], float)
    rows, lows, highs = _rows(bounds, cumulative), bounds[:-1], bounds[1:]
    firsts, lasts = np.searchsorted(highs, edges[:-1], "left"), np.searchsorted(lows, edges[1:], "right")
    counted = []
    for index, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        low, high, edge = lows[first:last], highs[first:last], edges[index]
        width = high - low
        points = width == 0
        inside = np.minimum(high, edges[index + 1]) - np.maximum(low, edge)
        share = np.divide(inside, width, out=np.ones_like(width), where=~points)
        if index:  # Else the rows of a value that is an edge would count twice.
            share[points & (low == edge)] = 0.0
        # One after the other, as TFDV adds them up: numpy's sum would differ in the last digits.
        counted.append(float(np.cumsum(share * rows[first:last])[-1]) if last > first else 0.0)
    return edges[:-1], edges[1:], np.array(counted)
