"""TFDV's statistics per slice: a dataset for each value of a column, named as TFDV names it (`origin_JFK`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tensorflow_data_validation.utils import slicing_util
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from mainspring.components.common.errors import UserError
from mainspring.components.statistics import span_statistics
from mainspring.components.statistics.span_statistics import Accumulator, Piece

MOST_SLICES = 200
"""More values than this in a column is no slicing but a mistake: each costs an accumulator per feature."""


def refuse_unusable(slices: Sequence[str], columns: Mapping[str, str]) -> None:
    """Checks that the columns are there and have values that slices are named by.

    Raises:
        UserError: One is unknown, or holds numbers with fractions.
    """
    for name in slices:
        if name not in columns:
            raise UserError(f"slices={name!r} is not a column of the examples; the columns are {', '.join(columns)}")
        if columns[name] == "double":
            raise UserError(f"slices={name!r} holds numbers with fractions; slice by text or whole numbers")


def of_files(
    paths: Sequence[Path], columns: Sequence[str], categorical: tuple[str, ...] = ()
) -> DatasetFeatureStatisticsList:
    """Returns a dataset for each value of each column, by name.

    Args:
        paths: Parquet files.
        columns: What to slice by.
        categorical: Columns of whole numbers that are counted by value, as text is.

    Raises:
        UserError: A column has more than `MOST_SLICES` values.
    """
    pieces = [piece for path in paths for piece in span_statistics.pieces(path)]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        parts = list(threads.map(lambda piece: _of_piece(piece, columns, categorical), pieces))
    by_slice: dict[str, list[Accumulator]] = {}
    for part in parts:
        for name, accumulator in part.items():
            by_slice.setdefault(name, []).append(accumulator)
    _refuse_too_many(by_slice, columns)
    found = DatasetFeatureStatisticsList()
    for name, accumulators in sorted(by_slice.items()):
        dataset = found.datasets.add()
        dataset.CopyFrom(span_statistics.dataset(span_statistics.extract(accumulators)))
        dataset.name = name
    return found


def _of_piece(piece: Piece, columns: Sequence[str], categorical: tuple[str, ...]) -> dict[str, Accumulator]:
    slicers = [slicing_util.get_feature_value_slicer({column: None}) for column in columns]
    found: dict[str, Accumulator] = {}
    for batch in span_statistics.batches(piece):
        canonical = CanonicalizeRecordBatch(batch)
        for slicer in slicers:
            for name, rows in slicer(canonical):
                found[name] = span_statistics.added(found.get(name), rows, categorical)
        _refuse_too_many(found, columns)
    return found


def _refuse_too_many(slices: Mapping[str, object], columns: Sequence[str]) -> None:
    if len(slices) > MOST_SLICES * len(columns):
        raise UserError(
            f"slices={', '.join(columns)}: {len(slices):,} values or more, at most {MOST_SLICES} for each column; "
            "slice by columns of fewer values"
        )
