"""A step that is cancelled takes its rollout back: SIGTERM, which Kubernetes sends half a minute before it kills.

The signal only leaves a word. Whoever waits looks for it (`check`), so that no write is cut in two.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from mainspring.components.common.errors import UserError

_asked = threading.Event()


class Cancelled(UserError):
    """Somebody ended the step."""


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Within, SIGTERM is heard by whoever waits; a second one ends the process as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread hears signals.
        return

    def note(*_: int | FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        _asked.set()

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _asked.clear()


def check(title: str) -> None:
    """Looks for a signal; one is heard once, for what takes a rollout back must wait as well.

    Args:
        title: What is waited for, for the message.

    Raises:
        Cancelled: There was one.
    """
    if _asked.is_set():
        _asked.clear()
        raise Cancelled(f"{title}: the step was cancelled")
