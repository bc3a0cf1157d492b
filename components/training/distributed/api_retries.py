"""Calls to the Kubernetes API that outlast its hiccups, through an SDK that wraps failures in errors of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

LONGEST_SECONDS = 300.0
"""How long one call is tried again: an API server's upgrade takes minutes."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
PASSING = (401, 408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may be gone the next time; 401, because a service account's token is renewed from a file."""

Answer = TypeVar("Answer")


def persistently(call: Callable[[], Answer], longest: float | None = None) -> Answer:
    """Returns what a call returns, and repeats it while it fails by what may pass: resets, timeouts, 429, 5xx.

    Args:
        call: May be done more than once.
        longest: Seconds after which the failure is passed on; None: five minutes.
    """
    deadline, wait = time.monotonic() + (longest or LONGEST_SECONDS), FIRST_WAIT
    while True:
        try:
            return call()
        except Exception as error:
            asked = max(wait, _wait_asked_for(error))
            if not is_passing(error) or time.monotonic() + asked > deadline:
                raise
            print(f"the Kubernetes API does not answer ({reason(error)}); trying again in {asked:.0f} s", flush=True)
        time.sleep(asked)
        wait = min(2 * wait, LONGEST_WAIT)


def status(error: BaseException) -> int:
    """Returns the HTTP status that an error comes from; 0 if it comes from none."""
    found = [getattr(cause, "status", None) for cause in _causes(error)]
    return next((code for code in found if isinstance(code, int)), 0)


def is_passing(error: BaseException) -> bool:
    """Returns whether an error may be gone the next time."""
    from urllib3.exceptions import HTTPError

    if status(error):
        return status(error) in PASSING
    return any(isinstance(cause, (HTTPError, ConnectionError, TimeoutError)) for cause in _causes(error))


def reason(error: BaseException) -> str:
    """Returns the innermost cause in a few words."""
    last = _causes(error)[-1]
    found = status(error)
    return f"HTTP {found}" if found else f"{type(last).__name__}: {' '.join(str(last).split())[:120]}"


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (cause := found[-1].__cause__) and cause not in found:
        found.append(cause)
    return found


def _wait_asked_for(error: BaseException) -> float:
    for cause in _causes(error):
        asked = (getattr(cause, "headers", None) or {}).get("Retry-After", "")
        if asked.isdigit():
            return min(float(asked), LONGEST_WAIT)
    return 0.0
