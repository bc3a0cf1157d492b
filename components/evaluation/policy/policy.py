"""The policy: what to measure and what to ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainspring.components.evaluation.policy.metric_catalogue import METRICS, judges_named_class, result_name

TRIVIAL_METRICS = frozenset(
    {
        "AUC",
        "AUCPrecisionRecall",
        "BinaryAccuracy",
        "BinaryCrossEntropy",
        "BinaryCrossentropy",
        "MeanAbsoluteError",
        "SparseCategoricalAccuracy",
        "SparseCategoricalCrossentropy",
        "MeanSquaredError",
        "NDCG",
        "RootMeanSquaredError",
    }
)
"""Metrics for which the trivial predictor's value is known: see `trivial.py`."""


Buckets = int | tuple[float, ...]
"""How a number is cut: into so many buckets of about equally many rows, or at these inner edges, ascending."""

RARE = 0.1
"""Of two classes, the positive one is rare where it has a smaller share of the eval rows."""

DEFAULT_WORST_SLICES = 10

MODEL_SIZE, ROW_LATENCY, BATCH_LATENCY = "model_megabytes", "row_milliseconds", "batch_milliseconds"
COSTS = (MODEL_SIZE, ROW_LATENCY, BATCH_LATENCY)
"""What gates may ask of the model itself: less is better. A batch has 1,000 rows."""

INVARIANT, RISES, FALLS, GOLDEN, ROBUST = "invariant_to", "rises_with", "falls_with", "golden", "robust_to"
"""The kinds of behaviour tests."""


@dataclass(frozen=True)
class Behaviour:
    """A test of the model itself, on changed rows or on rows of its own."""

    kind: str
    feature: str = ""
    """The one that is changed."""
    value: Any = None
    """What it is set to, or by how much it is raised; `missing` or `extreme` for robustness."""
    tolerance: float = 0.0
    """By how much the prediction may differ from what is expected."""
    min_share: float = 1.0
    """Of the rows for which it must hold."""
    golden: tuple[tuple[Mapping[str, Any], Any], ...] = ()
    """Inputs and expected output of the golden rows."""

    @property
    def name(self) -> str:
        """How the test is called in the verdict."""
        what = self.feature or (f"{self.value} values" if self.kind == ROBUST else "rows")
        return f"{self.kind.replace('_', ' ')} {what}"


@dataclass(frozen=True)
class Metric:
    """One metric to compute."""

    class_name: str
    """A key of `catalogue.METRICS`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the metric's class, such as `thresholds`."""

    @property
    def name(self) -> str:
        """The name under which its value is reported."""
        return str(self.settings.get("name") or result_name(self.class_name))

    @property
    def judges_named_class(self) -> bool:
        """Whether it is taken at the model's threshold: see `metric_catalogue.judges_named_class`."""
        return judges_named_class(self.class_name, self.settings)

    @property
    def direction(self) -> int:
        """Which way is better: `catalogue.HIGHER`, `LOWER` or `NEITHER`."""
        return METRICS[self.class_name].direction


@dataclass(frozen=True)
class Gate:
    """One thing asked of the challenger; every bound that is given must hold."""

    metric: str
    """Name of a metric of the policy, as reported."""
    slice: tuple[str, ...] = ()
    """Features of which every slice is asked; empty: all rows together."""
    min: float | None = None
    max: float | None = None
    max_loss: float | None = None
    """By how much, in the metric's own unit, it may be worse than the champion."""
    max_relative_loss: float | None = None
    """By which share of the champion's value it may be worse; where both are given, both must hold."""
    allow_noise: bool = True
    """Whether a difference whose 95 % confidence interval reaches zero is none: no loss, and no gain either."""
    min_gain: float | None = None
    """By how much, in the metric's own unit, it must be better than the champion."""
    min_relative_gain: float | None = None
    """By which share of the champion's value it must be better."""
    max_gap: float | None = None
    """By how much the metric may differ between any two slices of the feature."""
    better_than_trivial: bool = False
    """Whether it must beat the predictor that looks at no feature."""
    better_than_linear: bool = False
    """Whether it must beat a linear model of the same features; see `linear.py`."""

    unless_stricter: bool = False
    """Whether it is left out where the bound of another gate asks for more than the trivial predictor reaches."""
    if_rare: bool = False
    """Whether it is asked only where the positive class is rare; see `RARE`."""

    @property
    def asks_loss(self) -> bool:
        """Whether it bounds a loss against the champion."""
        return self.max_loss is not None or self.max_relative_loss is not None

    @property
    def asks_gain(self) -> bool:
        """Whether it asks a gain over the champion."""
        return self.min_gain is not None or self.min_relative_gain is not None

    @property
    def is_comparison(self) -> bool:
        """Whether it asks something against the champion."""
        return self.asks_loss or self.asks_gain

    @property
    def is_absolute(self) -> bool:
        """Whether it asks something even where there is no champion."""
        bounds = self.min is not None or self.max is not None
        return bounds or self.better_than_trivial or self.better_than_linear


@dataclass(frozen=True)
class Policy:
    """What to measure and what to ask."""

    metrics: tuple[Metric, ...]
    slices: tuple[tuple[str, ...], ...]
    min_slice_rows: int
    gates: tuple[Gate, ...]
    buckets: Mapping[str, Buckets] = field(default_factory=dict)
    """How numeric columns are cut before they are sliced by."""
    worst_slices: int = DEFAULT_WORST_SLICES
    """How many of the worst slices to search for and show; 0 for no search."""
    behaviour: tuple[Behaviour, ...] = ()
    """Tests of the challenger itself."""

    def metric(self, name: str) -> Metric:
        """Returns the metric reported as `name`."""
        return next(metric for metric in self.metrics if metric.name == name)
