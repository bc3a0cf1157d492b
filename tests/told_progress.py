"""A pytest plugin that tells how far a suite is: a JSON line for the tests found, and one for each that ended.

It writes to the file that `MAINSPRING_TOLD` names; `side_by_side` reads it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "MAINSPRING_TOLD"


class Told:
    """Tells of one process's tests; with workers, of all of theirs."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8")
        self._seconds: dict[str, float] = {}
        self._outcomes: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self._tell(found=len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._tell(found=len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid
        self._seconds[test] = self._seconds.get(test, 0.0) + report.duration
        if report.outcome != "passed" or report.when == "call":
            worst = self._outcomes.get(test, "passed")
            self._outcomes[test] = report.outcome if worst == "passed" else worst
        if report.when == "teardown":
            outcome = self._outcomes.pop(test, "passed")
            self._tell(test=test, outcome=outcome, seconds=round(self._seconds.pop(test), 3))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell(test=report.nodeid, outcome="failed", seconds=0.0)

    def _tell(self, **what: object) -> None:
        self._file.write(json.dumps(what) + "\n")
        self._file.flush()


def pytest_configure(config: pytest.Config) -> None:
    """Begins to tell, in the process that sees every report."""
    if VARIABLE in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Told(Path(os.environ[VARIABLE])))
