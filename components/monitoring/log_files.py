"""Which files hold a window's records: a file, a folder, or a pattern, on a path or in a bucket."""

from __future__ import annotations

import fnmatch
import glob
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.common import buckets, storage
from mainspring.components.common.buckets import Object
from mainspring.components.common.errors import UserError

ENDINGS = (".parquet", ".csv", ".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class LogFile:
    """A file of records."""

    uri: str
    found: Object | None
    """Where it lies in a bucket."""
    modified: float
    """Seconds since the epoch; no record in it is later."""


def find(logs: str, since: float) -> list[LogFile]:
    """Returns the files that may hold records since a time, oldest first.

    Raises:
        UserError: There is no such folder, or nothing matches the pattern.
    """
    found = _in_bucket(logs) if buckets.is_bucket(logs) else _on_path(logs)
    if not found:
        raise UserError(f"logs={logs!r}: holds no {', '.join(ENDINGS)}; give the folder or pattern that KServe logs to")
    return sorted((file for file in found if file.modified >= since), key=lambda file: (file.modified, file.uri))


@contextmanager
def local(file: LogFile) -> Iterator[Path]:
    """Yields the file here; one from a bucket is copied, and removed again."""
    if file.found is None:
        yield storage.as_path(file.uri)
        return
    with tempfile.TemporaryDirectory(prefix="mainspring-log-") as folder:
        target = Path(folder) / "records"
        buckets.download(file.found, target)
        yield target


def _in_bucket(logs: str) -> list[LogFile]:
    pattern = fnmatch.translate(logs) if set(logs) & set("*?[") else ""
    # A pattern is matched here; what stands before its first wildcard is what the bucket is asked for.
    folder = re.split(r"[*?\[]", logs)[0].rpartition("/")[0] if pattern else logs.rstrip("/")
    found = [one for one in buckets.list_objects(folder) if not pattern or re.match(pattern, one.uri)]
    if not found and (lone := buckets.stat(logs)):
        found = [lone]
    return [LogFile(one.uri, one, one.modified) for one in found if one.uri.endswith(ENDINGS)]


def _on_path(logs: str) -> list[LogFile]:
    path = storage.as_path(logs)
    if path.is_dir():
        paths = [one for one in path.rglob("*") if not one.name.startswith(".")]
    elif path.is_file():
        paths = [path]
    else:
        paths = [Path(one) for one in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - a pattern may be absolute
    found = []
    for one in paths:
        try:
            stat = one.stat()
        except OSError:  # Rotated away since it was listed.
            continue
        if one.is_file() and one.name.endswith(ENDINGS):
            found.append(LogFile(str(one), None, stat.st_mtime))
    return found
