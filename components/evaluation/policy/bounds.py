"""Bounds that no model can miss or none can meet are no bounds: they are refused before anything is computed."""

from __future__ import annotations

import math

from mainspring.components.common.errors import UserError
from mainspring.components.evaluation.policy.metric_catalogue import HIGHER, LOWER, range_of
from mainspring.components.evaluation.policy.policy import Gate, Metric

SHARES = ("max_relative_loss", "min_relative_gain")

ONE_ROW = ("TP", "TN", "TruePositives", "TrueNegatives")
"""Counts that one right row brings to 1."""


def refuse_empty(gate: Gate, metric: Metric, task: str, where: str) -> None:
    """Checks a gate's bounds against what its metric can be.

    Args:
        gate: The gate.
        metric: Its metric.
        task: The model's.
        where: How the error begins.

    Raises:
        UserError: A bound lies outside the metric's range, every model meets it, none can, or a share is a percentage.
    """
    low, high = range_of(metric.class_name, task)
    for key in ("min", "max"):
        _refuse_outside(key, getattr(gate, key), low, high, where)
    if gate.min is not None and gate.min <= low:
        raise UserError(f"{where}: min {_text(gate.min)} asks nothing: no model is below {_text(low)}; raise it")
    if gate.max is not None and gate.max >= high:
        raise UserError(f"{where}: max {_text(gate.max)} asks nothing: no model is above {_text(high)}; lower it")
    if gate.max is not None and gate.max <= low:
        raise UserError(f"{where}: max {_text(gate.max)} can never be met; give one above {_text(low)}")
    if metric.class_name in ONE_ROW and gate.min is not None and gate.min <= 1:
        raise UserError(
            f"{where}: min {_text(gate.min)} asks nothing: one row meets it; ask for a share, such as recall"
        )
    _refuse_worse_than_constant(gate, metric, where)
    refuse_large_shares(gate, where)
    width = _useful_width(metric, low, high)
    for key in ("max_loss", "max_gap"):
        value = getattr(gate, key)
        if value is not None and value >= (width if key == "max_loss" else high - low):
            raise UserError(
                f"{where}: {key} {_text(value)} asks nothing: from a perfect model to one that knows nothing it is "
                f"{_text(width)}{_percent(value, high)}"
            )
    if gate.min_gain is not None and gate.min_gain >= high - low:
        raise UserError(
            f"{where}: min_gain {_text(gate.min_gain)} can never be reached: {_between(low, high)}"
            f"{_percent(gate.min_gain, high)}"
        )
    if metric.direction == LOWER and gate.min_relative_gain is not None and gate.min_relative_gain >= 1:
        raise UserError(f"{where}: min_relative_gain 1 can never be reached: no error is below 0; give 0.05 for 5 %")
    if metric.direction == HIGHER and low == 0 and gate.max_relative_loss == 1:
        raise UserError(f"{where}: max_relative_loss 1 asks nothing: it lets the whole value go; give 0.05 for 5 %")


def refuse_large_shares(gate: Gate, where: str) -> None:
    """Checks that what is given as a share is one.

    Raises:
        UserError: It is above 1.
    """
    for key in SHARES:
        value = getattr(gate, key)
        if value is not None and value > 1:
            raise UserError(
                f"{where}: {key} {_text(value)} is a share above 1, {_text(value * 100)} %; "
                f"give {_text(value / 100)} for {_text(value)} %"
            )


def _refuse_outside(key: str, value: float | None, low: float, high: float, where: str) -> None:
    if value is not None and not low <= value <= high:
        raise UserError(
            f"{where}: {key} {_text(value)} is outside the metric's range: {_between(low, high)}{_percent(value, high)}"
        )


def _refuse_worse_than_constant(gate: Gate, metric: Metric, where: str) -> None:
    """Refuses bounds on all rows that a prediction of one half for each row meets, whatever the rows are."""
    if gate.slice or metric.settings.keys() - {"name"}:
        return  # A slice may well be allowed to be worse than nothing.
    least = {"AUC": 0.5, "BinaryAccuracy": 0.5}.get(metric.class_name)
    if least is not None and gate.min is not None and gate.min < least:
        raise UserError(
            f"{where}: min {_text(gate.min)} asks nothing: a model that knows nothing reaches {_text(least)}; raise it"
        )
    most = {"BinaryCrossentropy": math.log(2), "BinaryCrossEntropy": math.log(2)}.get(metric.class_name)
    if most is not None and gate.max is not None and gate.max > most:
        raise UserError(
            f"{where}: max {_text(gate.max)} asks nothing: a model that says one half for every row reaches "
            f"{_text(most)}; lower it, or ask better_than_trivial: true"
        )


def _useful_width(metric: Metric, low: float, high: float) -> float:
    """Returns how far apart two models can be that are no worse than knowing nothing."""
    return 0.5 if metric.class_name == "AUC" else high - low


def _between(low: float, high: float) -> str:
    return f"it lies between {_text(low)} and {_text(high)}" if math.isfinite(high) else f"it is at least {_text(low)}"


def _percent(value: float, high: float) -> str:
    return f"; for {_text(value)} % give {_text(value / 100)}" if high == 1 and 1 < value <= 100 else ""


def _text(value: float) -> str:
    return f"{value:.4g}"
