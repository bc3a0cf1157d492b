"""Whether a canary may go on: what was seen of it, beside what was seen of the champion. Pure logic, fails closed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from mainspring.components.deployment.replay import Replay

ERROR_MARGIN = 0.01
"""By how much the canary's share of failed requests may exceed the champion's."""

SLOWER = 3.0
"""How many times the champion's latency the canary's may be..."""

SLOWER_SECONDS = 0.02
"""...once it is slower by more than this: below it, a difference is the machine's noise."""

ENOUGH = 50
"""Live requests to each of two versions from which their latencies are compared."""

OF_SPREAD = 1e-4
"""Between a prediction that is served and the model's own: this share of the range of the model's own predictions..."""

OF_VALUE = 1e-4
"""...or this share of the value, for TensorFlow's float32 kernels differ a little between batch sizes..."""

MOST_OF_SPREAD = 0.01
"""...but never more than this share of the range: predictions around 1.8e9 may lie within a few thousand."""

STEP = 2.0**-23
"""Between neighbouring float32 values, relative to them."""

NOISE_STEPS, FLAT_STEPS = 16, 32
"""What float32 arithmetic may add, and the range below which predictions are one value with such noise."""


@dataclass(frozen=True)
class Observed:
    """What the front saw of one version's live requests."""

    requests: int = 0
    errors: int = 0
    """Server errors and broken connections; a client's mistake is none."""
    buckets: dict[float, int] = field(default_factory=dict)
    """Requests by latency: the bucket's upper bound in seconds."""

    def since(self, earlier: Observed) -> Observed:
        """Returns what was added after an earlier observation."""
        buckets = {bound: count - earlier.buckets.get(bound, 0) for bound, count in self.buckets.items()}
        return Observed(self.requests - earlier.requests, self.errors - earlier.errors, buckets)

    def quantile(self, share: float) -> float:
        """Returns the latency in seconds that so large a share of the requests stayed below; NaN without requests."""
        wanted, seen = share * sum(self.buckets.values()), 0
        for bound in sorted(self.buckets):
            seen += self.buckets[bound]
            if seen and seen >= wanted:
                return bound
        return math.nan


def of_traffic(canary: Observed, champion: Observed) -> list[str]:
    """Returns what is wrong with the canary's live requests; nothing if there were none."""
    reasons = []
    if canary.requests:
        rate, usual = canary.errors / canary.requests, champion.errors / max(champion.requests, 1)
        if rate > usual + ERROR_MARGIN:
            reasons.append(
                f"{canary.errors} of {canary.requests} live requests failed, "
                f"against {champion.errors} of {champion.requests} at the champion"
            )
    if min(canary.requests, champion.requests) >= ENOUGH:
        reasons += of_latency(canary.quantile(0.95), champion.quantile(0.95), "live requests' 95th percentile")
    return reasons


def of_latency(canary: float, champion: float, what: str) -> list[str]:
    """Returns what is wrong with a latency in seconds, beside the champion's of the same moment."""
    if canary > champion * SLOWER and canary > champion + SLOWER_SECONDS:
        return [f"{what} takes {canary * 1000:.0f} ms, against {champion * 1000:.0f} ms at the champion"]
    return []


def of_parity(replay: Replay, served: list[Any]) -> list[str]:
    """Returns what is wrong with predictions that were served for rows, beside those that must come back."""
    if not replay.rows:
        return [f"there is no row with a prediction {replay.source}: parity cannot be judged"]
    if len(served) != len(replay.predictions):
        return [f"{len(served)} predictions were served for {len(replay.predictions)} rows"]
    spreads = _spreads(replay.predictions)
    pairs = zip(served, replay.predictions, strict=True)
    wrong = [place for place, pair in enumerate(pairs) if not _close(*pair, spreads)]
    if not wrong:
        return []
    first = wrong[0]
    return [
        f"{len(wrong)} of {len(replay.rows)} rows are not predicted as {replay.source}: "
        f"{served[first]} for {replay.predictions[first]} on {replay.rows[first]}"
    ]


def _spreads(predictions: list[Any]) -> list[float]:
    """Returns the range of the predictions: one, or one for each class."""
    rows = [row if isinstance(row, list) else [row] for row in predictions]
    columns = [[value for value in column if isinstance(value, int | float)] for column in zip(*rows, strict=False)]
    return [max(column) - min(column) if column else 0.0 for column in columns]


def _close(served: Any, own: Any, spreads: list[float]) -> bool:
    if isinstance(own, list):
        same = isinstance(served, list) and len(served) == len(own) == len(spreads)
        return same and all(
            _close(one, other, [spread]) for one, other, spread in zip(served, own, spreads, strict=True)
        )
    if isinstance(served, bool) or not isinstance(served, int | float) or not isinstance(own, int | float):
        return False
    return abs(served - own) <= tolerance(own, spreads[0])


def tolerance(own: float, spread: float) -> float:
    """Returns how far a served prediction may be from the model's own.

    Args:
        own: The model's own prediction.
        spread: The range of its predictions.
    """
    usual, step = max(OF_SPREAD * spread, OF_VALUE * abs(own)), abs(own) * STEP
    if spread <= FLAT_STEPS * step:
        return usual
    return min(usual, max(MOST_OF_SPREAD * spread, NOISE_STEPS * step))
