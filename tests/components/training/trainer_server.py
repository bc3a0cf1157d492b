"""Starts trainings in processes of their own without paying TensorFlow's import for each.

It imports once and forks for each JSON line on standard input: `{"log": PATH, …train_model's arguments}`. The answer is
the child's process id; when the child has ended, its exit status follows on a line of its own. The parent never runs
an operation of TensorFlow's, so that a child starts as a fresh interpreter would after its imports.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from samples import Recorder

from mainspring.components.common.errors import UserError
from mainspring.components.training.features import surveying
from mainspring.components.training.train_model import train_model


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(order: dict) -> None:
    log = os.open(order.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    surveying.RESIDENT_CELLS = order.pop("resident_cells", surveying.RESIDENT_CELLS)
    status = 0
    try:
        train_model(metrics=Recorder(), **order)
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
