"""A run as people watch it: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mainspring.components.common.report import number_text
from mainspring.pipelines.engines.kfp_seam import Step
from mainspring.pipelines.engines.results import RunResult, TaskResult
from mainspring.pipelines.engines.run_page import endpoint_of, example_request, metrics_of, root_of, said_by
from mainspring.pipelines.history.advice import next_steps

TAIL_BYTES = 16_384
NOTES = ("[KFP", "WARNING", "INFO", "I0", "W0", "E0", " ", "{", "}")
"""What lines begin with that the task did not write: KFP's, Python's logging's and TensorFlow's."""

STATE_STYLES = {"succeeded": "green", "cached": "cyan", "failed": "bold red", "skipped": "dim", "running": "yellow"}


def stage_table(
    results: list[TaskResult],
    running: Mapping[str, tuple[str, float]] = MappingProxyType({}),
    said: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Returns the table of stages.

    Args:
        results: Of the tasks that ended, in order.
        running: Title and start (`time.monotonic`) of the tasks that run now, by name.
        said: What each of them said last, by name.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    titles = [result.title for result in results] + [title for title, _ in running.values()]
    table.add_column("stage", no_wrap=True, min_width=max(map(len, titles), default=5))
    table.add_column("state", no_wrap=True, min_width=len("succeeded"))
    table.add_column("seconds", justify="right", no_wrap=True, min_width=len("seconds"))
    table.add_column("says", overflow="fold")
    for result in results:
        if result.state != "skipped":
            table.add_row(
                result.title, Text(result.state, STATE_STYLES[result.state]), f"{result.seconds:.1f}", said_by(result)
            )
    for name, (title, started) in (running or {}).items():
        seconds = f"{time.monotonic() - started:.1f}"
        table.add_row(title, Spinner("dots", "running", style="yellow"), seconds, Text(said.get(name, ""), "dim"))
    return table


def last_words(log: Path) -> str:
    """Returns the last line that a task itself wrote to its log; empty while there is none.

    KFP's executor first writes what it was told, as indented JSON; that and the libraries' own notes are left out.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    if "}" in lines:
        lines = lines[len(lines) - lines[::-1].index("}") :]
    return next((line for line in reversed(lines) if line and not line.startswith(NOTES)), "")


class LiveProgress:
    """The table of stages, redrawn while tasks run."""

    def __init__(self, console: Console) -> None:
        """Draws on the console, which must be a terminal."""
        self._results: list[TaskResult] = []
        self._running: dict[str, tuple[str, float]] = {}
        self._titles: dict[str, str] = {}
        self._logs = Path()
        self._live = Live(console=console, get_renderable=self._table, transient=True)

    def begin(self, steps: list[Step], logs: Path) -> None:
        """Starts drawing."""
        self._logs = logs
        self._titles = {step.name: step.title for step in steps}
        self._live.start()

    def started(self, task: str) -> None:
        """Shows a task as running."""
        self._running[task] = (self._titles.get(task, task), time.monotonic())

    def ended(self, result: TaskResult) -> None:
        """Shows how a task ended."""
        self._running.pop(result.name, None)
        self._results.append(result)

    def close(self) -> None:
        """Stops drawing and clears the table."""
        self._live.stop()

    def _table(self) -> Table:
        running = dict(self._running)
        said = {name: last_words(self._logs / f"{name}.log") for name in running}
        return stage_table(list(self._results), running, said)


class PlainProgress:
    """A line when a task starts and a line when it ends."""

    def __init__(self, console: Console) -> None:
        """Writes to the console."""
        self._console = console
        self._titles: dict[str, str] = {}

    def begin(self, steps: list[Step], logs: Path) -> None:
        """Remembers the titles."""
        self._titles = {step.name: step.title for step in steps}

    def started(self, task: str) -> None:
        """Says that a task starts."""
        self._say(f"{self._titles.get(task, task)} …")

    def ended(self, result: TaskResult) -> None:
        """Says how a task ended."""
        said = said_by(result)
        self._say(f"{result.title} {result.state} in {result.seconds:.1f} s{f': {said}' if said else ''}")

    def close(self) -> None:
        """Has nothing to end."""

    def _say(self, line: str) -> None:
        self._console.print(f"{datetime.now():%H:%M:%S} {line}", highlight=False, markup=False, soft_wrap=True)


def progress_on(console: Console) -> LiveProgress | PlainProgress:
    """Returns the view that fits the console."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


def print_result(result: RunResult, console: Console) -> None:
    """Prints how a run went: stages, metrics, the report, the endpoint and a request to try it with."""
    console.print(stage_table(result.tasks))
    for title, metrics in metrics_of(result).items():
        numbers = ", ".join(f"{name} {number_text(value)}" for name, value in metrics.items())
        console.print(f"\n[dim]{title}:[/dim] {escape(numbers)}", highlight=False)
    style = "green" if result.is_success else "bold red"
    console.print(f"\n[{style}]{result.status}[/{style}] in {result.seconds:.1f} s", highlight=False)
    if result.error:
        console.print(result.error, style="red", markup=False, highlight=False, soft_wrap=True)
    if result.refusal:
        console.print(result.refusal, style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(f"report: {result.report}", markup=False, highlight=False, soft_wrap=True)
    if endpoint := endpoint_of(result):
        console.print(f"endpoint: {endpoint}", markup=False, highlight=False, soft_wrap=True)
        if request := example_request(result):
            console.print(f"try it:\n  {request}", markup=False, highlight=False, soft_wrap=True)
    for what, command in next_steps(result.record(), root_of(result)):
        console.print(f"{what[0].lower()}{what[1:]}:\n  {command}", markup=False, highlight=False, soft_wrap=True)
