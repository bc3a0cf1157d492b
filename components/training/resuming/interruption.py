"""SIGTERM, as a spot node's notice and Kubernetes' own: taken down, and answered between two steps."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mainspring.components.training.hardware.devices import Hardware

TERMINATED_STATUS = 128 + signal.SIGTERM
"""What a shell says of a process that SIGTERM ended: worth another try."""


class Interrupted(SystemExit):
    """The process was told to end; a module's own `sys.exit` is another matter."""


@dataclass
class Interruption:
    """Whether the process was told to end."""

    is_asked: bool = False
    is_awaited: bool = False
    """Whether somebody looks at `is_asked` between two steps; where nobody does, the process ends at once."""
    status: int = TERMINATED_STATUS
    """To exit with."""

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Leaves it to the block to look at `is_asked`."""
        self.is_awaited = True
        try:
            yield
        finally:
            self.is_awaited = False

    def agreed(self, is_due: bool, hardware: Hardware) -> tuple[bool, bool]:
        """Returns whether a checkpoint is due and whether to end, the same on every worker: where it is so on any."""
        if hardware.workers == 1:
            return is_due, self.is_asked
        flags = tf.constant([float(is_due), float(self.is_asked)])
        strategy = hardware.strategy
        due, ends = strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(_own, args=(flags,)), axis=None).numpy()
        return bool(due), bool(ends)


@contextlib.contextmanager
def noticing_termination(is_wanted: bool) -> Iterator[Interruption]:
    """Yields what SIGTERM will be noted in; outside the main thread, and where not wanted, it stays what it was.

    Raises:
        Interrupted: SIGTERM came while nobody waited for it.
    """
    interruption = Interruption()
    if not is_wanted:
        yield interruption
        return

    def note(*_: Any) -> None:
        interruption.is_asked = True
        if not interruption.is_awaited:
            raise Interrupted(interruption.status)

    try:
        previous = signal.signal(signal.SIGTERM, note)
    except ValueError:  # Not the main thread: whoever owns the signals keeps them.
        yield interruption
        return
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, previous)


@tf.function
def _own(flags: tf.Tensor) -> tf.Tensor:
    return tf.identity(flags)
