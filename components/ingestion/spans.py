"""Spans: the numbered portions in which data arrives, found by a pattern with `{SPAN}`, chosen by a short grammar."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError

SPAN = "{SPAN}"
ALL = "all"
LATEST = "latest"
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
"""The endings of files that can be read."""

MOST_NAMED = 5
"""So many missing spans an error names."""


@dataclass(frozen=True)
class Span:
    """One portion of the data."""

    name: str
    """The span's number without leading zeros, or `all` for a source without `{SPAN}`."""
    files: tuple[Path, ...]
    """Sorted by name."""


def find_spans(source: str) -> list[Span]:
    """Returns the spans that the source's files make, oldest first.

    Args:
        source: A file, a folder, or a pattern with `{SPAN}`, `*`, `?` or `**`.

    Raises:
        UserError: Nothing matches, or a matching file cannot be read by its ending.
    """
    pattern = str(storage.as_path(source))
    if not pattern or pattern == ".":
        raise UserError("source is empty; give a path or a pattern such as data/flights-{SPAN}.parquet")
    if pattern.count(SPAN) > 1:
        raise UserError(f"{source}: {SPAN} may stand only once in a pattern")
    files = _files(pattern)
    if not files:
        raise UserError(f"{source}: no file matches; {_nearest(pattern)}")
    if SPAN not in pattern:
        return [Span(ALL, tuple(files))]
    numbered = re.compile(_as_regex(pattern))
    by_number: dict[int, list[Path]] = {}
    for file in files:
        if match := numbered.fullmatch(str(file)):
            by_number.setdefault(int(match["span"]), []).append(file)
    if not by_number:
        raise UserError(f"{source}: {len(files)} files match, but none has a number where {SPAN} stands")
    return [Span(str(number), tuple(by_number[number])) for number in sorted(by_number)]


def select_spans(spans: list[Span], selection: str, window: int = 1) -> list[Span]:
    """Returns the chosen spans, oldest first.

    Args:
        spans: From `find_spans`.
        selection: `latest`, a number, a range such as `1-6`, a list such as `1,3-5`, or `all`.
        window: With `latest` or one number: that span and those before it that there are, this many at most.

    Raises:
        UserError: The selection is malformed or names a span that is not there.
    """
    if window < 1:
        raise UserError(f"window is {window}; it must be 1 or more")
    if selection == ALL or [span.name for span in spans] == [ALL]:
        return spans
    if selection == LATEST:
        return spans[-window:]
    ranges = _ranges(selection)
    present = {int(span.name): span for span in spans}
    missing = [number for first, last in ranges for number in islice(_absent(first, last, present), MOST_NAMED + 1)]
    if missing:
        named = ", ".join(map(str, missing[:MOST_NAMED]))
        raise UserError(
            f"span {named}{' and more' if len(missing) > MOST_NAMED else ''} is not there; "
            f"the source has {in_words(spans)}"
        )
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return [span for span in spans if int(span.name) <= ranges[0][0]][-window:]
    return [span for span in spans if any(first <= int(span.name) <= last for first, last in ranges)]


def in_words(spans: list[Span]) -> str:
    """Returns the selection that names these spans, such as `1-3,7` or `all`; `select_spans` reads it."""
    if [span.name for span in spans] == [ALL]:
        return ALL
    runs: list[list[int]] = []
    for number in (int(span.name) for span in spans):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def fingerprint_files(spans: list[Span]) -> str:
    """Returns `sha256:<hex>` over the files' paths, sizes and modification times."""
    digest = hashlib.sha256()
    for file in (file for span in spans for file in span.files):
        status = file.stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return f"sha256:{digest.hexdigest()}"


def _ranges(selection: str) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for part in selection.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise UserError(f"span {selection!r} is not understood; say latest, all, 7, 1-6 or 1,3-5")
        ranges.append((int(match[1]), int(match[2] or match[1])))
    return ranges


def _absent(first: int, last: int, present: Container[int]) -> Iterator[int]:
    return (number for number in range(first, last + 1) if number not in present)


def _files(pattern: str) -> list[Path]:
    if Path(pattern).is_dir():
        return _files_of(Path(pattern))
    if Path(pattern).is_file():  # Its name may hold brackets or stars.
        return _readable([Path(pattern)])
    return _matches(pattern)


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))


def _matches(pattern: str) -> list[Path]:
    names = glob.glob(pattern.replace(SPAN, "*"), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    return _readable([file for file in sorted(Path(name) for name in names) if file.is_file()])


def _readable(files: list[Path]) -> list[Path]:
    for file in files:
        if not file.name.lower().endswith(SUFFIXES):
            raise UserError(f"{file}: cannot be read by its ending; the endings known are {', '.join(SUFFIXES)}")
    return files


def _as_regex(pattern: str) -> str:
    """Translates the pattern so that `{SPAN}` captures digits; the wildcards are those of `glob`."""
    pieces = re.split(r"(\{SPAN\}|\*\*/|\*|\?|\[[^\]]*\])", pattern)
    known = {SPAN: r"(?P<span>[0-9]+)", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(piece, _class(piece) if piece.startswith("[") else re.escape(piece)) for piece in pieces)


def _class(piece: str) -> str:
    inner = piece[1:-1].replace("\\", r"\\")
    return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"


def _nearest(pattern: str) -> str:
    folder = Path(pattern.split("*")[0].split(SPAN)[0])
    folder = folder if folder.is_dir() else folder.parent
    while not folder.is_dir():
        if folder.parent == folder:
            break
        folder = folder.parent
    names = sorted(path.name for path in folder.iterdir())[:3]
    return f"{folder} holds {', '.join(names)}{', …' if len(names) == 3 else ''}" if names else f"{folder} is empty"
