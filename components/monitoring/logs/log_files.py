"""Which files hold a window's records: a file, a folder, or a pattern, on a path or in a bucket."""

from __future__ import annotations

from mainspring.components.common import found_files
from mainspring.components.common.errors import UserError
from mainspring.components.common.found_files import FoundFile

ENDINGS = (".parquet", ".csv", ".json", ".jsonl", ".ndjson")


def find(logs: str, since: float) -> list[FoundFile]:
    """Returns the files that may hold records since a time, oldest first: no record in a file is later than the file.

    Raises:
        UserError: There is no such folder, or nothing matches the pattern.
    """
    found = found_files.find(logs, ENDINGS)
    if not found:
        raise UserError(f"logs={logs!r}: holds no {', '.join(ENDINGS)}; give the folder or pattern that KServe logs to")
    return sorted((file for file in found if file.modified >= since), key=lambda file: (file.modified, file.uri))
