"""One file of a source: what is known of it, its format, and whether it lies here, in a bucket or in BigQuery."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FORMATS = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "jsonl": (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"),
    "tfrecord": (".tfrecord", ".tfrecord.gz", ".tfrecords", ".tfrecords.gz"),
}
"""The endings of each format's files."""

BIGQUERY = "bq://"


@dataclass(frozen=True)
class File:
    """One file of a source, as it was when it was found."""

    uri: str
    size: int
    """Bytes."""
    generation: str
    """Changes when the file is rewritten: nanoseconds of its modification here, its generation in a bucket."""
    side: str = ""
    """`train` or `eval` where the source gives the split, else empty."""


def format_of(uri: str) -> str:
    """Returns the format that a file's ending names; empty if it names none. BigQuery's rows come as Parquet."""
    if uri.startswith(BIGQUERY):
        return "parquet"
    return next((name for name, endings in FORMATS.items() if uri.lower().endswith(endings)), "")


def is_in_bucket(uri: str) -> bool:
    """Returns whether the URI names something in object storage."""
    return uri.startswith(("gs://", "s3://"))


def is_elsewhere(uri: str) -> bool:
    """Returns whether the URI names something that has to be fetched before it can be read."""
    return is_in_bucket(uri) or uri.startswith(BIGQUERY)


def exactly(path: Path) -> str:
    """Returns the glob that means this file alone: brackets, stars and question marks are part of its name."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
