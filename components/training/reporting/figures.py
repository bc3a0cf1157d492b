"""Training's figures, as the Kubeflow UI gets them."""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """What is used of KFP's Metrics artifact."""

    def log_metric(self, metric: str, value: float) -> None:
        """Records one figure."""


class Figures:
    """Keeps the figures that KFP's artifact would."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def log_metric(self, metric: str, value: float) -> None:
        """Records one figure."""
        self.values[metric] = value
