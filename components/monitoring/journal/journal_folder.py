"""Where the journal lies: a folder, or one in a bucket, of which the newest part is copied here and written back."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mainspring.components.common import buckets, storage

WINDOWS, DECISIONS = "windows", "decisions"

WINDOWS_READ = 60
"""Of a bucket's journal, the newest windows that are copied; decisions all are."""


def beside(version_uri: str) -> str:
    """Returns the journal's place in the bucket that holds a version; empty where the version lies on a path.

    A pod keeps no folder, so what watches a version in a bucket writes there too.
    """
    if not buckets.is_bucket(version_uri):
        return ""
    root, name, _ = version_uri.rstrip("/").rsplit("/", 2)
    return buckets.join(root, ".monitoring", name)


@contextmanager
def opened(journal: str, name: str) -> Iterator[Path]:
    """Yields the journal's folder here; changes to a copy go back to its bucket when the block ends well.

    Args:
        journal: A path, `gs://…` or `s3://…`; empty: the local root's `monitoring/<name>`.
        name: The endpoint's.

    Raises:
        UserError: The bucket cannot be read or written, or another run changed the same file meanwhile.
    """
    if not buckets.is_bucket(journal):
        yield storage.as_path(journal).absolute() if journal else storage.local_root() / "monitoring" / name
        return
    objects = {place: one for one in buckets.list_objects(journal) if (place := _place(journal, one.uri))}
    keys = sorted({place.parts[1] for place in objects if place.parts[0] == WINDOWS})[-WINDOWS_READ:]
    with tempfile.TemporaryDirectory(prefix="mainspring-journal-") as temporary:
        folder, before = Path(temporary), {}
        for place, one in objects.items():
            if place.parts[0] == DECISIONS or place.parts[1] in keys:
                buckets.download(one, folder / place)
                before[place] = _digest(folder / place)
        yield folder
        after = {
            PurePosixPath(path.relative_to(folder).as_posix()): path for path in folder.rglob("*") if path.is_file()
        }
        # Findings last: a window without them is none.
        for place in sorted(after, key=lambda place: (place.suffix == ".json", place)):
            if _digest(after[place]) == before.get(place):
                continue
            if place in objects:
                buckets.replace(objects[place], after[place].read_bytes())
            else:
                buckets.create(buckets.join(journal, str(place)), after[place].read_bytes())
        buckets.delete([objects[place] for place in before if place not in after])


def _place(journal: str, uri: str) -> PurePosixPath | None:
    """Returns an object's place in the journal; None for what is none of it."""
    place = PurePosixPath(uri.removeprefix(journal.rstrip("/") + "/"))
    depth = {WINDOWS: 3, DECISIONS: 2}.get(place.parts[0] if place.parts else "", 0)
    return place if len(place.parts) == depth and ".." not in place.parts else None


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
