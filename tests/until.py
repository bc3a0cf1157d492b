"""Waiting in tests until something is so, however long a machine takes; pytest's time limit ends what never comes."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.02


def until(is_so: Callable[[], object], can_come: Callable[[], object] = lambda: True) -> None:
    """Returns once something is so.

    Args:
        is_so: Whether it is.
        can_come: Whether it still can be; a process that ended, for example, will say nothing more.
    """
    while not is_so():
        assert can_come() or is_so(), "what was waited for can no longer come"
        time.sleep(POLL_SECONDS)
