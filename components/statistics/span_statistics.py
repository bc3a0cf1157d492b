"""TFDV's statistics of Parquet files without Beam: an accumulator per piece of a file, merged per span and split."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.statistics.stats_options import StatsOptions
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics, DatasetFeatureStatisticsList
from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

from mainspring.components.common.errors import UserError
from mainspring.components.statistics import categories, histograms

ROWS_PER_BATCH = 131_072
"""TFDV's generators take a fifth longer with batches of 16,000 rows, twice as long with 4,000; more gain nothing."""

PIECES_OF_A_LONE_SPAN = 4
"""A span that is alone is read in as many contiguous pieces, which stand in for spans where drift is calibrated."""

QUANTILE_BUCKETS = 100
"""Buckets of equal frequency in which a number's distribution is kept: drift is measured on them, and TFDV's ten are
too few to tell a change from the values that happen to be most frequent."""

COLUMN_TYPES = ("int64", "double", "string")


@dataclass(frozen=True)
class Piece:
    """Some rows of a file."""

    path: Path
    start: int
    """The first row."""
    stop: int
    """The row after the last one."""


@dataclass(frozen=True)
class Accumulator:
    """What TFDV's generators hold of some rows."""

    states: list[Any]
    """One for each generator."""
    columns: pa.Schema | None
    """Of the canonicalised batches; None as long as there were none."""
    categorical: tuple[str, ...] = ()
    """Whole numbers that are counted by value."""


def rows(path: Path) -> int:
    """Returns the number of rows in a Parquet file.

    Raises:
        UserError: The file is missing or no Parquet.
    """
    return int(_open(path).metadata.num_rows)


def refuse_mixed_columns(paths: Sequence[Path]) -> None:
    """Checks that all files have the same columns, of types that examples have: TFDV adds up only what is alike.

    Raises:
        UserError: They have not.
    """
    first: list[tuple[str, str]] = []
    for path in paths:
        columns = [(column.name, str(column.type).removeprefix("large_")) for column in _open(path).schema_arrow]
        for name, kind in columns:
            if kind not in COLUMN_TYPES:
                known = "examples hold int64, double and string"
                raise UserError(f"{path}: column {name!r} is {kind}; {known}: cast it in the query")
        first = first or columns
        if columns != first:
            names = ", ".join(sorted({name for name, _ in {*columns} ^ {*first}})) or "their order"
            raise UserError(f"{path}: its columns are not those of {paths[0]} ({names}); ingest the examples again")


