"""The hyperparameters of training: typed, and checked before anything is read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BOOLEANS, TASKS
from mainspring.components.common.written import strict_json
from mainspring.components.training.spelling import suggestion

MAX_LAYERS = 16
MAX_WIDTH = 16384
MAX_EMBEDDING = 1024
MAX_CROSSES = 64
MAX_BATCH = 1 << 20
MAX_EPOCHS = 10_000
MAX_SEED = 2**31 - 1
MIN_WEIGHT, MAX_WEIGHT = 1e-6, 1e6
"""Of a class: a smaller one vanishes beside the others in float32, and its rows with it."""
MAX_NUMBER = 1e300
"""Integers beyond that are more than a float can hold."""
BALANCED = "balanced"


@dataclass(frozen=True)
class Hyperparameters:
    """What decides how a model is trained, beside the examples and their schema."""

    hidden_units: tuple[int, ...] = (128, 64)
    """Width of each dense layer."""
    embedding_size: int = 16
    """Largest width of an embedding."""
    max_crosses: int = 8
    """Features made of two or three others, at most; 0: none."""
    dropout: float = 0.1
    weight_decay: float = 0.0
    """Share of each weight that a step of the first step size takes away (AdamW)."""
    learning_rate: float = 0.001
    """Adam's first step size; it falls to zero along half a cosine."""
    batch_size: int = 2048
    """Rows per step at most; small tables take smaller steps."""
    max_epochs: int = 0
    """Passes over train at most; 0: told from the table's size."""
    patience: int = 2
    """Epochs without a better eval loss before training stops."""
    class_weights: str | dict[str, float] = ""
    """Weight of each class in the loss, `balanced`: as if all classes were equally frequent; empty: none."""
    seed: int = 20131
    custom: dict[str, Any] = field(default_factory=dict)
    """A module's own hyperparameters."""

    def recorded(self) -> dict[str, Any]:
        """Returns them as the manifest records them; the seed has a place of its own there."""
        values = dataclasses.asdict(self) | {"hidden_units": list(self.hidden_units)}
        return {name: value for name, value in values.items() if name != "seed" and value not in ("", {})}


NAMES = tuple(field.name for field in dataclasses.fields(Hyperparameters))
WHOLE = ("embedding_size", "max_crosses", "batch_size", "max_epochs", "patience")
"""Those that are one whole number, and may be searched."""


def checked(overrides: str | Mapping[str, Any] = "", **given: Any) -> Hyperparameters:
    """Returns the hyperparameters, each in its range; whole floats (KFP makes them of integers) become integers.

    Args:
        overrides: A JSON object, or a mapping, of hyperparameters by name; they go before `given`.
        **given: Hyperparameters by name; those left out have their defaults.

    Raises:
        UserError: A name is unknown, or a value is out of its range; the message says the range.
    """
    values = given | as_mapping(overrides)
    for name in values:
        if name not in NAMES:
            raise UserError(
                f"hyperparameters: {name!r} is not one{suggestion(name, NAMES)}; a module's own go into 'custom'"
            )
    return Hyperparameters(**{name: _CHECKS[name](name, value) for name, value in values.items()})


