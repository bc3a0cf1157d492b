"""Values out of JSON as Arrow columns of the types that training saw; what does not fit is counted and missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mainspring.components.monitoring.logs import record_faults
from mainspring.components.monitoring.logs.record_faults import Faults

INTEGER, NUMBER, TEXT = "integer", "number", "text"
TYPES = {INTEGER: pa.int64(), NUMBER: pa.float64(), TEXT: pa.string()}

_WHOLE = 2**63


def column(name: str, kind: str, values: Sequence[Any], counted: Faults) -> pa.Array:
    """Returns a column of the kind.

    Args:
        name: The feature, for what is said of faults.
        kind: `INTEGER`, `NUMBER` or `TEXT`.
        values: None where missing; a number with a fraction for an integer is rounded and counted.
        counted: Where values of the wrong type are counted.
    """
    try:
        return pa.array(values, TYPES[kind])
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([_fitted(name, kind, value, counted) for value in values], TYPES[kind])


def _fitted(name: str, kind: str, value: Any, counted: Faults) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (kind == TEXT and isinstance(value, str)) or (kind == NUMBER and number):
        return value
    fits = kind == INTEGER and number and -_WHOLE <= value < _WHOLE
    if fits and value == int(value):
        return int(value)
    counted.add(record_faults.MISTYPED, f"{name}: {value!r:.60}")
    return round(value) if fits else None
