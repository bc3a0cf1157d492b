"""The process engine: KFP's own local orchestrator, each task in the environment of its image."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from mainspring.components.common import storage
from mainspring.components.common.errors import ERROR_PREFIX
from mainspring.pipelines import environments
from mainspring.pipelines.engines import kfp_seam
from mainspring.pipelines.engines.results import RunResult, TaskResult, plain_outputs
from mainspring.pipelines.engines.run_page import write_run_page
from mainspring.pipelines.engines.workers import Workers, folder_of

REFUSING = "refuse-run"
"""The tasks of this name end a run whose data or model did not pass."""

LOG_LINES_SHOWN = 25
"""Lines of a failed task's log that stand in the result when the task did not say in one line what was wrong."""


class Progress(Protocol):
    """Shows a run as it goes."""

    def begin(self, steps: list[kfp_seam.Step], logs: Path) -> None:
        """Called once, with all tasks and the folder of their logs, `<task>.log` each."""

    def started(self, task: str) -> None:
        """Called when a task starts."""

    def ended(self, result: TaskResult) -> None:
        """Called when a task has ended."""

    def close(self) -> None:
        """Called once, however the run ended."""


def run_here(
    spec: PipelineSpec, arguments: dict[str, Any], root: Path, progress: Progress, caching: bool = True
) -> RunResult:
    """Runs a compiled pipeline on this machine.

    Args:
        spec: The compiled pipeline.
        arguments: Its parameters, typed and checked.
        root: Folder for all that the run leaves behind: `runs/`, `cache/`, `models/`, `endpoints/`.
        progress: Is shown what happens.
        caching: Whether tasks with unchanged inputs and code are answered from earlier runs.

    Returns:
        How the run went; a failed run is a result, not an exception.

    Raises:
        UserError: An environment is missing and cannot be built.
        KeyboardInterrupt: The run was interrupted (SIGINT or SIGTERM); no process of it is left.
    """
    steps = kfp_seam.steps(spec)
    folder = root / "runs" / f"{spec.pipeline_info.name}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    logs = folder / "logs"
    logs.mkdir(parents=True)
    cache = root / "cache" / code_fingerprint() if caching else None
    workers = Workers(steps, logs, {storage.ROOT_VARIABLE: str(root)})
    watcher = _Watcher(steps, workers, progress)
    started = time.monotonic()
    try:
        if cache is None or not cache.is_dir():
            workers.start_ahead()
        progress.begin(steps, logs)
        with _terminate_as_interrupt(), _orchestrator_output_in(logs / "orchestrator.log"):
            succeeded = kfp_seam.run_pipeline(
                spec,
                arguments,
                pipeline_root=str(folder / "tasks"),
                cache_root=str(cache) if cache else None,
                run_command=watcher.run,
                watcher=watcher,
            )
    finally:
        workers.close()
        progress.close()
    error = "" if succeeded else _what_went_wrong(watcher.results, logs)
    result = RunResult(
        pipeline=spec.pipeline_info.name,
        status=_status(succeeded, watcher.results),
        seconds=time.monotonic() - started,
        tasks=watcher.all_results(),
        folder=folder,
        report=folder / "report.html",
        error=error,
    )
    write_run_page(result)
    return result


def code_fingerprint() -> str:
    """Returns a hash of Mainspring's own code and locks: results of other code are not taken from the cache."""
    digest = hashlib.sha256()
    for package in (environments.COMPONENTS, environments.PIPELINES):
        for path in sorted([*package.rglob("*.py"), *package.rglob("*.txt"), *package.rglob("*.j2")]):
            digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


class _Watcher:
    """Keeps the tasks' results, and starts workers ahead once a task really runs that could have been cached."""

    def __init__(self, steps: list[kfp_seam.Step], workers: Workers, progress: Progress) -> None:
        self._steps = {step.name: step for step in steps}
        self._workers = workers
        self._progress = progress
        self._started: dict[str, float] = {}
        self._ran: set[str] = set()
        self.results: list[TaskResult] = []

    def run(self, step: str, command: kfp_seam.Command) -> bool | None:
        self._ran.add(step)
        if folder_of(command.image) is None:
            return None
        if step in self._steps and self._steps[step].cacheable:
            self._workers.start_ahead()
        return self._workers.run(step, command)

    def started(self, step: str) -> None:
        self._started[step] = time.monotonic()
        self._progress.started(step)

    def ended(self, step: str, succeeded: bool, outputs: dict[str, Any]) -> None:
        state = "failed" if not succeeded else "succeeded" if step in self._ran else "cached"
        seconds = time.monotonic() - self._started[step]
        result = TaskResult(step, self._title(step), state, seconds, plain_outputs(outputs))
        self.results.append(result)
        self._progress.ended(result)

    def all_results(self) -> list[TaskResult]:
        """Returns the results in order, with the tasks that were never reached at the end as skipped."""
        reached = {result.name for result in self.results}
        skipped = [
            TaskResult(step.name, step.title, "skipped", 0.0, {})
            for step in self._steps.values()
            if step.name not in reached
        ]
        return self.results + skipped

    def _title(self, step: str) -> str:
        return self._steps[step].title if step in self._steps else step


def _status(succeeded: bool, results: list[TaskResult]) -> str:
    if any(result.name.startswith(REFUSING) for result in results):
        return "skipped" if succeeded else "refused"
    return "succeeded" if succeeded else "failed"


def _what_went_wrong(results: list[TaskResult], logs: Path) -> str:
    failed = next((result for result in results if result.state == "failed"), None)
    if failed is None:
        return "the run failed before any task did; see orchestrator.log"
    path = logs / f"{failed.name}.log"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    said = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
    if said:
        return said[-1] if failed.name.startswith(REFUSING) else f"{failed.title}: {said[-1]}"
    return "\n".join([f"{failed.title} failed; the end of {path}:", *lines[-LOG_LINES_SHOWN:]])


@contextlib.contextmanager
def _orchestrator_output_in(path: Path) -> Iterator[None]:
    """KFP prints and logs to standard output; here that goes to a file, and the screen belongs to the progress view."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with path.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        root.handlers = [logging.StreamHandler(file)]
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.handlers, root.level = handlers, level


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # Not the main thread, as in some notebooks: whoever owns the signals keeps them.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        sys.stdout.flush()
