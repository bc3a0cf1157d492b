"""A few of the rows that an anomaly is about, read back from the Parquet files."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.validation.policy import anomaly_kinds

ROWS_SHOWN = 3
COLUMNS_SHOWN = 12
"""The anomaly's own column and this many others at most."""
CHARACTERS_SHOWN = 60

Sample = dict[str, Any]
"""`file` (such as `train/5.parquet`), `row` (counted from 1) and `values` by column."""

Mask = Callable[[pa.Array], pa.Array]
"""Returns which values of an array are meant, as booleans."""


def opened(path: Path) -> tuple[pq.ParquetFile, Mapping[str, None]]:
    """Returns the file and its columns' names, read once however often asked for: a wide file's footer is long."""
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _opened(path: Path, _modified: int) -> tuple[pq.ParquetFile, Mapping[str, None]]:
    file = pq.ParquetFile(path)
    return file, dict.fromkeys(file.schema_arrow.names)


def where(files: Sequence[Path], column: str, mask: Mask) -> list[Sample]:
    """Returns the first rows whose value of `column` is meant by `mask`; none if no file has the column."""
    found: list[Sample] = []
    for path in files:
        file, names = opened(path)
        if column not in names:
            continue
        values = file.read(columns=[column])[column].combine_chunks()
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        numbers = np.flatnonzero(pc.fill_null(mask(values), False).to_numpy(zero_copy_only=False))
        found += at(path, numbers[: ROWS_SHOWN - len(found)].tolist(), column)
        if len(found) == ROWS_SHOWN:
            break
    return found


def at(path: Path, numbers: Sequence[int], first_column: str = "") -> list[Sample]:
    """Returns the rows of a file with these numbers (counted from 0), reading only the row groups that hold them."""
    (file, known), found, start = opened(path), [], 0
    names = list(itertools.islice((name for name in known if name != first_column), COLUMNS_SHOWN))
    names = [first_column, *names] if first_column in known else names
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        here = [number for number in numbers if start <= number < start + size]
        if here:
            table = file.read_row_group(group, columns=names).select(names)
            for number in here:
                row = table.slice(number - start, 1).to_pylist()[0]
                values = {name: _shown(value) for name, value in row.items()}
                found.append({"file": f"{path.parent.name}/{path.name}", "row": number + 1, "values": values})
        start += size
    return found


def of_anomaly(
    kind: str, feature: str, files: Sequence[Path], expected: schema_pb2.Feature | None, domain: Sequence[str]
) -> list[Sample]:
    """Returns rows that show an anomaly of TFDV's, where single rows can show it.

    Args:
        kind: As in `kinds`.
        feature: The column.
        files: Where to look.
        expected: The feature in the schema.
        domain: The text values that the schema knows.
    """
    if kind == anomaly_kinds.PRESENCE:
        return where(files, feature, pc.is_null)
    if kind == anomaly_kinds.UNKNOWN_VALUES:
        return where(files, feature, lambda values: unknown(values, domain))
    if kind == anomaly_kinds.NON_FINITE:
        return where(files, feature, non_finite)
    if kind == "out_of_range" and expected is not None:
        return where(files, feature, lambda values: outside(values, expected))
    if kind in ("data_type", "new_column"):
        return where(files, feature, pc.is_valid)
    return []


def unknown(values: pa.Array, domain: Sequence[str]) -> pa.Array:
    """Returns which values are there and not in the domain."""
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, pa.array(domain, values.type))))


def non_finite(values: pa.Array) -> pa.Array:
    """Returns which values are NaN or infinite; none of a column that is not of type double."""
    if not pa.types.is_floating(values.type):
        return pa.array(np.zeros(len(values), bool))
    return pc.and_(pc.is_valid(values), pc.invert(pc.is_finite(values)))


def clipped(text: str) -> str:
    """Returns the text, or how it begins and how long it is."""
    return text if len(text) <= CHARACTERS_SHOWN else f"{text[:CHARACTERS_SHOWN]}… ({len(text):,} characters)"


def bounds(expected: schema_pb2.Feature) -> tuple[float, float]:
    """Returns the least and the greatest number that a feature of the schema may have; infinite where there is none.

    A `float_domain` holds floats of 32 bits: 108.9 stands there as 108.900002. What was written is meant.
    """
    low, high = -math.inf, math.inf
    if expected.HasField("int_domain"):
        domain = expected.int_domain
        low, high = domain.min if domain.HasField("min") else low, domain.max if domain.HasField("max") else high
    if expected.HasField("float_domain"):
        wide = expected.float_domain
        low = float(str(np.float32(wide.min))) if wide.HasField("min") else low
        high = float(str(np.float32(wide.max))) if wide.HasField("max") else high
    return (0, 1) if expected.HasField("bool_domain") else (low, high)


def outside(values: pa.Array, expected: schema_pb2.Feature) -> pa.Array:
    """Returns which numbers are outside the range that the schema gives; all values of what is no number."""
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return pc.is_valid(values)
    low, high = bounds(expected)
    found = pa.array(np.zeros(len(values), bool))
    for compare, bound in ((pc.less, low), (pc.greater, high)):
        if not math.isfinite(bound):
            continue
        whole = pa.types.is_integer(values.type) and isinstance(bound, int)
        numbers = values if whole else pc.cast(values, pa.float64(), safe=False)
        found = pc.or_(found, pc.fill_null(compare(numbers, pa.scalar(bound, numbers.type)), False))
    return found


def count(files: Sequence[Path], column: str, mask: Mask) -> int:
    """Returns how many rows have a value of `column` that is meant by `mask`."""
    total = 0
    for path in files:
        file, names = opened(path)
        if column in names:
            values = file.read(columns=[column])[column]
            total += sum(pc.sum(pc.fill_null(mask(chunk), False)).as_py() or 0 for chunk in values.chunks)
    return total


def _shown(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return clipped(value) if isinstance(value, str) else value
