"""Train's and eval's rows as a tree learner takes them: raw values in memory, and the label as its targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mainspring.components.common.errors import UserError
from mainspring.components.training.features.labels import LabelSpec, LabelValues, describe_label, labelled, targets
from mainspring.components.training.features.preprocessing import RawColumns, raw_columns
from mainspring.components.training.features.surveying import RESIDENT_CELLS, sampled_rows
from mainspring.components.training.rows.examples import count_rows
from mainspring.components.training.rows.preparing import Examples


@dataclass(frozen=True)
class TableRows:
    """Some rows of a table."""

    columns: RawColumns
    targets: np.ndarray
    """[rows], from `labels.targets`."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.targets)

    def take(self, places: np.ndarray) -> TableRows:
        """Returns the rows at these places."""
        categories = tuple(column.take(pa.array(places)) for column in self.columns.categories)
        return TableRows(RawColumns(self.columns.numbers[places], categories), self.targets[places])


@dataclass(frozen=True)
class TrainRows:
    """What trees learn from."""

    table: TableRows
    label: LabelSpec
    class_rows: tuple[int, ...]
    """Rows of each class in the whole of train."""
    labelled_rows: int
    """Of the whole of train."""


def read_train(examples: Examples, task: str, seed: int) -> TrainRows:
    """Reads train's rows with a label: all, or an even sample of a table that does not fit in memory.

    Args:
        examples: From `open_examples`.
        task: One of the tasks, or `auto`.
        seed: Of the sample.

    Raises:
        UserError: The label cannot be learned, or a file cannot be read.
    """
    rows = count_rows(examples.folder, "train", examples.manifest)
    labels = LabelValues()
    table = _read(examples, "train", rows, seed, labels)
    kind, is_boolean = examples.manifest.columns[examples.label], examples.label in examples.manifest.booleans
    label = describe_label(examples.label, kind, labels, task, is_boolean)
    if table.num_rows < labels.count:
        print(f"trees learn from {table.num_rows:,} of {labels.count:,} rows", flush=True)
    class_rows = tuple(labels.rows[value] for value in sorted(labels.rows)) if label.classes else ()
    return TrainRows(_table_rows(examples, table, label), label, class_rows, labels.count)


def read_eval(examples: Examples, label: LabelSpec, seed: int) -> tuple[TableRows, pa.Table]:
    """Reads eval's rows whose label train has, a sample where they are many; returns them, and one row as it is.

    Raises:
        UserError: There is none.
    """
    rows = count_rows(examples.folder, "eval", examples.manifest)
    table = _read(examples, "eval", rows, seed, LabelValues())
    known = np.flatnonzero(targets(table[label.name], label) >= 0) if label.classes else np.arange(len(table))
    table = table.take(pa.array(known))
    if not len(table):
        raise UserError(
            f"examples: eval has no row with a known {label.name!r}; raise eval_fraction in ingest_examples"
        )
    return _table_rows(examples, table, label), table.slice(0, 1)


def _read(examples: Examples, split: str, rows: int, seed: int, labels: LabelValues) -> pa.Table:
    """Returns the sampled rows with a label, and counts all labels."""
    chosen = sampled_rows(rows, max(RESIDENT_CELLS // len(examples.columns), 1), seed)
    parts, seen = [], 0
    for batch in examples.batches(split):
        labels.add(batch[examples.label])
        if len(chosen) < rows:
            some = chosen[np.searchsorted(chosen, seen) : np.searchsorted(chosen, seen + len(batch))] - seen
            seen += len(batch)
            batch = batch.take(pa.array(some))
        parts.append(batch.filter(labelled(batch[examples.label])))
    return pa.concat_tables(parts, promote_options="permissive")


def _table_rows(examples: Examples, table: pa.Table, label: LabelSpec) -> TableRows:
    return TableRows(raw_columns(table, examples.features), targets(table[label.name], label))
