"""A rollout as it is asked for: the steps of the canary's share, and the error when a canary must not go on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from mainspring.components.common.errors import UserError


class RolloutFailed(UserError):
    """The canary was judged, and must not go on."""


@dataclass(frozen=True)
class Plan:
    """The steps of a rollout."""

    percents: tuple[float, ...]
    """The canary's share of the traffic at each step, rising; the last is 100."""
    seconds: float
    """How long live traffic is watched at each step between 0 and 100."""


def parse(text: str, seconds: float = 10.0) -> Plan:
    """Parses steps such as `0,10,50,100`; `100` is a rollout without steps.

    Raises:
        UserError: They are no rising percentages that end with 100, or the seconds are negative.
    """
    try:
        percents = tuple(float(part.strip().removesuffix("%")) for part in text.split(","))
    except ValueError:
        percents = ()
    rising = all(low < high for low, high in itertools.pairwise(percents))
    if not percents or not rising or percents[0] < 0 or percents[-1] != 100:
        raise UserError(f"rollout {text!r}: expected rising percentages that end with 100, such as 0,10,50,100")
    if not 0 <= seconds <= 86400:
        raise UserError(f"rollout_seconds {seconds!r}: expected seconds from 0 to 86400 for each step")
    return Plan(percents, seconds)
