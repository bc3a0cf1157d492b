"""One file of a source: what is known of it, its format, and whether it lies here, in a bucket or in BigQuery."""

from __future__ import annotations

import fnmatch
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

_ASIDE = (".", "_", "~$")
"""How the names of files and folders begin that are no data."""

_UNFINISHED = (".crc", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".bak", "~")
"""How the names of files end that are no data."""


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


def is_data(name: str, pattern: str) -> bool:
    """Returns whether a file found by a folder or a glob is data, by its name.

    Hidden files (`.part-0.csv`), those that writers leave aside (`_temporary/0/part-0.csv`, `_SUCCESS`), lock files of
    office programs (`~$a.csv`), checksums and unfinished copies are none.

    Args:
        name: The file's path or URI, or its path below the folder.
        pattern: The glob that found it: what it spells out itself (`_old/*.csv`) is taken. Empty: nothing is.
    """
    asked = [part for part in pattern.split("/") if part.startswith(_ASIDE)]
    aside = [part for part in name.split("/") if part.startswith(_ASIDE) and part not in (".", "..")]
    if not all(any(fnmatch.fnmatchcase(part, one) and part[0] == one[0] for one in asked) for part in aside):
        return False
    return not name.lower().endswith(_UNFINISHED) or name.rpartition(".")[2] == pattern.rpartition(".")[2]


def exactly(path: Path) -> str:
    """Returns the glob that means this file alone: brackets, stars and question marks are part of its name."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
