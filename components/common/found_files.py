"""Files that a text names: one, those under a folder, or those that a pattern matches; on a path or in a bucket."""

from __future__ import annotations

import glob
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.common import buckets, storage
from mainspring.components.common.buckets import Object
from mainspring.components.common.errors import UserError

WILDCARDS = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class FoundFile:
    """A file as it was found."""

    uri: str
    found: Object | None
    """Where it lies in a bucket."""
    modified: float
    """Seconds since the epoch."""


def find(source: str, endings: Sequence[str]) -> list[FoundFile]:
    """Returns the files of certain endings that a text names, by URI; none where there is nothing.

    Args:
        source: A file, a folder, or a pattern with `*`, `?`, `[…]` or `**`.
        endings: In lower case, such as `.parquet`.

    Raises:
        UserError: The bucket is not there, may not be read, or does not answer.
    """
    found = _in_bucket(source) if buckets.is_bucket(source) else _on_path(source)
    return sorted((file for file in found if file.uri.lower().endswith(tuple(endings))), key=lambda file: file.uri)


@contextmanager
def local(file: FoundFile) -> Iterator[Path]:
    """Yields the file here; one from a bucket is copied, and removed again.

    What goes wrong with the copy is said of the file that was found: nobody knows the copy's path.

    Raises:
        UserError: It is gone or was rewritten, may not be read, or the disk is full.
    """
    if file.found is None:
        yield storage.as_path(file.uri)
        return
    with tempfile.TemporaryDirectory(prefix="mainspring-file-") as folder:
        target = Path(folder) / file.uri.rpartition("/")[2]
        buckets.download(file.found, target)
        try:
            yield target
        except UserError as error:
            raise UserError(str(error).replace(str(target), file.uri)) from error


def as_regex(pattern: str, placeholders: dict[str, str]) -> re.Pattern[str]:
    """Translates a glob to a regular expression.

    Args:
        pattern: The wildcards are those of `glob`.
        placeholders: A regular expression by name for each `{NAME}`; the first one captures under its name, the next
            ones match the same text again.
    """
    seen: set[str] = set()

    def translated(piece: str) -> str:
        name = piece[1:-1]
        if piece.startswith("{") and name in placeholders:
            again = name in seen
            seen.add(name)
            return f"(?P={name})" if again else f"(?P<{name}>{placeholders[name]})"
        if piece.startswith("[") and piece.endswith("]"):
            inner = name.replace("\\", r"\\")
            return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
        return {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(piece) or re.escape(piece)

    return re.compile("".join(map(translated, re.split(r"(\{[A-Z]+\}|\*\*/|\*|\?|\[[^\]]*\])", pattern))))


def _in_bucket(source: str) -> list[FoundFile]:
    _, name = buckets.split(source)
    if name and (lone := buckets.stat(source.rstrip("/"))):  # Its name may hold brackets or stars.
        return [FoundFile(lone.uri, lone, lone.modified)]
    # A pattern is matched here; the folder before its first wildcard is what the bucket is asked for.
    is_pattern = bool(WILDCARDS.search(source))
    folder = WILDCARDS.split(source)[0].rpartition("/")[0] if is_pattern else source.rstrip("/")
    matches = as_regex(source, {}).fullmatch if is_pattern else bool
    return [FoundFile(each.uri, each, each.modified) for each in buckets.list_objects(folder) if matches(each.uri)]


def _on_path(source: str) -> list[FoundFile]:
    path = storage.as_path(source)
    if path.is_dir():
        paths = [one for one in path.rglob("*") if not one.name.startswith(".")]
    elif path.is_file():
        paths = [path]
    else:
        paths = [Path(one) for one in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - a pattern may be absolute
    found = []
    for one in paths:
        try:
            modified = one.stat().st_mtime
        except OSError:  # Removed since it was listed.
            continue
        if one.is_file():
            found.append(FoundFile(str(one), None, modified))
    return found
