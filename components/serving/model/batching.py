"""Concurrent requests as one call of the model: sixteen rows take little longer than one.

A request never waits for others unless it is told to: what arrived in the same turn of the event loop, or while the
model was busy, goes together. A delay gathers more where the model is slow and the traffic thin.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from mainspring.components.common.errors import UserError
from mainspring.components.serving.model.signature import Matrices, Outputs

MOST_ROWS = 4096
"""In a batch; beyond, a call's time grows with its rows."""

LONGEST_DELAY = 1.0

ROWS_VARIABLE = "MAINSPRING_BATCH_ROWS"
DELAY_VARIABLE = "MAINSPRING_BATCH_DELAY_MS"


@dataclass(frozen=True)
class Limits:
    """How requests are gathered."""

    rows: int = 64
    """In a batch; 1: every request by itself. A larger request is a batch of its own, in a thread."""
    delay_seconds: float = 0.0
    """How long a request may wait for others."""


def limits(rows: str = "", delay_ms: str = "") -> Limits:
    """Returns the limits as they are given, or else as `$MAINSPRING_BATCH_ROWS` and `$MAINSPRING_BATCH_DELAY_MS` say.

    Raises:
        UserError: They are no numbers, or out of bounds.
    """
    said = (rows or os.environ.get(ROWS_VARIABLE, ""), delay_ms or os.environ.get(DELAY_VARIABLE, ""))
    try:
        found = Limits(int(said[0] or Limits.rows), float(said[1] or Limits.delay_seconds * 1000) / 1000)
    except ValueError as error:
        raise UserError(f"batch_rows {said[0]!r}, batch_delay_ms {said[1]!r}: expected numbers") from error
    if not 1 <= found.rows <= MOST_ROWS:
        raise UserError(f"batch_rows {found.rows}: expected 1 (no batching) to {MOST_ROWS}")
    if not 0 <= found.delay_seconds <= LONGEST_DELAY:
        raise UserError(f"batch_delay_ms {found.delay_seconds * 1000:g}: expected 0 to {LONGEST_DELAY * 1000:g}")
    return found


@dataclass(frozen=True)
class _Waiting:
    matrices: Matrices
    rows: int
    answer: asyncio.Future[Outputs]


@dataclass
class Batcher:
    """Gathers requests for one model; to be used in one event loop."""

    run: Callable[[Matrices], Outputs]
    """The model's call."""
    limits: Limits = Limits()
    in_loop: bool = True
    """Whether batches run in the event loop: for models so quick that a hop to a thread costs more than they do."""
    seen: Callable[[int], None] = lambda rows: None
    """Told the rows of each call."""
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _rows: int = 0
    _coming: asyncio.Handle | None = None
    _busy: bool = False
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "batches"))

    async def answer(self, matrices: Matrices) -> Outputs:
        """Returns the model's answer to a request's rows, alone or in company.

        Raises:
            Exception: What the model raises on these rows; the others of a batch do not meet it.
        """
        rows = matrices[0].shape[1]
        if rows > self.limits.rows and (rows > 1 or not self.in_loop):
            self.seen(rows)
            return await asyncio.to_thread(self.run, matrices)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(matrices, rows, loop.create_future())
        self._waiting.append(waiting)
        self._rows += rows
        if self._rows >= self.limits.rows:
            self._flush()
        elif self._coming is None:
            delay = self.limits.delay_seconds
            self._coming = loop.call_later(delay, self._flush) if delay else loop.call_soon(self._flush)
        return await waiting.answer

    def _flush(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None
        while self._waiting and not self._busy:
            batch = self._taken()
            self.seen(sum(one.rows for one in batch))
            if self.in_loop:
                _settle(batch, _answers(self.run, batch))
            else:
                self._busy = True
                loop = asyncio.get_running_loop()
                done = loop.run_in_executor(self._thread, _answers, self.run, batch)
                done.add_done_callback(lambda done, batch=batch: self._settled(batch, done))  # type: ignore[misc]

    def _settled(self, batch: list[_Waiting], done: asyncio.Future[list[Outputs | Exception]]) -> None:
        self._busy = False
        _settle(batch, done.result())
        self._flush()

    def _taken(self) -> list[_Waiting]:
        """Returns the next batch, without requests whose clients have gone."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting and (not batch or rows + self._waiting[0].rows <= self.limits.rows):
            one = self._waiting.popleft()
            self._rows -= one.rows
            if not one.answer.done():
                batch.append(one)
                rows += one.rows
        return batch


def _answers(run: Callable[[Matrices], Outputs], batch: Sequence[_Waiting]) -> list[Outputs | Exception]:
    """Returns each request's answer, or what the model says against it."""
    if not batch:
        return []
    parts = [one.matrices for one in batch]
    together = parts[0] if len(parts) == 1 else [np.concatenate(group, axis=1) for group in zip(*parts, strict=True)]
    try:
        outputs = run(together)
    except Exception as error:  # Whatever it is, it belongs to a request and not to the event loop.
        if len(batch) == 1:
            return [error]
        return [answer for one in batch for answer in _answers(run, [one])]
    if len(batch) == 1:
        return [outputs]
    ends = np.cumsum([one.rows for one in batch])[:-1]
    split = {name: np.split(values, ends) for name, values in outputs.items()}
    return [{name: values[place] for name, values in split.items()} for place in range(len(batch))]


def _settle(batch: Sequence[_Waiting], answers: Sequence[Outputs | Exception]) -> None:
    for one, answer in zip(batch, answers, strict=True):
        if one.answer.done():
            continue
        if isinstance(answer, Exception):
            one.answer.set_exception(answer)
        else:
            one.answer.set_result(answer)
