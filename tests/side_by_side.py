"""Suites of tests in processes side by side: a line of progress for all, and the slowest tests at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import told_progress

SECONDS_BETWEEN_LINES = 15.0
"""Of progress, where the output is no terminal."""
POLL_SECONDS = 0.25
SLOWEST = 10


@dataclass
class Suite:
    """One suite: how it is run, and how far it is."""

    name: str
    command: list[str]
    variables: dict[str, str]
    found: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tests: list[tuple[float, str]] = field(default_factory=list)
    """Seconds and name of each test that has ended."""
    began: float = 0.0
    seconds: float = 0.0
    status: int | None = None
    """The exit status; None while it runs."""

    @property
    def ended(self) -> int:
        """How many of its tests have ended."""
        return sum(self.outcomes.values())


class Running:
    """A suite's process with what it writes and tells."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        self.suite = suite
        self.log = folder / f"{suite.name}.log"
        told = folder / f"{suite.name}.told"
        told.touch()
        self._told: IO[str] = told.open(encoding="utf-8")
        self._rest = ""
        suite.began = time.monotonic()
        command = [*suite.command, "-p", "told_progress", "-q", "--no-header", "--color=no"]
        with self.log.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=suite.variables | {told_progress.VARIABLE: str(told)},
                cwd=Path(__file__).parents[1],
                start_new_session=True,
            )

    def is_over(self) -> bool:
        """Takes in what the suite has told since; returns whether its process has ended."""
        status = self.process.poll()
        *lines, self._rest = (self._rest + self._told.read()).split("\n")
        for line in filter(None, lines):
            told = json.loads(line)
            if "found" in told:
                self.suite.found = told["found"]
            else:
                self.suite.outcomes[told["outcome"]] += 1
                self.suite.tests.append((told["seconds"], told["test"]))
        if status is not None:
            self.suite.status, self.suite.seconds = status, time.monotonic() - self.suite.began
        return status is not None

    def end(self) -> None:
        """Interrupts the suite and whatever it started in its session."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def run_side_by_side(suites: list[Suite], at_once: int) -> int:
    """Runs the suites, so many at once, and prints how it goes and went.

    Returns:
        0 only if every suite ran tests and all of them passed.
    """
    began, waiting, running, progress = time.monotonic(), list(suites), [], Progress(suites)
    with tempfile.TemporaryDirectory(prefix="mainspring-tests-") as temporary:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(Running(waiting.pop(0), Path(temporary)))
                for one in [each for each in running if each.is_over()]:
                    running.remove(one)
                    progress.clear()
                    _say_end(one)
                progress.show([one.suite for one in running], time.monotonic() - began)
                time.sleep(POLL_SECONDS)
        finally:
            for one in running:
                one.end()
    progress.clear()
    _say_all(suites, time.monotonic() - began)
    return 0 if all(suite.status == 0 and suite.ended for suite in suites) else 1


class Progress:
    """The line that says how far each suite is: redrawn on a terminal, now and then elsewhere."""

    def __init__(self, suites: list[Suite]) -> None:
        self._suites, self._is_terminal, self._said = suites, sys.stdout.isatty(), 0.0

    def show(self, running: list[Suite], seconds: float) -> None:
        """Says it, if it is time to."""
        if not self._is_terminal and seconds - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = seconds
        failed = sum(suite.outcomes["failed"] for suite in self._suites)
        parts = [f"{suite.name} {suite.ended}/{suite.found or '?'}" for suite in running]
        left = sum(suite.status is None for suite in self._suites) - len(running)
        line = f"{_clock(seconds)} {', '.join(parts)}; {left} to come; {failed} failed"
        print(f"\r\033[K{line[:79]}" if self._is_terminal else line, end="" if self._is_terminal else "\n", flush=True)

    def clear(self) -> None:
        """Takes the line away, where it is redrawn."""
        if self._is_terminal:
            print("\r\033[K", end="")


def _say_end(one: Running) -> None:
    suite = one.suite
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(suite.outcomes.items()))
    print(f"{'ok  ' if suite.status == 0 else 'FAIL'} {suite.name:<11} {suite.seconds:4.0f} s  {counts}", flush=True)
    if suite.status:
        print(one.log.read_text(encoding="utf-8", errors="replace"), flush=True)
    else:
        for line in one.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("SKIPPED"):
                print(f"     {line}")


def _say_all(suites: list[Suite], seconds: float) -> None:
    tests = sorted((test for suite in suites for test in suite.tests), reverse=True)
    print(f"\nthe slowest {SLOWEST} of {len(tests):,} tests:")
    for each, name in tests[:SLOWEST]:
        print(f"{each:7.1f} s  {name}")
    whole: Counter[str] = sum((suite.outcomes for suite in suites), Counter())
    broken = [suite.name for suite in suites if suite.status]
    print(f"\n{_clock(seconds)}" + (f"; failed: {', '.join(broken)}" if broken else ""))
    print(f"{whole['passed']} passed, {whole['failed']} failed, {whole['skipped']} skipped")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
