"""Values out of JSON as Arrow columns of the types that training saw; what does not fit is counted and missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainspring.components.monitoring.logs import record_faults
from mainspring.components.monitoring.logs.record_faults import Faults

INTEGER, NUMBER, TEXT = "integer", "number", "text"
TYPES = {INTEGER: pa.int64(), NUMBER: pa.float64(), TEXT: pa.string()}

_WHOLE = 2**63
LARGEST = sys.float_info.max


def column(name: str, kind: str, values: Sequence[Any], counted: Faults) -> pa.Array:
    """Returns a column of the kind.

    Args:
        name: The feature, for what is said of faults.
        kind: `INTEGER`, `NUMBER` or `TEXT`.
        values: None where missing; a number with a fraction for an integer is rounded and counted.
        counted: Where values of the wrong type are counted.
    """
    try:
        found = pa.array(values, TYPES[kind])
        if kind != NUMBER or pc.all(pc.is_finite(found)).as_py() is not False:
            return found
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        pass
    return pa.array([_fitted(name, kind, value, counted) for value in values], TYPES[kind])


def _fitted(name: str, kind: str, value: Any, counted: Faults) -> Any:
    if value is None or (kind == TEXT and _is_text(value)):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == NUMBER and number and -LARGEST <= value <= LARGEST:
        return float(value)
    fits = kind == INTEGER and number and -_WHOLE <= value < _WHOLE
    if fits and value == int(value):
        return int(value)
    counted.add(record_faults.MISTYPED, f"{name}: {value!r:.60}")
    counted.by_feature[name] += 1
    return round(value) if fits else None


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # Half of a surrogate pair, which JSON can escape and Arrow cannot hold.
        return False
