"""One training in a process of its own, which may be told to end: `train_once:main ORDER`, as JSON."""

from __future__ import annotations

import json
import os
import sys

from samples import Recorder
from trainer_server import signal_at

from mainspring.components.training.train_model import train_model

TOLD_TO_END = "TOLD_TO_END"
"""A variable: the event, its number and the signal of `trainer_server.signal_at`, as JSON."""


def main() -> None:
    """Trains by the order that is the one argument, and says at the end whether operations kept to one order."""
    if TOLD_TO_END in os.environ:
        signal_at(*json.loads(os.environ[TOLD_TO_END]))
    train_model(metrics=Recorder(), **json.loads(sys.argv[1]))
    from tensorflow.python.framework import config

    print(f"deterministic: {config.is_op_determinism_enabled()}")
