"""What people were told before: the same trouble is no news, that it lasts is news once, and so is its end."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError


@dataclass(frozen=True)
class Since:
    """How a run's end stands to the ones before."""

    words: str
    """`still, since 2026-11-30, 3 runs` or `well again after 3 runs`; empty: it is new, or nothing is remembered."""
    is_silent: bool
    """Whether people know already."""
    place: str
    """Where it is remembered; empty: nowhere."""
    content: dict[str, Any] | None
    """What to remember; None: forget."""

    def remember(self) -> None:
        """Writes it down."""
        if not self.place:
            return
        found = buckets.stat(self.place) if buckets.is_bucket(self.place) else None
        if self.content is None:
            if found:
                buckets.delete([found])
            elif not buckets.is_bucket(self.place):
                storage.as_path(self.place).unlink(missing_ok=True)
            return
        text = json.dumps(self.content, indent=2)
        if not buckets.is_bucket(self.place):
            storage.write_atomically(storage.as_path(self.place), text)
        elif found:
            buckets.replace(found, text.encode())
        else:
            buckets.create(self.place, text.encode())


def judge(memory: str, title: str, trouble: str) -> Since:
    """Compares a run's trouble with what people were told last; a silent one is counted at once.

    Args:
        memory: Folder or bucket; empty: nothing is remembered.
        title: Whose runs these are.
        trouble: What is wrong; empty: nothing.

    Raises:
        UserError: The memory cannot be read.
    """
    if not memory:
        return Since("", False, "", None)
    place = f"{memory.rstrip('/')}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', title) or 'mainspring'}.json"
    before = _read(place)
    if not trouble:
        return Since(f"well again after {_runs(before['runs'])}" if before else "", False, place, None)
    # Numbers change from run to run: rows, seconds, a date.
    kind = re.sub(r"\d+([.,:-]\d+)*", "N", trouble)
    if not before or before["kind"] != kind:
        today = datetime.now(timezone.utc).date().isoformat()
        return Since("", False, place, {"kind": kind, "since": today, "runs": 1, "told": 1})
    runs = before["runs"] + 1
    words = f"still, since {before['since']}, {_runs(runs)}"
    is_silent = before["told"] > 1
    since = Since(words, is_silent, place, before | {"runs": runs, "told": 2})
    if is_silent:
        since.remember()
    return since


def _read(place: str) -> dict[str, Any]:
    try:
        text = buckets.read(place) if buckets.is_bucket(place) else storage.as_path(place).read_bytes()
        content = json.loads(text)
        return content if {"kind", "since", "runs", "told"} <= content.keys() else {}
    except (buckets.NotFound, FileNotFoundError):
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"memory: {place}: cannot be read ({error}); delete it") from error


def _runs(count: int) -> str:
    return f"{count} run{'s' if count > 1 else ''}"