def pieces(path: Path, count: int = 0) -> list[Piece]:
    """Cuts a file into contiguous pieces of about equal size.

    Args:
        path: The Parquet file.
        count: How many pieces; 0: as many as threads can usefully work on at the same time.
    """
    total = rows(path)
    count = max(1, min(count or -(-total // ROWS_PER_BATCH), total))
    edges = [total * index // count for index in range(count + 1)]
    return [Piece(path, start, stop) for start, stop in itertools.pairwise(edges)]


def batches(piece: Piece) -> Iterator[pa.RecordBatch]:
    """Yields the piece's rows, `ROWS_PER_BATCH` or fewer at a time.

    Raises:
        UserError: The file is missing or damaged.
    """
    yield from batches_of(_open(piece.path), piece)


def batches_of(file: pq.ParquetFile, piece: Piece) -> Iterator[pa.RecordBatch]:
    """Yields the piece's rows of a file that is open already.

    Raises:
        UserError: The file is damaged.
    """
    groups: list[int] = []
    first_row, position = 0, 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if position < piece.stop and position + size > piece.start:
            first_row = first_row if groups else position
            groups.append(group)
        position += size
    position = first_row
    try:
        for batch in file.iter_batches(ROWS_PER_BATCH, row_groups=groups):
            wanted = batch.slice(max(0, piece.start - position), max(0, piece.stop - max(piece.start, position)))
            position += batch.num_rows
            if wanted.num_rows:
                yield wanted
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{piece.path}: the Parquet file is damaged: {error}; ingest the examples again") from error


def accumulate(all_pieces: Sequence[Piece], categorical: tuple[str, ...] = ()) -> list[Accumulator]:
    """Reads the pieces, several at a time, and returns TFDV's accumulators of each.

    Args:
        all_pieces: What to read.
        categorical: Columns of whole numbers that are counted by value, as text is.

    Raises:
        UserError: A file is missing or damaged, or has a column of a type that no examples artifact has.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        return list(threads.map(lambda piece: _accumulate(piece, categorical), all_pieces))


def added(accumulator: Accumulator | None, canonical: pa.RecordBatch, categorical: tuple[str, ...] = ()) -> Accumulator:
    """Returns the accumulator (None: a new one, with these categorical columns) with a canonicalised batch added."""
    categorical = accumulator.categorical if accumulator else categorical
    generators = _generators(categorical)
    states = accumulator.states if accumulator else [generator.create_accumulator() for generator in generators]
    added_to = [generator.add_input(state, canonical) for generator, state in zip(generators, states, strict=True)]
    return Accumulator(added_to, canonical.schema, categorical)


def extract(accumulators: Sequence[Accumulator]) -> DatasetFeatureStatisticsList:
    """Returns the statistics of all rows that the accumulators have seen, which stay as they are.

    The proto holds one dataset. It equals what `generate_statistics_in_memory` makes of the same rows with the same
    `options`, but for the last digits of means and for quantiles and top values of large or high-cardinality columns,
    which TFDV only estimates.
    """
    categorical = next((one.categorical for one in accumulators), ())
    generators = _generators(categorical)
    # TFDV merges into the first accumulator, and closes the sketches of what it extracts from: one of no rows comes
    # first. The others have the same columns and are only read.
    first = _of_no_rows(next((one.columns for one in accumulators if one.columns), None), categorical)
    merged = [
        generator.merge_accumulators(states)
        for generator, *states in zip(generators, first.states, *(one.states for one in accumulators), strict=True)
    ]
    of_numbers = next(
        state for generator, state in zip(generators, merged, strict=True) if isinstance(generator, BasicStatsGenerator)
    )
    sketches = histograms.taken_out(of_numbers)
    found = stats_impl.extract_statistics_output(merged, generators)
    chosen = options()
    histograms.put_in(dataset(found), sketches, chosen.num_histogram_buckets, chosen.num_quantiles_histogram_buckets)
    return found


def dataset(statistics: DatasetFeatureStatisticsList) -> DatasetFeatureStatistics:
    """Returns the list's only dataset."""
    return statistics.datasets[0]


def by_name(statistics: DatasetFeatureStatisticsList) -> dict[str, Any]:
    """Returns `FeatureNameStatistics` by column."""
    return {feature.path.step[0]: feature for feature in dataset(statistics).features}


def common(feature: Any) -> Any:
    """Returns a feature's `CommonStatistics`, whatever its type."""
    return getattr(feature, feature.WhichOneof("stats")).common_stats


def missing_share(feature: Any) -> float:
    """Returns the share of rows without a value, 0 to 1."""
    counts = common(feature)
    return counts.num_missing / max(1, counts.num_missing + counts.num_non_missing)


def value_counts(feature: Any) -> dict[str, float]:
    """Returns the rows of each value of a string feature, most frequent first; of the 1,000 most frequent ones."""
    return {bucket.label: bucket.sample_count for bucket in feature.string_stats.rank_histogram.buckets}


def _accumulate(piece: Piece, categorical: tuple[str, ...]) -> Accumulator:
    accumulator = _of_no_rows(None, categorical)
    for batch in batches(piece):
        accumulator = added(accumulator, CanonicalizeRecordBatch(batch))
    return accumulator


def _of_no_rows(columns: pa.Schema | None, categorical: tuple[str, ...]) -> Accumulator:
    if columns is None:
        states = [generator.create_accumulator() for generator in _generators(categorical)]
        return Accumulator(states, None, categorical)
    empty = pa.RecordBatch.from_arrays([pa.array([], column.type) for column in columns], schema=columns)
    return added(None, empty, categorical)


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; the manifest names it: ingest the examples again") from error
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read as Parquet: {error}; ingest the examples again") from error


def options(categorical: tuple[str, ...] = ()) -> StatsOptions:
    """Returns TFDV's options for all statistics here.

    Args:
        categorical: Columns of whole numbers that are counted by value, as text is.
    """
    return StatsOptions(schema=categories.as_schema(categorical), num_quantiles_histogram_buckets=QUANTILE_BUCKETS)


def _generators(categorical: tuple[str, ...]) -> list[Any]:
    return stats_impl.get_generators(options(categorical), in_memory=True)
