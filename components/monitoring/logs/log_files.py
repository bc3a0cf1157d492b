"""Which files hold a window's records: a file, a folder, or a pattern, on a path or in a bucket."""

from __future__ import annotations

from mainspring.components.common import buckets, found_files, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.found_files import FoundFile

ENDINGS = (".parquet", ".csv", ".json", ".jsonl", ".ndjson")


def find(logs: str, since: float) -> list[FoundFile]:
    """Returns the files that may hold records since a time, oldest first: no record in a file is later than the file.

    A folder that is there and holds no file yet is a quiet one.

    Raises:
        UserError: There is no such folder, or nothing matches the pattern.
    """
    found = found_files.find(logs, ENDINGS)
    if not found and not (not buckets.is_bucket(logs) and storage.as_path(logs).is_dir()):
        raise UserError(f"logs={logs!r}: holds no {', '.join(ENDINGS)}; give the folder or pattern that KServe logs to")
    return sorted((file for file in found if file.modified >= since), key=lambda file: (file.modified, file.uri))
