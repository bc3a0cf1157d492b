"""One at a time: a lease on something that only one run may change at once, here or in a bucket.

On this machine it is a locked file, which is free as soon as its process has ended, however it ended. In a bucket it is
an object that its holder writes anew again and again: once it is not renewed for `LIFE_SECONDS`, anybody may take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import RetriableError, UserError

WAIT, FAIL = "wait", "fail"
LIFE_SECONDS = 120.0
"""Between the last renewal and the moment from which others may take the lease."""
RENEW_SECONDS = 20.0
LOOK_SECONDS = 2.0
"""Between two looks at a lease that somebody else holds."""


@contextlib.contextmanager
def held(
    place: str,
    what: str,
    holder: str,
    *,
    if_busy: str = WAIT,
    say: Callable[[str], None] = print,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Holds a lease.

    Args:
        place: A file here, or an object's URI in a bucket.
        what: What it is on, for messages.
        holder: Who holds it, for messages.
        if_busy: `wait` until it is free, or `fail`.
        say: Is told once that somebody else holds it.
        wait: Waits for so many seconds.

    Raises:
        RetriableError: Somebody else holds it, and that is not to be waited for.
        UserError: The place cannot be written.
    """
    if if_busy not in (WAIT, FAIL):
        raise UserError(f"if_busy {if_busy!r}: must be {WAIT!r} or {FAIL!r}")
    take = _in_bucket if buckets.is_bucket(place) else _here
    told = False
    while True:
        with contextlib.ExitStack() as stack:
            other = take(place, what, holder, stack)
            if not other:
                yield
                return
        if if_busy == FAIL:
            raise RetriableError(f"{what}: {other} is under way; run again when that has ended")
        if not told:
            say(f"{what}: waiting for {other} to end")
            told = True
        wait(LOOK_SECONDS)


def _here(place: str, what: str, holder: str, stack: contextlib.ExitStack) -> str:
    """Locks a file for as long as the stack is open; returns who holds it if somebody else does."""
    path = Path(place)
    with storage.full_disks_as_user_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(path.open("a+"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        return file.read().strip() or "another run"
    file.truncate(0)
    file.write(holder)
    file.flush()
    return ""


def _in_bucket(place: str, what: str, holder: str, stack: contextlib.ExitStack) -> str:
    """Writes a lease object and renews it for as long as the stack is open; returns who holds it otherwise."""
    mine = uuid.uuid4().hex
    there = buckets.stat(place)
    try:
        if there is None:
            ours = buckets.create(place, _content(mine, holder))
        else:
            told = _read(place)
            if float(told.get("until", 0)) > time.time():
                return str(told.get("holder") or "another run")
            ours = buckets.replace(there, _content(mine, holder))
    except (buckets.AlreadyExists, buckets.NotFound):
        # Somebody was faster; or it was us, and the answer was lost.
        again = buckets.stat(place)
        told = _read(place)
        if again is None or told.get("id") != mine:
            return str(told.get("holder") or "another run")
        ours = again
    renewal = _Renewal(place, mine, holder, ours)
    stack.callback(renewal.end)
    renewal.start()
    return ""


class _Renewal(threading.Thread):
    """Writes a lease anew until it is ended, and then removes it."""

    def __init__(self, place: str, mine: str, holder: str, ours: buckets.Object) -> None:
        super().__init__(name="lease", daemon=True)
        self._place, self._mine, self._holder, self._ours = place, mine, holder, ours
        self._over = threading.Event()

    def run(self) -> None:
        """Renews the lease; one that somebody else has taken meanwhile is theirs."""
        while not self._over.wait(RENEW_SECONDS):
            try:
                self._ours = buckets.replace(self._ours, _content(self._mine, self._holder))
            except (buckets.AlreadyExists, buckets.NotFound):
                there = buckets.stat(self._place)
                if there is None or _read(self._place).get("id") != self._mine:
                    return
                self._ours = there  # The answer to our own writing was lost.
            except UserError:  # The bucket does not answer now; the lease still has some time to live.
                continue

    def end(self) -> None:
        """Stops renewing and gives the lease back."""
        self._over.set()
        self.join()
        with contextlib.suppress(UserError):
            if _read(self._place).get("id") == self._mine and (there := buckets.stat(self._place)):
                buckets.delete([there])


def _content(mine: str, holder: str) -> bytes:
    until = time.time() + LIFE_SECONDS
    said = datetime.fromtimestamp(until, timezone.utc).isoformat(timespec="seconds")
    return json.dumps({"id": mine, "holder": holder, "until": until, "until_utc": said}).encode()


def _read(place: str) -> dict[str, Any]:
    try:
        content = json.loads(buckets.read(place))
    except buckets.NotFound:
        return {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
