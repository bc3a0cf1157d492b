"""The label: which task it makes, its classes, and its values as the loss wants them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, MULTICLASS, REGRESSION

MAX_CLASSES = 1000
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
    def units(self) -> int:
        """The width of the model's output: one logit, one per class, or one standardised value."""
        return len(self.classes) if self.task == MULTICLASS else 1


def describe_label(name: str, column: pa.ChunkedArray, task: str) -> LabelSpec:
    """Tells task and classes from the label's values in train.

    Args:
        name: The label's column.
        column: Its values; nulls and numbers that are not finite do not count.
        task: One of the tasks, or `auto`.

    Raises:
        UserError: There is no value, one value only, too many classes, or the task does not fit the values.
    """
    values = column.filter(labelled(column))
    if len(values) == 0:
        raise UserError(f"label: {name!r} has no value in train; nothing can be learned from these examples")
    distinct = pc.unique(values)
    if len(distinct) == 1:
        raise UserError(
            f"label: {name!r} is constant in train ({distinct[0].as_py()!r} only); there is nothing to learn"
        )
    task = _told_task(column.type, len(distinct)) if task == "auto" else task
    if task == REGRESSION:
        if pa.types.is_string(column.type):
            raise UserError(f"task: {name!r} is text, which regression cannot predict; choose a classification task")
        numbers = values.to_numpy().astype(np.float64)
        return LabelSpec(name, task, (), float(numbers.mean()), float(numbers.std()))
    if len(distinct) > MAX_CLASSES:
        raise UserError(
            f"label: {name!r} has {len(distinct):,} values, more than {MAX_CLASSES:,} classes; is it a quantity?"
        )
    if task == BINARY and len(distinct) != 2:
        raise UserError(f"task: {name!r} has {len(distinct)} values in train, not 2; choose {MULTICLASS} or auto")
    return LabelSpec(name, task, tuple(_class_name(value) for value in sorted(distinct.to_pylist())))


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
    numbers = np.array([known.get(_class_name(value), -1) for value in encoded.dictionary.to_pylist()], np.int32)
    return numbers[encoded.indices.to_numpy()]


def _told_task(kind: pa.DataType, distinct: int) -> str:
    if pa.types.is_floating(kind):
        return REGRESSION
    if distinct == 2:
        return BINARY
    return MULTICLASS if pa.types.is_string(kind) or distinct <= MAX_INTEGER_CLASSES else REGRESSION


def _class_name(value: str | float) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
