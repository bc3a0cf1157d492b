"""Waiting interpreters for the tasks to come: started ahead, as many at once as processors, each used once."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from kfp import local

from mainspring.components.common.images import REPOSITORY
from mainspring.components.common.worker import READY_VARIABLE
from mainspring.pipelines import environments
from mainspring.pipelines.engines.kfp_seam import Command, Step

GRACE_SECONDS = 8.0
"""How long a task has to clean up after it was told to end, before it is killed."""


class Workers:
    """The interpreters of one run. Close it, and none of them is left."""

    runner = local.SubprocessRunner(use_venv=False)

    def __init__(self, steps: Iterable[Step], logs: Path, variables: dict[str, str], fingerprint: str) -> None:
        """Plans a worker for each step whose image is ours; starts none yet.

        Args:
            steps: The pipeline's tasks in the order in which they will run.
            logs: Folder for the tasks' logs, `<task>.log` each.
            variables: Set in every worker's environment, on top of this process's own.
            fingerprint: Of the code and the locks that the workers run on.
        """
        self.fingerprint = fingerprint
        self._steps = {step.name: step for step in steps if folder_of(step.image)}
        self._logs = logs
        self._variables = environments.task_variables() | variables | {"_KFP_RUNTIME": "true"}
        self._waiting: dict[str, subprocess.Popen[str]] = {}
        self._all: list[subprocess.Popen[str]] = []
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        self._ahead: threading.Thread | None = None
        self._closed = threading.Event()

    def start_ahead(self) -> None:
        """Begins to start workers for the steps still to come, in the background; does nothing the second time."""
        with self._lock:
            if self._ahead is None:
                self._ahead = threading.Thread(target=self._start_in_turn, daemon=True)
                self._ahead.start()

    def run(self, step: str, command: Command) -> bool | None:
        """Runs a task in the worker that waits for it, or in a new one; None if its image is none of ours."""
        if folder_of(command.image) is None:
            return None
        with self._lock:
            self._taken.add(step)
            worker = self._waiting.pop(step, None)
        if worker is None or worker.poll() is not None:
            # Started for this very order, it imports nothing ahead: the task may need less than it could.
            worker, ready = self._start(step, command.image, [])
            os.close(ready)
        order = {"source": command.source, "arguments": command.arguments, "variables": command.variables}
        assert worker.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It died before its order: its exit status says so.
            worker.stdin.write(json.dumps(order) + "\n")
            worker.stdin.flush()
        return worker.wait() == 0

    def close(self) -> None:
        """Ends every worker that is still there, and all that it started."""
        self._closed.set()
        with self._lock:
            running = [worker for worker in self._all if worker.poll() is None]
        for worker in running:
            _signal_group(worker, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(max(deadline - time.monotonic(), 0))
            _signal_group(worker, signal.SIGKILL)
            worker.wait()

    def _start_in_turn(self) -> None:
        importing: list[int] = []
        try:
            for name, step in self._steps.items():
                while len(importing) >= max(os.cpu_count() or 1, 1):
                    for descriptor in select.select(importing, [], [], 0.5)[0]:
                        importing.remove(descriptor)
                        os.close(descriptor)
                    if self._closed.is_set():
                        return
                with self._lock:
                    if self._closed.is_set():
                        return
                    if name in self._taken:
                        continue
                    worker, ready = self._start(name, step.image, imported_modules(step.source))
                    self._waiting[name] = worker
                importing.append(ready)
        finally:
            for descriptor in importing:
                os.close(descriptor)

    def _start(self, name: str, image: str, modules: list[str]) -> tuple[subprocess.Popen[str], int]:
        folder = folder_of(image)
        assert folder is not None
        readable, writable = os.pipe()
        with (self._logs / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(
                [
                    str(environments.environment(folder).python),
                    "-m",
                    "mainspring.components.common.worker",
                    *modules,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env=self._variables | {READY_VARIABLE: str(writable)},
                pass_fds=[writable],
                start_new_session=True,
            )
        os.close(writable)
        self._all.append(worker)
        return worker, readable


def folder_of(image: str) -> str | None:
    """Returns the component folder whose environment runs this image here; None for an image that is not ours."""
    match = re.fullmatch(rf"(?:.*/)?{REPOSITORY}/([^/:@]+)(?::[^/@]+)?(?:@.+)?", image)
    return match[1] if match and match[1] in environments.FOLDERS else None


def imported_modules(source: str) -> list[str]:
    """Returns the modules of Mainspring that a component's function imports: what to import ahead for it."""
    return [
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mainspring.") and node.module
    ]


def _signal_group(worker: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, number)
