"""Loading beside live traffic: imports and graphs take seconds of processor time that requests must not wait for."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NICENESS = 5
"""A third of the share of a thread that serves, where both want the processor."""

Result = TypeVar("Result")


def run(work: Callable[[], Result]) -> Result:
    """Returns what the work returns, done in a thread that gives way to others.

    A process could be made nice, but never again as quick as the rest without privileges. Linux knows niceness by
    thread: the one that loads ends, those that serve were never nice. Elsewhere the work is done as it would be anyway.
    """
    with ThreadPoolExecutor(1, "loading", initializer=_give_way) as loader:
        return loader.submit(work).result()


def _give_way() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
