"""Arrivals that wait for their run: each is written down before it is acknowledged, and started once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster.rest import Unreachable
from mainspring.pipelines.events.arrivals import Arrival

QUEUED, DONE, FAILED = "queued", "done", "failed"
AGAIN_SECONDS = 30.0
"""Between two attempts to reach a cluster that does not answer."""


@dataclass(frozen=True)
class Entry:
    """One arrival, and what became of it."""

    uri: str
    content: str
    span: str
    state: str
    """`queued`, `done` or `failed`."""
    at: str
    """When it arrived here; ISO 8601, UTC."""
    run: str = ""
    says: str = ""


@dataclass(frozen=True)
class Started:
    """How the run of a span went."""

    run: str
    is_success: bool
    says: str = ""


class Queue:
    """The arrivals of one pipeline, on a path or in a bucket; runs are made one after the other."""

    def __init__(self, place: str, run: Callable[[str], Started], say: Callable[[str], None] = print) -> None:
        """Reads what was left from before: what was acknowledged and not yet run is run now.

        Args:
            place: A folder or a bucket's URI.
            run: Runs a span to its end.
            say: Is told what happens.
        """
        self._place, self._run, self._say = place.rstrip("/"), run, say
        self._change = threading.Condition()
        self._over = False
        self._waiting: dict[str, list[Entry]] = {}
        for entry in self._left():
            self._waiting.setdefault(entry.span, []).append(entry)
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._thread.start()

    def accept(self, arrival: Arrival, span: str) -> bool:
        """Writes an arrival down; returns whether it is news. The same content at the same place is none.

        What failed before is tried again when it is told again.

        Raises:
            UserError: It cannot be written down: whoever sent the event must send it again.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        entry = Entry(arrival.uri, arrival.content, span, QUEUED, now)
        with self._change:
            before = self._read(_key(entry))
            if before is not None and before.state != FAILED:
                return False
            if not self._write(entry, is_new=before is None):
                return False
            self._waiting.setdefault(span, []).append(entry)
            self._change.notify_all()
        return True

    def wait_until_idle(self) -> None:
        """Waits until every arrival has been run."""
        with self._change:
            self._change.wait_for(lambda: not self._waiting)

    def close(self) -> None:
        """Stops after the run that is under way; what waits is run when a receiver starts again."""
        with self._change:
            self._over = True
            self._change.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._over)
                if self._over:
                    return
                span = next(iter(self._waiting))
                # All of them are read by the same run; what arrives while it runs waits for the next one.
                entries = list(self._waiting[span])
            ended = self._started(span)
            if ended is None:
                return
            with self._change:
                for entry in entries:
                    state = DONE if ended.is_success else FAILED
                    self._write(replace(entry, state=state, run=ended.run, says=ended.says), is_new=False)
                left = [entry for entry in self._waiting[span] if entry not in entries]
                del self._waiting[span]
                if left:
                    self._waiting[span] = left
                self._change.notify_all()

    def _started(self, span: str) -> Started | None:
        """Runs a span; None: the receiver ends before the cluster answered, and the span still waits."""
        self._say(f"span {span}: its run begins")
        while True:
            try:
                ended = self._run(span)
            except Unreachable as error:
                # Nobody sends the event again: it was acknowledged.
                self._say(f"span {span}: is tried again: {error}")
                with self._change:
                    if self._change.wait_for(lambda: self._over, AGAIN_SECONDS):
                        return None
                continue
            except UserError as error:
                ended = Started("", False, str(error))
            break
        self._say(f"span {span}: {'ended well' if ended.is_success else 'failed'} {ended.run} {ended.says}".rstrip())
        return ended

    def _left(self) -> list[Entry]:
        if buckets.is_bucket(self._place):
            names = [found.uri.rpartition("/")[2] for found in buckets.list_objects(self._place)]
        else:
            names = [path.name for path in Path(self._place).glob("*.json")]
        found = [entry for name in names if (entry := self._read(name.removesuffix(".json")))]
        return sorted((entry for entry in found if entry.state == QUEUED), key=lambda entry: entry.at)

    def _read(self, key: str) -> Entry | None:
        place = f"{self._place}/{key}.json"
        try:
            content = buckets.read(place) if buckets.is_bucket(place) else Path(place).read_bytes()
            return Entry(**json.loads(content))
        except (buckets.NotFound, FileNotFoundError):
            return None
        except (ValueError, TypeError) as error:
            raise UserError(f"{place}: is no arrival ({error}); remove it") from error

    def _write(self, entry: Entry, is_new: bool) -> bool:
        """Writes an entry; returns whether nobody was faster."""
        place = f"{self._place}/{_key(entry)}.json"
        text = json.dumps(asdict(entry), indent=2)
        if not buckets.is_bucket(place):
            storage.write_atomically(Path(place), text)
            return True
        there = None if is_new else buckets.stat(place)
        try:
            if there:
                buckets.replace(there, text.encode())
            else:
                buckets.create(place, text.encode())
        except buckets.AlreadyExists:
            return False
        return True


def _key(entry: Entry) -> str:
    return hashlib.sha256(f"{entry.uri}\n{entry.content}".encode()).hexdigest()[:32]
