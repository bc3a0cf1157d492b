"""A run on this machine, whichever engine starts its tasks: KFP's own local orchestrator, watched and written down."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from mainspring.components.common.errors import ERROR_PREFIX, is_refusal
from mainspring.pipelines.engines import kfp_seam
from mainspring.pipelines.engines.results import RunResult, TaskResult, plain_outputs
from mainspring.pipelines.engines.run_page import write_run_page
from mainspring.pipelines.history import index_page, records
from mainspring.pipelines.parameters.declared import effective

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


class Tasks(Protocol):
    """What an engine is: it runs the tasks of one run. Close it, and nothing of them is left running."""

    runner: Any
    """KFP's: `local.SubprocessRunner` or `local.DockerRunner`."""
    fingerprint: str
    """Of what tasks run on: results of other code are not taken from the cache."""

    def start_ahead(self) -> None:
        """Called when a task is going to run, possibly more than once: what takes long can begin."""

    def run(self, step: str, command: kfp_seam.Command) -> bool | None:
        """Runs a task and returns whether it succeeded; None leaves it to KFP's runner."""

    def close(self) -> None:
        """Ends whatever still runs."""


def run_here(
    spec: PipelineSpec,
    arguments: dict[str, Any],
    root: Path,
    progress: Progress,
    engine: Callable[[list[kfp_seam.Step], Path], Tasks],
    caching: bool = True,
) -> RunResult:
    """Runs a compiled pipeline on this machine.

    Args:
        spec: The compiled pipeline.
        arguments: Its parameters, typed and checked.
        root: Folder for all that the run leaves behind: `runs/`, `cache/`, `models/`, `endpoints/`.
        progress: Is shown what happens.
        engine: Makes what runs the tasks, given the steps and the run's folder, which holds `logs/` and `tasks/`.
        caching: Whether tasks with unchanged inputs and code are answered from earlier runs.

    Returns:
        How the run went; a failed run is a result, not an exception.

    Raises:
        UserError: The engine lacks something that the tasks need.
        KeyboardInterrupt: The run was interrupted (SIGINT or SIGTERM); nothing of it is left running.
    """
    steps, values = kfp_seam.steps(spec), effective(spec, arguments)
    folder = root / "runs" / f"{spec.pipeline_info.name}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    logs = folder / "logs"
    logs.mkdir(parents=True)
    tasks = engine(steps, folder)
    cache = root / "cache" / tasks.fingerprint if caching else None
    watcher = _Watcher(steps, tasks, progress, logs)
    with records.recording(folder, spec.pipeline_info.name, values) as begun:
        started = time.monotonic()
        try:
            if cache is None or not cache.is_dir():
                tasks.start_ahead()
            progress.begin(steps, logs)
            with _terminate_as_interrupt(), _orchestrator_output_in(logs / "orchestrator.log"):
                succeeded = kfp_seam.run_pipeline(
                    spec,
                    arguments,
                    tasks.runner,
                    pipeline_root=str(folder / "tasks"),
                    cache_root=str(cache) if cache else None,
                    run_command=watcher.run,
                    watcher=watcher,
                    run_name=folder.name,
                )
        finally:
            tasks.close()
            progress.close()
        result = RunResult(
            pipeline=spec.pipeline_info.name,
            status="refused" if watcher.refused else _status(succeeded, watcher.results),
            seconds=time.monotonic() - started,
            tasks=watcher.all_results(),
            folder=folder,
            report=folder / "report.html",
            error="" if succeeded else watcher.refused or _what_went_wrong(watcher.results, logs),
            refusal=refusal_of(watcher.results),
            arguments=arguments,
            started=begun.started,
            values=values,
        )
        write_run_page(result)
        records.write(folder, result.record())
    index_page.write_index(root)
    return result


class _Watcher:
    """Keeps the tasks' results, and has the engine start ahead once a task really runs that could have been cached."""

    def __init__(self, steps: list[kfp_seam.Step], tasks: Tasks, progress: Progress, logs: Path) -> None:
        self._logs = logs
        self._steps = {step.name: step for step in steps}
        self._tasks = tasks
        self._progress = progress
        self._started: dict[str, float] = {}
        self._ran: set[str] = set()
        self.results: list[TaskResult] = []
        self.refused = ""
        """What a gate said when it ended the run."""

    def run(self, step: str, command: kfp_seam.Command) -> bool | None:
        self._ran.add(step)
        if step in self._steps and self._steps[step].cacheable:
            self._tasks.start_ahead()
        return self._tasks.run(step, command)

    def started(self, step: str) -> None:
        self._started[step] = time.monotonic()
        self._progress.started(step)

    def ended(self, step: str, succeeded: bool, outputs: dict[str, Any]) -> None:
        if not succeeded and (said := refused_by(self._logs / f"{step}.log")) and not step.startswith(REFUSING):
            self.refused = said
        is_gate = not succeeded and bool(self.refused)
        state = "skipped" if is_gate else "failed" if not succeeded else "succeeded" if step in self._ran else "cached"
        seconds = time.monotonic() - self._started[step]
        result = TaskResult(step, self._title(step), state, seconds, plain_outputs(outputs))
        self.results.append(result)
        self._progress.ended(result)

    def trouble(self) -> str:
        if self.refused:
            return self.refused
        is_failed = any(result.state == "failed" for result in self.results)
        return _what_went_wrong(self.results, self._logs) if is_failed else refusal_of(self.results)

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


def refused_by(log: Path) -> str:
    """Returns what a task said that refused data or model before it did anything; empty for any other."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    said = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
    return said[-1] if said and is_refusal(said[-1]) else ""


def _status(succeeded: bool, results: list[TaskResult]) -> str:
    if any(result.name.startswith(REFUSING) for result in results):
        return "skipped" if succeeded else "refused"
    return "succeeded" if succeeded else "failed"


def refusal_of(results: list[TaskResult]) -> str:
    """Returns what a run that ended as told says it refused; empty if it refused nothing."""
    said = [result.outputs.get("refused") for result in results if result.name.startswith(REFUSING)]
    return str(next(filter(None, said), ""))


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
