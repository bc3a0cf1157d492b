"""Connections on which no request comes: uvicorn waits for the end of a request's headers as long as a client likes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

REQUEST_SECONDS = 90.0
"""How long a connection may be open, or be done with its last request, before the headers of the next have come. More
than the server keeps an idle connection: a request on one that was idle for as long as it may be gets the rest."""

CHECKS = 10
"""In that time. A check looks at every connection, and costs requests nothing."""

clock = time.monotonic
"""What tells the seconds that a connection has waited."""


async def close(connections: Collection[Any]) -> None:
    """Closes stalled connections until it is cancelled.

    Args:
        connections: uvicorn's protocols, as its server state holds them: with `transport`, and in `cycle` the request
            whose headers came last, or None.
    """
    waiting: dict[Any, tuple[Any, float]] = {}
    while True:
        await asyncio.sleep(REQUEST_SECONDS / CHECKS)
        now, before, waiting = clock(), waiting, {}
        for connection in list(connections):
            last = getattr(connection, "cycle", None)  # A web socket has none, and nothing here speaks to it.
            if last is not None and not last.response_complete:
                continue
            known, since = before.get(connection, (last, now))
            # One that was answered in between is another wait.
            since = since if known is last else now
            waiting[connection] = last, since
            if now - since > REQUEST_SECONDS:
                connection.transport.close()
