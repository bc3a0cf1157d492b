"""A step that is cancelled takes with it what it had submitted."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

CANCELLED_STATUS = 128 + signal.SIGTERM


@contextlib.contextmanager
def removing_when_cancelled(what: str, remove: Callable[[], None]) -> Iterator[None]:
    """Removes what was submitted where SIGTERM or Ctrl-C ends the block.

    Raises:
        SystemExit: The step was told to end; what it had submitted is gone.
    """

    def cancel(*_: Any) -> None:
        raise SystemExit(CANCELLED_STATUS)

    previous = signal.signal(signal.SIGTERM, cancel)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(f"cancelled: removing {what}", flush=True)
        remove()
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
