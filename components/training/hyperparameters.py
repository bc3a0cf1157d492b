"""The hyperparameters of training: typed, and checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import TASKS

MAX_LAYERS = 16
MAX_WIDTH = 16384
MAX_EMBEDDING = 1024
MAX_CROSSES = 64
MAX_BATCH = 1 << 20
MAX_EPOCHS = 10_000
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Hyperparameters:
    """What decides how a model is trained, beside the examples and their schema."""

    hidden_units: tuple[int, ...]
    """Width of each dense layer."""
    embedding_size: int
    """Largest width of an embedding."""
    max_crosses: int
    """Features made of two or three others, at most; 0: none."""
    dropout: float
    learning_rate: float
    """Adam's first step size; it falls to zero along half a cosine."""
    batch_size: int
    """Rows per step at most; small tables take smaller steps."""
    max_epochs: int
    """Passes over train at most; 0: told from the table's size."""
    patience: int
    """Epochs without a better eval loss before training stops."""
    seed: int


def checked(
    *,
    hidden_units: Sequence[float],
    embedding_size: float,
    max_crosses: float,
    dropout: float,
    learning_rate: float,
    batch_size: float,
    max_epochs: float,
    patience: float,
    seed: float,
) -> Hyperparameters:
    """Returns the hyperparameters, each in its range; whole floats (KFP makes them of integers) become integers.

    Raises:
        UserError: A value is out of its range; the message says the range.
    """
    if isinstance(hidden_units, str) or not isinstance(hidden_units, Sequence) or len(hidden_units) > MAX_LAYERS:
        raise UserError(
            f"hidden_units: {hidden_units!r} is not a list of at most {MAX_LAYERS} widths, such as [128, 64]"
        )
    return Hyperparameters(
        hidden_units=tuple(_integer("hidden_units", width, 1, MAX_WIDTH) for width in hidden_units),
        embedding_size=_integer("embedding_size", embedding_size, 1, MAX_EMBEDDING),
        max_crosses=_integer("max_crosses", max_crosses, 0, MAX_CROSSES),
        dropout=_number("dropout", dropout, 0 <= _as_float(dropout) < 1, "from 0 up to, but not including, 1"),
        learning_rate=_number(
            "learning_rate", learning_rate, 0 < _as_float(learning_rate) <= 1, "above 0 and at most 1"
        ),
        batch_size=_integer("batch_size", batch_size, 1, MAX_BATCH),
        max_epochs=_integer("max_epochs", max_epochs, 0, MAX_EPOCHS),
        patience=_integer("patience", patience, 1, MAX_EPOCHS),
        seed=_integer("seed", seed, 0, MAX_SEED),
    )


def checked_task(task: str) -> str:
    """Returns the task if it is `auto` or one of `TASKS`.

    Raises:
        UserError: It is not.
    """
    if task not in ("auto", *TASKS):
        raise UserError(f"task: {task!r} is not one of auto, {', '.join(TASKS)}")
    return task


def _as_float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")


def _number(name: str, value: float, in_range: bool, allowed: str) -> float:
    if not in_range:
        raise UserError(f"{name}: {value!r} is out of range; give a number {allowed}")
    return float(value)


def _integer(name: str, value: float, lowest: int, highest: int) -> int:
    number = _as_float(value)
    if not lowest <= number <= highest or number != int(number):
        raise UserError(f"{name}: {value!r} is out of range; give a whole number from {lowest:,} to {highest:,}")
    return int(number)
