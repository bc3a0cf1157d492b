"""An epoch: what one pass over train gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What one pass over train gave."""

    number: int
    loss: float
    eval_loss: float
    metric: float
    seconds: float
