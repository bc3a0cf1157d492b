"""How the threshold of two classes is to be found, as `threshold` and `cost` say it. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_json
from mainspring.components.training.spelling import suggestion

F1 = "f1"
RARE = 0.1
"""Where one of two classes has a smaller share of train, F1 chooses unless something else is asked."""
FALSE_POSITIVE, FALSE_NEGATIVE = COSTS = ("false_positive", "false_negative")
MOST_COST = 1e9


@dataclass(frozen=True)
class Rule:
    """How a threshold is to be found."""

    given: float | None = None
    by_f1: bool = False
    cost: Mapping[str, float] | None = None
    """Of a false positive and of a false negative."""

    @property
    def was_given(self) -> bool:
        """Whether anything was asked for."""
        return self.given is not None or self.by_f1 or self.cost is not None

    def needs_rows(self, share: float | None) -> bool:
        """Returns whether rows have to be held out to find it.

        Args:
            share: Of the rarer class in train; None where the label is not of two classes.

        Raises:
            UserError: A threshold was asked for, and the label is not of two classes.
        """
        if share is None and self.was_given:
            raise UserError("threshold, cost: they are for a label of two classes, which this is not; leave them out")
        return share is not None and self.given is None and (self.was_given or share < RARE)


def checked_rule(threshold: str | float, cost: str | Mapping[str, Any]) -> Rule:
    """Returns the rule that the parameters `threshold` and `cost` make.

    Args:
        threshold: `f1`, or a number between 0 and 1, as text or as it is; empty (or 0): told from the data.
        cost: Of each kind of error, as JSON or a mapping.

    Raises:
        UserError: They are neither, or both are given.
    """
    costs = _costs(cost)
    if threshold in ("", 0):
        return Rule(cost=costs)
    if costs is not None:
        raise UserError("threshold, cost: both say where the threshold is; give one of them")
    if isinstance(threshold, str) and threshold.strip().lower() == F1:
        return Rule(by_f1=True)
    try:
        number = float(threshold)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(threshold, bool) or not 0 < number < 1:
        raise UserError(f"threshold: {threshold!r} is neither {F1} nor a number above 0 and below 1")
    return Rule(given=number)


def _costs(given: str | Mapping[str, Any]) -> dict[str, float] | None:
    example = '{"false_positive": 1, "false_negative": 20}'
    if isinstance(given, str):
        if not given.strip():
            return None
        try:
            given = strict_json.loads(given, "cost")
        except ValueError as error:
            raise UserError(f"cost: not JSON: {error}; give an object, such as {example}") from error
    if not isinstance(given, Mapping) or not given:
        raise UserError(f"cost: {given!r} is no JSON object of the errors' costs; give one, such as {example}")
    for name, value in given.items():
        if name not in COSTS:
            raise UserError(f"cost: {name!r} is none of {', '.join(COSTS)}{suggestion(str(name), COSTS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_COST:
            raise UserError(f"cost: {name}: {value!r} is out of range; give a number above 0, at most {MOST_COST:,.0f}")
    return {name: float(given.get(name, 1.0)) for name in COSTS}
