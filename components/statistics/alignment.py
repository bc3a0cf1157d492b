"""Numbers of few values, laid side by side: a value that hardly moved is the same value.

TFDV measures numbers on the edges of histograms. A price list of five prices is five points there, and prices that all
rise by a tenth of a cent are five other points: as far apart as two distributions can be. So a value that holds a
bucket of its own is taken for the nearest edge of the other histogram, if that is as good as the same, by the spread
of the column or by the gap between its values.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

OF_SPREAD = 0.01
"""Values closer than this share of the column's spread are the same."""

OF_GAP = 0.1
"""Values closer than this share of the gap to the column's next value are the same."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """A number's quantile histogram."""

    lows: Numbers
    highs: Numbers

    @functools.cached_property
    def all(self) -> Numbers:
        """The different edges, ascending."""
        return np.unique(np.concatenate([self.lows, self.highs]))

    @functools.cached_property
    def points(self) -> Numbers:
        """Values that have a bucket of their own, ascending."""
        return np.unique(self.lows[self.lows == self.highs])

    @functools.cached_property
    def spread(self) -> float:
        """What the middle nine tenths of the rows span, as a deviation of a normal distribution."""
        cut = len(self.lows) // 20
        return float(self.highs[-1 - cut] - self.lows[cut]) / 3.29


def read(statistics: DatasetFeatureStatisticsList) -> dict[str, Edges]:
    """Returns the quantile histograms by feature."""
    kind = statistics_pb2.Histogram.QUANTILES
    found = {}
    for feature in statistics.datasets[0].features:
        buckets = next((one.buckets for one in feature.num_stats.histograms if one.type == kind), ())
        if len(buckets):
            lows = np.array([bucket.low_value for bucket in buckets])
            highs = np.array([bucket.high_value for bucket in buckets])
            if np.isfinite(lows).all() and np.isfinite(highs).all():
                found[feature.path.step[0]] = Edges(lows, highs)
    return found


def aligned(
    earlier: DatasetFeatureStatisticsList, before: Mapping[str, Edges], now: Mapping[str, Edges]
) -> DatasetFeatureStatisticsList:
    """Returns the earlier statistics with the edges of points moved to those that they are as good as the same as.

    Args:
        earlier: One dataset; it stays as it is.
        before: Its histograms, as `read` returns them.
        now: Those of the statistics that it is compared with.
    """
    moves = {
        name: moved for name, one in before.items() if name in now and (moved := _moved(one, now[name])) is not None
    }
    if not moves:
        return earlier
    found = DatasetFeatureStatisticsList()
    found.CopyFrom(earlier)
    for feature in found.datasets[0].features:
        if feature.path.step[0] in moves:
            _write(feature, before[feature.path.step[0]], moves[feature.path.step[0]])
    return found


def _moved(before: Edges, now: Edges) -> Numbers | None:
    """Returns where each of the edges goes, or None if all stay."""
    if not len(before.points) and not len(now.points):
        return None
    edges = before.all
    near_edge, near_point = _nearest(now.all, edges), _nearest(now.points, edges)
    targets = np.where(np.isin(edges, before.points), near_edge, near_point)
    gaps = np.diff(edges, prepend=-np.inf, append=np.inf)
    allowed = np.maximum(OF_SPREAD * before.spread, OF_GAP * np.minimum(gaps[:-1], gaps[1:]))
    if len(edges) == 1:  # No spread and no gap: the digits that a float of 32 bits keeps.
        allowed = np.abs(edges) * 1e-6
    close = np.isfinite(targets) & (np.abs(targets - edges) <= allowed)
    found = np.maximum.accumulate(np.where(close, targets, edges))
    return None if np.array_equal(found, edges) else found


def _nearest(known: Numbers, values: Numbers) -> Numbers:
    if not len(known):
        return np.full(len(values), np.nan)
    after = np.clip(np.searchsorted(known, values), 0, len(known) - 1)
    below, above = known[np.maximum(after - 1, 0)], known[after]
    nearest: Numbers = np.where(np.abs(below - values) < np.abs(above - values), below, above)
    return nearest


def _write(feature: Any, before: Edges, moved: Numbers) -> None:
    kind = statistics_pb2.Histogram.QUANTILES
    histogram = next(one for one in feature.num_stats.histograms if one.type == kind)
    lows, highs = (moved[np.searchsorted(before.all, edges)] for edges in (before.lows, before.highs))
    for bucket, low, high in zip(histogram.buckets, lows.tolist(), highs.tolist(), strict=True):
        bucket.low_value, bucket.high_value = low, high
