"""Spans: the portions in which data arrives, found by a pattern with a number or a date in it."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.found_files import as_regex
from mainspring.components.ingestion.sources.file import File, is_elsewhere
from mainspring.components.ingestion.sources.files import list_files, nearest

ALL = "all"

DATE_PARTS = ("YYYY", "MM", "DD", "HH")
"""A pattern's date is the first one, two, three or four of these."""

PLACEHOLDERS = {
    "SPAN": "[0-9]{1,18}",
    "YYYY": "[0-9]{4}",
    "MM": "[0-9]{2}",
    "DD": "[0-9]{2}",
    "HH": "[0-9]{2}",
    "VERSION": "[0-9]{1,18}",
    "SPLIT": "train|eval",
}
"""What may stand in braces in a pattern, and what it matches."""

_FORMATS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H")


@dataclass(frozen=True)
class Span:
    """One portion of the data."""

    name: str
    """The number without leading zeros, the date (`2026-11`, `2026-11-30`, `2026-11-30T05`), or `all`."""
    files: tuple[File, ...]
    """Sorted by name; of the highest version only."""


def find_spans(source: str) -> list[Span]:
    """Returns the spans that the source's files make, oldest first.

    Args:
        source: A file, a folder, or a pattern with `*`, `?`, `**` and `PLACEHOLDERS`.

    Raises:
        UserError: Nothing matches, or the pattern is not understood.
    """
    pattern = source if is_elsewhere(source) else str(storage.as_path(source))
    if not pattern or pattern == ".":
        raise UserError("source is empty; give a path or a pattern such as data/flights-{SPAN}.parquet")
    used = _check_placeholders(source, pattern)
    files = list_files(re.sub(r"\{[A-Z]+\}", "*", pattern) if used else pattern)
    if not files:
        raise UserError(f"{source}: no file matches; {nearest(pattern)}")
    if not used:
        return [Span(ALL, tuple(files))]
    regex = as_regex(pattern, PLACEHOLDERS)
    found: dict[int | datetime | str, dict[int, list[File]]] = {}
    for file in files:
        if (match := regex.fullmatch(file.uri)) and (key := key_of(match.groupdict())) is not None:
            side = match.groupdict().get("SPLIT", "")
            of_version = found.setdefault(key, {}).setdefault(int(match.groupdict().get("VERSION", 0)), [])
            of_version.append(dataclasses.replace(file, side=side))
    if not found:
        stands = " and ".join(f"{{{name}}}" for name in used)
        raise UserError(f"{source}: {len(files)} files match, but none has a number or date where {stands} stands")
    depth = sum(part in used for part in DATE_PARTS)
    return [Span(name_of(key, depth), tuple(versions[max(versions)])) for key, versions in sorted(found.items())]  # type: ignore[type-var]


def name_of(key: int | datetime | str, depth: int) -> str:
    """Returns a span's name; a date is written to so many of its parts."""
    return key.strftime(_FORMATS[depth - 1]) if isinstance(key, datetime) else str(key)


def fingerprint_files(spans: Sequence[Span]) -> str:
    """Returns `sha256:<hex>` over the files' names, sizes and generations."""
    digest = hashlib.sha256()
    for file in (file for span in spans for file in span.files):
        digest.update(f"{file.uri}\0{file.size}\0{file.generation}\0".encode(errors="surrogateescape"))
    return f"sha256:{digest.hexdigest()}"


def _check_placeholders(source: str, pattern: str) -> list[str]:
    used = list(dict.fromkeys(re.findall(r"\{([A-Z]+)\}", pattern)))
    unknown = [name for name in used if name not in PLACEHOLDERS]
    if unknown:
        raise UserError(f"{source}: {{{unknown[0]}}} is not known; known are {', '.join(PLACEHOLDERS)}")
    dates = [part for part in DATE_PARTS if part in used]
    if dates != list(DATE_PARTS[: len(dates)]):
        raise UserError(f"{source}: a date needs its larger parts too: {{YYYY}}, then {{MM}}, {{DD}}, {{HH}}")
    if dates and "SPAN" in used:
        raise UserError(f"{source}: spans are numbered by {{SPAN}} or by date, not by both")
    return used


def key_of(found: dict[str, str]) -> int | datetime | str | None:
    """Returns what orders the spans; None for what is no date, such as the 31st of June."""
    if "SPAN" in found:
        return int(found["SPAN"])
    if "YYYY" not in found:
        return ALL
    try:
        year, month, day, hour = (int(found.get(part, least)) for part, least in zip(DATE_PARTS, "0110", strict=True))
        return datetime(year, month, day, hour)
    except ValueError:
        return None
