"""Writes payload records as KServe's logger does, in batches, off the path of the requests that it logs.

A full queue drops records rather than holding up a request or taking memory; what is dropped is counted and said.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mainspring.components.common.payloads import payload_records
from mainspring.components.common.payloads.payload_records import PayloadRecord

Store = Callable[[str, bytes], None]
"""Publishes a file under a relative name, whole or not at all; raises OSError or UserError where it cannot."""


@dataclass(frozen=True)
class Limits:
    """What the log may take."""

    batch_records: int = 500
    """Records in a file."""
    batch_bytes: int = 8 << 20
    """Bytes of bodies in a file, about."""
    interval_seconds: float = 5.0
    """How long a record waits for a batch to fill."""
    waiting_bytes: int = 64 << 20
    """Bytes of bodies that wait to be written; more are dropped."""


class PayloadLog:
    """A bounded queue and the thread that empties it. Close it, and everything that was taken is written."""

    def __init__(self, store: Store, limits: Limits | None = None, form: str = payload_records.JSON) -> None:
        self._store, self._limits, self._form = store, limits or Limits(), form
        self._queue: queue.SimpleQueue[PayloadRecord | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self.written = 0
        """Records that were published."""
        self.dropped = 0
        """Records that were not: the queue was full, or the store refused them."""
        self._thread = threading.Thread(target=self._run, name="payload-log", daemon=True)
        self._thread.start()

    def add(self, *records: PayloadRecord) -> bool:
        """Takes the records to be written, all or, when the queue is full, none; returns which."""
        size = sum(map(_cost, records))
        with self._lock:
            if self._waiting + size > self._limits.waiting_bytes:
                self.dropped += len(records)
                return False
            self._waiting += size
        for record in records:
            self._queue.put(record)
        return True

    def close(self, seconds: float = 20.0) -> None:
        """Writes what waits, and ends; gives up after some seconds."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        closing = False
        while not closing:
            first = self._queue.get()
            if first is None:
                return
            batch, closing = self._gather(first)
            self._write(batch)

    def _gather(self, first: PayloadRecord) -> tuple[list[PayloadRecord], bool]:
        batch, size = [first], _cost(first)
        deadline = time.monotonic() + self._limits.interval_seconds
        while len(batch) < self._limits.batch_records and size < self._limits.batch_bytes:
            try:
                record = self._queue.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                break
            if record is None:
                return batch, True
            batch.append(record)
            size += _cost(record)
        return batch, False

    def _write(self, batch: list[PayloadRecord]) -> None:
        dropped = 0
        try:
            content = payload_records.as_file(batch, self._form)
            self._store(payload_records.file_name(batch[0], self._form), content)
        except Exception as error:  # Whatever a store raises must not end the log, nor the server that it belongs to.
            dropped = len(batch)
            print(f"payload log: {dropped} records are lost: {error}", file=sys.stderr, flush=True)
        with self._lock:
            self._waiting -= sum(map(_cost, batch))
            self.written += len(batch) - dropped
            self.dropped += dropped


def folder_store(folder: Path, keep_bytes: int) -> Store:
    """Returns a store that writes files into a folder, and removes the oldest beyond a size.

    Args:
        folder: Made when the first file is written.
        keep_bytes: What all files together may take.
    """
    kept: list[tuple[Path, int]] = []
    for path in sorted(
        (path for form in (payload_records.JSON, payload_records.CSV) for path in folder.rglob(f"*.{form}")),
        key=_modified,
    ):
        with contextlib.suppress(OSError):
            kept.append((path, path.stat().st_size))

    def store(name: str, content: bytes) -> None:
        path = folder / name
        if path.exists():  # An id that came twice must not cost the earlier batch.
            path = path.with_name(f"{path.stem}-{time.time_ns()}{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=".part.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
        kept.append((path, len(content)))
        while len(kept) > 1 and sum(size for _, size in kept) > keep_bytes:
            kept.pop(0)[0].unlink(missing_ok=True)

    return store


def _modified(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _cost(record: PayloadRecord) -> int:
    return len(record.body) + 1024  # Its other fields, and Python's objects around them.