def as_mapping(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Returns hyperparameters by name, given so or as a JSON object; none for an empty text.

    Raises:
        UserError: The text is no JSON object.
    """
    if not isinstance(given, str):
        return dict(given)
    try:
        content = strict_json.loads(given, "hyperparameters") if given.strip() else {}
    except ValueError as error:
        raise UserError(f"hyperparameters: not JSON: {error}; give an object, such as {_EXAMPLE}") from error
    if not isinstance(content, dict):
        raise UserError(f"hyperparameters: {given!r} is no JSON object; give one, such as {_EXAMPLE}")
    return content


def checked_count(name: str, value: Any, lowest: int, highest: int) -> int:
    """Returns a whole number within its range.

    Raises:
        UserError: It is not.
    """
    return _integer(name, value, lowest, highest)


def checked_task(task: str) -> str:
    """Returns the task if it is `auto` or one of `TASKS`.

    Raises:
        UserError: It is not.
    """
    if task not in ("auto", *TASKS):
        raise UserError(f"task: {task!r} is not one of auto, {', '.join(TASKS)}")
    return task


def checked_seconds(name: str, value: Any) -> float:
    """Returns a length of time.

    Raises:
        UserError: It is no number above 0.
    """
    return _number(name, value, 0 < _as_float(value) < float("inf"), "of seconds, above 0")


def checked_class_weights(
    weights: str | Mapping[str, float], classes: Sequence[str], counts: Sequence[int]
) -> list[float] | None:
    """Returns a weight per class, or None for equal ones.

    Args:
        weights: `Hyperparameters.class_weights`.
        classes: The classes' names, in the order of the model's outputs.
        counts: Rows of each in train.

    Raises:
        UserError: The label is a quantity, or a name is no class.
    """
    if not weights:
        return None
    if not classes:
        raise UserError("class_weights: the label is a quantity, which has no classes; leave class_weights out")
    if isinstance(weights, str):
        return [sum(counts) / (len(classes) * max(count, 1)) for count in counts]
    if tuple(classes) == BOOLEANS:  # As the columns hold them.
        weights = {{"0": "false", "1": "true"}.get(name, name): weight for name, weight in weights.items()}
    for name in weights:
        if name not in classes:
            raise UserError(f"class_weights: {name!r} is no class of the label{suggestion(name, classes)}")
    return [weights.get(name, 1.0) for name in classes]


_EXAMPLE = '{"learning_rate": 0.003}'


def _widths(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) > MAX_LAYERS:
        raise UserError(f"{name}: {value!r} is not a list of at most {MAX_LAYERS} widths, such as [128, 64]")
    return tuple(_integer(name, width, 1, MAX_WIDTH) for width in value)


def _class_weights(name: str, value: Any) -> str | dict[str, float]:
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            value = strict_json.loads(value, name)
        except ValueError as error:
            raise UserError(f"{name}: not JSON: {error}") from error
    if value in ("", BALANCED):
        return str(value)
    if not isinstance(value, Mapping) or not all(
        MIN_WEIGHT <= _as_float(weight) <= MAX_WEIGHT for weight in value.values()
    ):
        raise UserError(
            f"{name}: {value!r} is neither {BALANCED} nor a JSON object of weights from {MIN_WEIGHT:g} to "
            f'{MAX_WEIGHT:,.0f} by class, such as {{"yes": 5}}'
        )
    return {str(key): float(weight) for key, weight in value.items()}


def _custom(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{name}: {value!r} is no JSON object")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}: {value!r} cannot be recorded as JSON ({error})") from error
    return dict(value)


def _as_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return float("nan")
    return float(value) if abs(value) <= MAX_NUMBER else float("inf")


def _number(name: str, value: Any, in_range: bool, allowed: str) -> float:
    if not in_range:
        raise UserError(f"{name}: {value!r} is out of range; give a number {allowed}")
    return float(value)


def _integer(name: str, value: Any, lowest: int, highest: int) -> int:
    number = _as_float(value)
    if not lowest <= number <= highest or number != int(number):
        raise UserError(f"{name}: {value!r} is out of range; give a whole number from {lowest:,} to {highest:,}")
    return int(number)


def _share(name: str, value: Any) -> float:
    return _number(name, value, 0 <= _as_float(value) < 1, "from 0 up to, but not including, 1")


def _step_size(name: str, value: Any) -> float:
    return _number(name, value, 0 < _as_float(value) <= 1, "above 0 and at most 1")


_CHECKS: dict[str, Any] = {
    "hidden_units": _widths,
    "embedding_size": lambda name, value: _integer(name, value, 1, MAX_EMBEDDING),
    "max_crosses": lambda name, value: _integer(name, value, 0, MAX_CROSSES),
    "dropout": _share,
    "weight_decay": _share,
    "learning_rate": _step_size,
    "batch_size": lambda name, value: _integer(name, value, 1, MAX_BATCH),
    "max_epochs": lambda name, value: _integer(name, value, 0, MAX_EPOCHS),
    "patience": lambda name, value: _integer(name, value, 1, MAX_EPOCHS),
    "class_weights": _class_weights,
    "seed": lambda name, value: _integer(name, value, 0, MAX_SEED),
    "custom": _custom,
}
