"""Reading the examples artifact: a split's Parquet files as one Arrow table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ExamplesManifest


def read_split(folder: Path, split: str, manifest: ExamplesManifest, columns: list[str]) -> pa.Table:
    """Reads the named columns of all of a split's files.

    Args:
        folder: The examples artifact.
        split: `train` or `eval`.
        manifest: The artifact's manifest, which says the columns.
        columns: The columns wanted.

    Returns:
        One table, its rows in the order of the files' names.

    Raises:
        UserError: A column is in no file, the split has no files, or a file cannot be read.
    """
    missing = [column for column in columns if column not in manifest.columns]
    if missing:
        raise UserError(
            f"schema: feature {missing[0]!r} is not a column of the examples {folder}; "
            "validate these examples, and train with the schema that belongs to them"
        )
    files = sorted((folder / split).glob("*.parquet"))
    if not files:
        raise UserError(f"examples: {folder / split} holds no Parquet files; run ingest_examples again")
    return pa.concat_tables([_read_file(file, columns) for file in files])


def _read_file(file: Path, columns: list[str]) -> pa.Table:
    try:
        table = pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"examples: {file} cannot be read as Parquet ({error}); run ingest_examples again") from error
    absent = [column for column in columns if column not in table.column_names]
    if absent:
        raise UserError(
            f"examples: {file} has no column {absent[0]!r}, which the manifest names; run ingest_examples again"
        )
    return table.select(columns)
