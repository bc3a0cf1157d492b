"""A loss that is no longer a number: the error that says at which batch, and what is odd about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np

from mainspring.components.common.errors import UserError
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import MAX_DEVIATIONS, Encoder

Describe = Callable[[dict[str, np.ndarray], np.ndarray], str]
ABSURD = 100.0
"""Standardised labels farther from the mean than so many deviations."""


def refuse_lost(
    step: int, steps_per_epoch: int, batch: tuple[dict[str, np.ndarray], np.ndarray], say: Describe
) -> NoReturn:
    """Raises the error.

    Args:
        step: The first step, counted from 0, whose loss was no number.
        steps_per_epoch: Steps per epoch.
        batch: What the step was trained on: inputs and targets.
        say: Says what is odd about it.
    """
    epoch, in_epoch = divmod(step, steps_per_epoch)
    raise UserError(
        f"learning_rate: the loss is no longer a number in epoch {epoch + 1}, at step {in_epoch + 1}; "
        f"its batch of {len(batch[1]):,} rows: {say(*batch)}; lower learning_rate, or mend the data or the module"
    )


def refuse_diverging(
    step: int, steps_per_epoch: int, batch: tuple[dict[str, np.ndarray], np.ndarray], say: Describe, losses: str
) -> NoReturn:
    """Raises the error.

    Args:
        step: Of the last steps the one with the largest loss, counted from 0.
        steps_per_epoch: Steps per epoch.
        batch: What that step was trained on.
        say: Says what is odd about it.
        losses: What the loss is, and what it was.
    """
    epoch, in_epoch = divmod(step, steps_per_epoch)
    raise UserError(
        f"learning_rate: the loss diverges: {losses}; the worst at step {in_epoch + 1} of epoch {epoch + 1}, "
        f"its batch of {len(batch[1]):,} rows: {say(*batch)}; lower learning_rate, or mend the data or the module"
    )


def oddities(encoder: Encoder, label: LabelSpec) -> Describe:
    """Returns a function that says what a batch's labels are, and which quantities were cut off at their end."""
    names = [feature.name for feature in encoder.statistics.numeric]

    def describe(inputs: dict[str, np.ndarray], targets: np.ndarray) -> str:
        values = targets[:, 0].astype(np.float64)
        if label.classes:
            found = np.bincount(targets[:, 0], minlength=len(label.classes))
            text = "labels " + ", ".join(f"{name!r} {count:,}" for name, count in _most(label.classes, found))
        else:
            lowest, highest = (value * label.deviation + label.mean for value in (values.min(), values.max()))
            text = f"labels from {lowest:.4g} to {highest:.4g}"
            text += " (far from train's mean)" if np.abs(values).max() > ABSURD else ""
        cut = [
            f"{name!r} in {count:,} rows"
            for place, name in enumerate(names)
            if (count := int((np.abs(inputs["numbers"][:, place]) >= MAX_DEVIATIONS).sum()))
        ]
        return text + (f", values at least {MAX_DEVIATIONS:.0f} deviations off: {', '.join(cut[:5])}" if cut else "")

    return describe


def _most(classes: tuple[str, ...], counts: np.ndarray) -> list[tuple[str, int]]:
    return sorted(zip(classes, counts.tolist(), strict=False), key=lambda pair: -pair[1])[:3]
