"""A waiting interpreter: imports what a task will need, then runs that one task when it is told to.

The process engine starts one for each task to come, while earlier tasks work, so that the seconds that TensorFlow's
import takes pass unnoticed. Run with `_KFP_RUNTIME=true` and the modules to import as arguments; the order comes as
one JSON line on standard input. When the engine goes away, however it goes, standard input ends, and so does this
process with all it started.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

READY_VARIABLE = "MAINSPRING_READY_DESCRIPTOR"
"""Names the file descriptor to close once everything is imported."""


def main(modules: list[str]) -> None:
    """Imports the modules, waits for the order and runs it through KFP's own executor."""
    signal.signal(signal.SIGTERM, _exit_on_terminate)
    from kfp.dsl.executor_main import executor_main

    for name in modules:
        # What cannot be imported fails again, and is reported, when the task itself imports it.
        with contextlib.suppress(Exception):
            module = importlib.import_module(name)
            if hasattr(module, "preload"):
                module.preload()
    if descriptor := os.environ.pop(READY_VARIABLE, ""):
        os.close(int(descriptor))

    line = sys.stdin.readline()
    if not line:
        return
    order = json.loads(line)
    threading.Thread(target=_end_with_the_engine, daemon=True).start()
    os.environ.update(order["variables"])
    with tempfile.TemporaryDirectory(prefix="mainspring-task-") as folder:
        module_path = Path(folder) / "ephemeral_component.py"
        module_path.write_text(order["source"], encoding="utf-8")
        sys.argv = ["executor_main", "--component_module_path", str(module_path), *order["arguments"]]
        executor_main()


def _end_with_the_engine() -> None:
    while os.read(0, 1):  # The descriptor, not `sys.stdin`: a thread inside that would hold up the interpreter's end.
        pass
    os.killpg(os.getpgrp(), signal.SIGTERM)


def _exit_on_terminate(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(143)


if __name__ == "__main__":
    main(sys.argv[1:])
