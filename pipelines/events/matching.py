"""Which span an object belongs to: its URI held against a source's pattern."""

from __future__ import annotations

import os

from mainspring.components.common.found_files import as_regex
from mainspring.components.ingestion.sources.file import is_data, is_elsewhere
from mainspring.components.ingestion.spans.found import ALL, DATE_PARTS, PLACEHOLDERS, key_of, name_of


def span_of(uri: str, pattern: str) -> str:
    """Returns the name of the span that an object belongs to; empty if it is none of the pattern's.

    Args:
        uri: The object's, or a path on this machine.
        pattern: A source, such as `gs://team/raw/{YYYY}/{MM}/{DD}/*.csv`.
    """
    wanted = pattern if is_elsewhere(pattern) else os.path.abspath(pattern)  # noqa: PTH100 (it may hold wildcards)
    if uri.endswith("/") or not is_data(uri.partition("://")[2] or uri, wanted.partition("://")[2] or wanted):
        return ""
    found = as_regex(wanted, PLACEHOLDERS).fullmatch(uri)
    if found is None:
        is_below = "{" not in wanted and uri.startswith(f"{wanted.rstrip('/')}/")
        return ALL if is_below else ""
    key = key_of(found.groupdict())
    depth = sum(f"{{{part}}}" in pattern for part in DATE_PARTS)
    return "" if key is None else name_of(key, depth)
