"""A source's files: found by a glob here or in a bucket, with what tells one state of a file from another."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from mainspring.components.common import storage
from mainspring.components.ingestion.sources.file import BIGQUERY, File, format_of, is_data, is_in_bucket


def list_files(pattern: str) -> list[File]:
    """Returns the files that a glob matches, or that lie in a folder and can be read by their ending, by name.

    Args:
        pattern: A file, a folder, or a glob with `*`, `?`, `[…]` or `**`; here or in a bucket. Files that are no data
            by their names, as `is_data` says, are left out; a file that is named itself is read.
    """
    if is_in_bucket(pattern):
        # Imported only here: a client of a cloud costs a second that local files need not wait for.
        from mainspring.components.ingestion.sources import buckets

        return buckets.list_objects(pattern)
    if pattern.startswith(BIGQUERY):
        from mainspring.components.ingestion.sources import bigquery

        return bigquery.list_tables(pattern)
    path = storage.as_path(pattern)
    if path.is_dir():
        readable = [name for name in sorted(path.rglob("*")) if name.is_file() and format_of(str(name))]
        return [_file(name) for name in readable if is_data(str(name.relative_to(path)), "")]
    if path.is_file():  # Its name may hold brackets or stars.
        return [_file(path)]
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    return [_file(name) for name in sorted(map(Path, names)) if name.is_file() and is_data(str(name), str(path))]


def nearest(pattern: str) -> str:
    """Returns what there is where a pattern finds nothing, in words."""
    if is_in_bucket(pattern):
        return "check the bucket's name and the pattern"
    if pattern.startswith(BIGQUERY):
        return "check the table's name and the pattern"
    folder = Path(re.split(r"[*?{\[]", pattern)[0])
    folder = folder if folder.is_dir() else folder.parent
    while not folder.is_dir() and folder.parent != folder:
        folder = folder.parent
    names = sorted(path.name for path in folder.iterdir())[:3]
    return f"{folder} holds {', '.join(names)}{', …' if len(names) == 3 else ''}" if names else f"{folder} is empty"


def _file(path: Path) -> File:
    status = path.stat()
    return File(str(path), status.st_size, str(status.st_mtime_ns))
