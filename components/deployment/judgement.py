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

TOLERANCE = 1e-4
"""Between a prediction that is served and the model's own, absolute or relative: TensorFlow's float32 kernels differ by
1e-6 between batch sizes."""


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
    pairs = zip(served, replay.predictions, strict=True)
    wrong = [place for place, pair in enumerate(pairs) if not _close(*pair)]
    if not wrong:
        return []
    first = wrong[0]
    return [
        f"{len(wrong)} of {len(replay.rows)} rows are not predicted as {replay.source}: "
        f"{served[first]} for {replay.predictions[first]} on {replay.rows[first]}"
    ]


def _close(served: Any, own: Any) -> bool:
    if isinstance(own, list):
        return isinstance(served, list) and len(served) == len(own) and all(map(_close, served, own))
    if not isinstance(served, int | float):
        return False
    return math.isclose(served, own, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
