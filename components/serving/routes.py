"""The front's routing table: which version gets which share of the requests, and what was seen of each."""

from __future__ import annotations

import bisect
import random
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Route:
    """A version's share of the traffic."""

    version: int
    port: int
    percent: float


BUCKETS = tuple(round(0.0005 * 1.25**step, 6) for step in range(56))
"""Upper bounds of the latency histogram, in seconds: 0.5 ms to two minutes, each a quarter above the last."""


@dataclass
class Observed:
    """What was seen of one port's requests."""

    requests: int = 0
    errors: int = 0
    """Server errors and broken connections."""
    buckets: Counter[float] = field(default_factory=Counter)
    """Requests by the upper bound of their latency's bucket."""

    def add(self, seconds: float, failed: bool) -> None:
        """Counts one request."""
        self.requests += 1
        self.errors += failed
        self.buckets[BUCKETS[min(bisect.bisect_left(BUCKETS, seconds), len(BUCKETS) - 1)]] += 1

    def as_json(self) -> dict[str, object]:
        """Returns what the control port says of it."""
        return {"requests": self.requests, "errors": self.errors, "buckets": dict(self.buckets)}


@dataclass
class Routing:
    """The table, how many requests each port works on, and what was seen of those before."""

    routes: tuple[Route, ...] = ()
    in_flight: Counter[int] = field(default_factory=Counter)
    observed: dict[int, Observed] = field(default_factory=dict)

    def pick(self, besides: Route | None = None) -> Route | None:
        """Returns the route of the next request, by chance according to the percentages; None if there is no route.

        Args:
            besides: A route that has just failed; another one with traffic is taken if there is one.
        """
        routes = [route for route in self.routes if route != besides and route.percent] or list(self.routes)
        if len(routes) <= 1:
            return routes[0] if routes else None
        return random.choices(routes, [route.percent for route in routes])[0]
