"""The label: which task it makes, its classes, and its values as the loss wants them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, BOOLEANS, MULTICLASS, REGRESSION

MAX_CLASSES = 1000
RESOLUTION = 1e-3
"""A regression is served in float32 where its step is at most this share of the label's deviation, else in float64."""
MAX_INTEGER_CLASSES = 20
"""An integer label with more values than this is a quantity, unless the task is given."""


@dataclass(frozen=True)
class LabelSpec:
    """How a label's values become the model's targets, told from train."""

    name: str
    task: str
    classes: tuple[str, ...]
    """Sorted; the positive one last. Empty for regression."""
    mean: float = 0.0
    """Of a regression's label; the model learns (label - mean) / deviation."""
    deviation: float = 1.0

    @property
    def needs_doubles(self) -> bool:
        """Whether float32 loses a regression's values: far from zero against their spread, very large or small."""
        if self.classes:
            return False
        largest = abs(self.mean) + self.deviation
        if largest * 10 > np.finfo(np.float32).max or self.deviation < 1e-30:
            return True
        return bool(np.spacing(np.float32(largest)) > RESOLUTION * self.deviation)

    @property
    def units(self) -> int:
        """The width of the model's output: one logit, one per class, or one standardised value."""
        return len(self.classes) if self.task == MULTICLASS else 1


@dataclass
class LabelValues:
    """What was seen of a label's column, a part at a time; nulls and numbers that are not finite do not count."""

    count: int = 0
    rows: dict[Any, int] = field(default_factory=dict)
    """Rows by value; no longer counted once there are more values than `MAX_CLASSES`."""
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared differences from the mean."""

    def add(self, column: pa.ChunkedArray) -> None:
        """Counts a part of the column.

        Source of the update: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances" (1979).
        """
        values = column.filter(labelled(column))
        if not len(values):
            return
        if len(self.rows) <= MAX_CLASSES:
            for found in pc.value_counts(values).to_pylist():
                self.rows[found["values"]] = self.rows.get(found["values"], 0) + found["counts"]
        if not pa.types.is_string(column.type):
            numbers = values.to_numpy().astype(np.float64)
            total, shift = self.count + len(numbers), float(numbers.mean()) - self.mean
            with np.errstate(over="ignore"):  # An absurd value makes it infinite, which `describe_label` refuses.
                self.squares += float(numbers.var()) * len(numbers) + shift * shift * self.count * len(numbers) / total
            self.mean += shift * len(numbers) / total
        self.count += len(values)

    @property
    def deviation(self) -> float:
        """The standard deviation of a label of numbers."""
        return float(np.sqrt(self.squares / max(self.count, 1)))


def describe_label(name: str, kind: str, values: LabelValues, task: str, is_boolean: bool = False) -> LabelSpec:
    """Tells task and classes from the label's values in train.

    Args:
        name: The label's column.
        kind: Its type: `int64`, `double` or `string`.
        values: What train holds of it.
        task: One of the tasks, or `auto`.
        is_boolean: Whether the source has it as true and false.

    Raises:
        UserError: There is no value, one value only, too many classes, or the task does not fit the values.
    """
    distinct = sorted(values.rows)
    if not distinct:
        raise UserError(f"label: {name!r} has no value in train; nothing can be learned from these examples")
    if len(distinct) == 1:
        raise UserError(f"label: {name!r} is constant in train ({distinct[0]!r} only); there is nothing to learn")
    if task == "auto":
        task = told_task(kind, distinct, task)
        _say_how_taken(name, kind, distinct, task, is_boolean)
    if task == REGRESSION:
        if kind == "string":
            raise UserError(f"task: {name!r} is text, which regression cannot predict; choose a classification task")
        if not np.isfinite(values.deviation):
            raise UserError(f"label: {name!r} has values too large to compute with; look for absurd ones")
        if not values.deviation > 0:
            raise UserError(
                f"label: {name!r} has {len(distinct):,} values that differ by too little for doubles; "
                "subtract a constant, or scale it, in the query"
            )
        return LabelSpec(name, task, (), values.mean, values.deviation)
    if len(distinct) > MAX_CLASSES:
        raise UserError(f"label: {name!r} has more values than {MAX_CLASSES:,} classes; is it a quantity?")
    if task == BINARY and len(distinct) != 2:
        raise UserError(f"task: {name!r} has {len(distinct)} values in train, not 2; choose {MULTICLASS} or auto")
    return LabelSpec(name, task, BOOLEANS if is_boolean else tuple(_class_name(value) for value in distinct))


def _say_how_taken(name: str, kind: str, distinct: list[Any], task: str, is_boolean: bool) -> None:
    """Says what a label of whole numbers was taken for, which could be classes or a count, and how to say otherwise."""
    if is_boolean or kind == "string" or not all(float(value).is_integer() for value in distinct[:MAX_CLASSES]):
        return
    many = f"{len(distinct):,} whole numbers" if len(distinct) <= MAX_CLASSES else f"more than {MAX_CLASSES:,} numbers"
    if task == REGRESSION:
        otherwise = f"; if each is a class of its own, set task: {MULTICLASS}" if len(distinct) <= MAX_CLASSES else ""
        print(f"label: {name!r} has {many} in train and is taken for a quantity{otherwise}", flush=True)
    else:
        print(
            f"label: {name!r} has {many} in train and is taken for {len(distinct)} classes; if it counts or measures "
            f"something, set task: {REGRESSION}",
            flush=True,
        )


def labelled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns which rows have a label: not null, and finite where it is a number."""
    if pa.types.is_floating(column.type):
        return pc.fill_null(pc.is_finite(column), False)
    return pc.is_valid(column)


def targets(column: pa.ChunkedArray, spec: LabelSpec) -> np.ndarray:
    """Returns what the loss compares with, one value per row: float32, except class numbers (int32) for multi-class.

    Args:
        column: The label's values, none of them missing.
        spec: From `describe_label`.

    Returns:
        Shape [rows]: 0 or 1, a class number (-1: a class that train does not have), or the standardised value.
    """
    if spec.task == REGRESSION:
        return ((column.to_numpy() - spec.mean) / spec.deviation).astype(np.float32)
    encoded = pc.dictionary_encode(column).combine_chunks()
    known = {name: number for number, name in enumerate(spec.classes)}
    if spec.classes == BOOLEANS:
        known |= {"0": 0, "1": 1}
    numbers = np.array([known.get(_class_name(value), -1) for value in encoded.dictionary.to_pylist()], np.int32)
    return numbers[encoded.indices.to_numpy()]


def told_task(kind: str, distinct: list[Any], task: str = "auto") -> str:
    """Returns the task that is given, or that a label's different values tell."""
    if task != "auto":
        return task
    if kind == "double":  # Two whole numbers, such as 0.0 and 1.0 of a sum, are no quantity.
        return BINARY if len(distinct) == 2 and all(value.is_integer() for value in distinct) else REGRESSION
    if len(distinct) == 2:
        return BINARY
    return MULTICLASS if kind == "string" or len(distinct) <= MAX_INTEGER_CLASSES else REGRESSION


def _class_name(value: str | float) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
