"""Starts trainings in processes of their own without paying TensorFlow's import for each.

It imports once and forks for each JSON line on standard input: `{"log": PATH, …train_model's arguments}`. The answer is
the child's exit status. The parent never runs an operation of TensorFlow's, so that a child starts as a fresh
interpreter would after its imports.

With `"signal": [EVENT, TIMES, SIGNAL]` the child sends itself a signal when something of `EVENTS` happens for the n-th
time: where it is hit depends on what it does, and not on how fast this machine is.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from samples import Recorder

from mainspring.components.common.errors import UserError
from mainspring.components.training import train_model as training
from mainspring.components.training.choosing import network_fitting
from mainspring.components.training.features import surveying
from mainspring.components.training.fitting import loop, progress
from mainspring.components.training.resuming.checkpoints import Checkpoints

EVENTS = {
    "preparing begins": (network_fitting, "prepare", False),
    "steps begin": (loop._Run, "_some_steps", False),
    "steps are done": (loop._Run, "_some_steps", True),
    "an epoch is over": (progress.Watch, "epoch_ended", True),
    "a checkpoint is half-written": (Path, "replace", False),
    "a checkpoint is saved": (Checkpoints, "save", True),
    "publishing begins": (training, "publish", False),
}
"""What a signal can come at: a function, and whether it comes after it rather than before."""


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def signal_at(event: str, times: int, number: int) -> None:
    """Has this process send itself a signal when an event happens for the n-th time."""
    holder, name, comes_after = EVENTS[event]
    function, count = getattr(holder, name), itertools.count(1)

    def counted(*arguments: Any, **named: Any) -> Any:
        is_now = next(count) == times
        if is_now and not comes_after:
            os.kill(os.getpid(), number)
        result = function(*arguments, **named)
        if is_now and comes_after:
            os.kill(os.getpid(), number)
        return result

    setattr(holder, name, counted)


def run(order: dict) -> None:
    log = os.open(order.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if "signal" in order:
        signal_at(*order.pop("signal"))
    surveying.RESIDENT_CELLS = order.pop("resident_cells", surveying.RESIDENT_CELLS)
    status = 0
    try:
        training.train_model(metrics=Recorder(), **order)
    except SystemExit as ended:
        status = int(ended.code or 0)
    except UserError as error:
        print(error, flush=True)
        status = 1
    except BaseException:
        traceback.print_exc()
        status = 70
    os._exit(status)


if __name__ == "__main__":
    main()
