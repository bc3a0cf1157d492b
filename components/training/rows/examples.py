"""Reading the examples artifact: a split's files as a stream of Arrow tables, so that no table need fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ExamplesManifest
from mainspring.components.training.features.tf_examples import NO_INTEGER, first_values

BATCH_ROWS = 65_536
READ_BYTES = 1 << 16
"""Of a column at a time; without it, a whole row group is in memory, however large the writer made it."""
TFRECORD = (".tfrecord", ".tfrecord.gz")
TF_KINDS = {"int64": tf.int64, "double": tf.float32, "string": tf.string}


def split_files(folder: Path, split: str) -> list[Path]:
    """Returns a split's files by name: Parquet, or TFRecord of tf.Example.

    Raises:
        UserError: There is none.
    """
    files = sorted(
        path for path in (folder / split).glob("*") if path.name.endswith((".parquet", *TFRECORD)) and path.is_file()
    )
    if not files:
        raise UserError(f"examples: {folder / split} holds no Parquet files; run ingest_examples again")
    return files


def count_rows(folder: Path, split: str, manifest: ExamplesManifest) -> int:
    """Returns how many rows a split has: what Parquet's footers say, else what the manifest says."""
    files = split_files(folder, split)
    if any(path.name.endswith(TFRECORD) for path in files):
        return manifest.rows.get(split, 0)
    total = 0
    for path in files:
        with _opened(path) as file:
            total += file.metadata.num_rows
    return total


def read_batches(folder: Path, split: str, manifest: ExamplesManifest, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yields the named columns of a split's rows, a bounded number at a time, in the order of the files' names.

    Args:
        folder: The examples artifact.
        split: `train` or `eval`.
        manifest: The artifact's manifest, which says the columns' types.
        columns: The columns wanted.

    Raises:
        UserError: A column is in no file, the split has no files, or a file cannot be read.
    """
    missing = [column for column in columns if column not in manifest.columns]
    if missing:
        raise UserError(
            f"schema: feature {missing[0]!r} is not a column of the examples {folder}; "
            "validate these examples, and train with the schema that belongs to them"
        )
    for path in split_files(folder, split):
        if path.name.endswith(TFRECORD):
            yield from _read_tfrecord(path, {column: manifest.columns[column] for column in columns})
        else:
            yield from _read_parquet(path, list(columns))


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, "Parquet", error) from error


def _read_parquet(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    with _opened(path) as file:
        absent = [column for column in columns if column not in file.schema_arrow.names]
        if absent:
            raise UserError(
                f"examples: {path} has no column {absent[0]!r}, which the manifest names; run ingest_examples again"
            )
        try:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield pa.Table.from_batches([batch]).select(columns)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, "Parquet", error) from error


def _read_tfrecord(path: Path, types: dict[str, str]) -> Iterator[pa.Table]:
    kinds = {name: TF_KINDS[kind] for name, kind in types.items()}
    records = tf.data.TFRecordDataset(str(path), compression_type="GZIP" if path.name.endswith(".gz") else "")
    try:
        for values in records.batch(BATCH_ROWS).map(lambda examples: first_values(examples, kinds)):
            yield pa.table({name: _as_arrow(values[name].numpy(), kind) for name, kind in types.items()})
    except tf.errors.OpError as error:
        raise _unreadable(path, "TFRecord of tf.Example", error) from error


def _as_arrow(values: np.ndarray, kind: str) -> pa.Array:
    if kind == "int64":
        return pa.array(values, pa.int64(), mask=values == NO_INTEGER)
    if kind == "double":
        return pa.array(values.astype(np.float64), from_pandas=True)
    return pa.array([value.decode("utf-8", "replace") or None for value in values.tolist()], pa.string())


def _unreadable(path: Path, form: str, error: Exception) -> UserError:
    return UserError(f"examples: {path} cannot be read as {form} ({error}); run ingest_examples again")
