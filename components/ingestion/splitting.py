"""Rows to their side as they stream by: hashed, split, counted and written, a few batches in memory at a time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mainspring.components.ingestion.hashing import Hashes, row_hashes

TRAIN, EVAL = "train", "eval"

ROW_GROUP = 122_880
"""Rows of a batch, and at least so many of a row group in the files (DuckDB's own size)."""

_HASHING = 2
"""Threads that hash; numpy and Arrow let go of Python's lock while they work."""

_AHEAD = 3
"""Batches that wait while earlier ones are written: they bound the memory."""

_ARROW = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}

Sides = Callable[[pa.RecordBatch, Hashes], npt.NDArray[np.bool_]]
"""Tells of a batch and its rows' hashes which rows go to eval."""


@dataclass(frozen=True)
class Content:
    """What a set of rows is, whatever their order; the contents of two sets add up."""

    rows: int = 0
    total: int = 0
    """The sum of the rows' hashes, modulo 2⁶⁴."""
    parity: int = 0
    """The exclusive or of the rows' hashes."""

    def __add__(self, other: Content) -> Content:
        """Returns the content of both sets together."""
        return Content(self.rows + other.rows, (self.total + other.total) % 2**64, self.parity ^ other.parity)


def by_hash(eval_fraction: float, split_columns: Sequence[str]) -> Sides:
    """Returns what puts rows into eval whose hash lies below that share of all hashes.

    Args:
        eval_fraction: In (0, 1).
        split_columns: Columns whose values decide; empty: all columns.
    """
    threshold = np.uint64(int(eval_fraction * 2**64))

    def sides(batch: pa.RecordBatch, hashes: Hashes) -> npt.NDArray[np.bool_]:
        return (row_hashes(batch, split_columns) if split_columns else hashes) < threshold

    return sides


def by_source_row(eval_fraction: float, column: str) -> Sides:
    """Returns what puts rows into eval whose source row's hash, in that column, lies below the share of all hashes."""
    threshold = np.uint64(int(eval_fraction * 2**64))
    return lambda batch, _: batch.column(column).to_numpy(zero_copy_only=False) < threshold


def by_time(time_column: str, cut: int | float | str) -> Sides:
    """Returns what puts rows into eval whose time is `cut` or later."""
    return lambda batch, _: pc.greater_equal(batch.column(time_column), cut).to_numpy(zero_copy_only=False)


def all_to(side: str) -> Sides:
    """Returns what puts all rows to one side: `train` or `eval`."""
    return lambda batch, _: np.full(batch.num_rows, side == EVAL)


def write_splits(
    batches: Iterable[pa.RecordBatch], columns: Mapping[str, str], sides: Sides, targets: Mapping[str, Path]
) -> dict[str, Content]:
    """Writes each row to train or eval, in the order in which the rows come.

    Args:
        batches: In the columns and types of `columns`, and what else `sides` looks at.
        columns: `int64`, `double` or `string` by name.
        sides: Tells which rows go to eval.
        targets: The Parquet file to write, by split; rows of other splits are left out.

    Returns:
        What was written, by split.

    Raises:
        OSError: A file cannot be written.
    """
    names = list(columns)

    def prepare(batch: pa.RecordBatch) -> dict[str, tuple[pa.RecordBatch, Content]]:
        hashes = row_hashes(batch, names)
        in_eval = sides(batch, hashes)
        return {
            split: (batch.select(names).filter(pa.array(chosen)), _content_of(hashes[chosen]))
            for split, chosen in ((TRAIN, ~in_eval), (EVAL, in_eval))
            if split in targets
        }

    schema = pa.schema([(name, _ARROW[kind]) for name, kind in columns.items()])
    content = {split: Content() for split in targets}
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(_HASHING))
        files = {split: stack.enter_context(_file(schema, target)) for split, target in targets.items()}
        for parts in _in_order(pool, prepare, batches):
            for split, (rows, part) in parts.items():
                files[split](rows)
                content[split] += part
    return content


def _content_of(hashes: Hashes) -> Content:
    return Content(len(hashes), int(hashes.sum(dtype=np.uint64)), int(np.bitwise_xor.reduce(hashes, initial=0)))


Prepared = dict[str, tuple[pa.RecordBatch, Content]]


def _in_order(
    pool: ThreadPoolExecutor, prepare: Callable[[pa.RecordBatch], Prepared], batches: Iterable[pa.RecordBatch]
) -> Iterator[Prepared]:
    waiting: deque[Future[Prepared]] = deque()
    for batch in batches:
        waiting.append(pool.submit(prepare, batch))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextlib.contextmanager
def _file(schema: pa.Schema, target: Path) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Yields a function that adds rows to the file; a thread of its own encodes a row group while the next fills."""
    filling: list[pa.RecordBatch] = []
    with pq.ParquetWriter(target, schema, write_statistics=False) as writer, ThreadPoolExecutor(1) as pool:
        pending: Future[None] | None = None

        def flush() -> None:
            nonlocal pending
            if pending:
                pending.result()
            pending = pool.submit(writer.write_table, pa.Table.from_batches(filling, schema))
            filling.clear()

        def add(rows: pa.RecordBatch) -> None:
            if rows.num_rows:
                filling.append(rows)
            if sum(part.num_rows for part in filling) >= ROW_GROUP:
                flush()

        yield add
        if filling:
            flush()
        if pending:
            pending.result()
