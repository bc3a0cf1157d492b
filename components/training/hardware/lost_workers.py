"""A worker that dies or never comes: the others end in one line that names it, with the status of a retry."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator

import tensorflow as tf

from mainspring.components.common.errors import RetriableError
from mainspring.components.training.hardware.devices import CLUSTER_VARIABLE

_TASK = re.compile(r"/job:(?P<kind>\w+)/replica:\d+/task:(?P<number>\d+)")

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)
"""What TensorFlow raises where a collective operation or the coordination service misses a worker."""

_SIGNS = (
    "/job:",
    "collective",
    "connection",
    "coordination",
    "heartbeat",
    "peer",
    "remote",
    "socket",
    "unavailable",
    "worker",
)
"""Words of their messages: an error of the model itself has none."""


@contextlib.contextmanager
def as_one_line() -> Iterator[None]:
    """Has the loss of another worker end the block as a `RetriableError`; alone, this does nothing.

    Raises:
        RetriableError: Another worker is gone, or did not come.
    """
    try:
        yield
    except _LOST as error:
        if not os.environ.get(CLUSTER_VARIABLE) or not any(sign in str(error).lower() for sign in _SIGNS):
            raise
        raise RetriableError(
            f"{_named(str(error))} is gone, or never came: {' '.join(str(error.message).split())[:160]}; "
            "this worker ends as well; start all of them again"
        ) from error


def _named(message: str) -> str:
    """Returns which other worker an error speaks of, as `TF_CONFIG` names it."""
    try:
        config = json.loads(os.environ[CLUSTER_VARIABLE])
        cluster, task = config["cluster"], config["task"]
    except (ValueError, KeyError, TypeError):
        return "another worker"
    own = (str(task.get("type")), int(task.get("index", 0)))
    others = [
        (kind, number, address)
        for kind, addresses in cluster.items()
        for number, address in enumerate(addresses)
        if (kind, number) != own
    ]
    said = {(found["kind"], int(found["number"])) for found in _TASK.finditer(message)} - {own}
    meant = [each for each in others if each[:2] in said or each[2] in message]
    chosen = meant or others
    if len(chosen) == 1:
        kind, number, address = chosen[0]
        return f"{kind} {number} ({address})"
    return f"one of {', '.join(f'{kind} {number}' for kind, number, _ in chosen)}"
