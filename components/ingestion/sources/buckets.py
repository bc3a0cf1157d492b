"""Sources in buckets: which objects a pattern means."""

from __future__ import annotations

import re
from pathlib import Path

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.common.found_files import as_regex
from mainspring.components.ingestion.sources.file import File, format_of, is_data


def list_objects(pattern: str) -> list[File]:
    """Returns the objects that a glob matches, or that lie under a folder and can be read by their ending, by name.

    Raises:
        UserError: The bucket is not there or may not be read.
    """
    scheme, path = pattern[:5], pattern[5:]
    bucket = path.partition("/")[0]
    if not bucket or re.search(r"[*?\[]", bucket):
        raise UserError(f"{pattern}: names no bucket; say {scheme}bucket/folder/file-{{SPAN}}.parquet")
    prefix = re.split(r"[*?\[]", path.partition("/")[2])[0]
    found = [
        File(each.uri, each.size, each.generation)
        for each in buckets.list_objects(f"{scheme}{bucket}", prefix.rstrip("/"))
    ]
    if not re.search(r"[*?\[]", path):
        folder = pattern.rstrip("/") + "/"
        below = [file for file in found if file.uri.startswith(folder) and format_of(file.uri)]
        below = [file for file in below if is_data(file.uri.removeprefix(folder), "")]
        return [file for file in found if file.uri == pattern] + below
    matches = as_regex(pattern, {}).fullmatch
    return [file for file in found if matches(file.uri) and is_data(file.uri, pattern)]


def download(file: File, target: Path) -> None:
    """Copies an object, in the generation in which it was found, to a local file.

    Raises:
        UserError: It is gone or was rewritten, or may not be read.
    """
    buckets.download(buckets.Object(file.uri, file.size, file.generation), target)
