"""What the stand-in for KFP's API server remembers, and what can be made to go wrong with it."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
PREFIX = "/apis/v2beta1"
ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")


@dataclass
class Fault:
    """What goes wrong, instead of an answer or after the work was done."""

    method: str
    path: str
    """A regular expression, searched in the request's path."""
    status: int = 500
    """0: the connection is closed without an answer."""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"message": "made to fail"}'
    after: threading.Event | None = None
    """Waited for before the answer."""
    is_after: bool = False
    """Whether the work is done before it goes wrong: the answer is what gets lost."""


@dataclass
class KfpServer:
    """The server's state, and what it was asked."""

    pipelines: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, Json] = field(default_factory=dict)
    experiments: dict[str, Json] = field(default_factory=dict)
    runs: dict[str, Json] = field(default_factory=dict)
    recurring_runs: dict[str, Json] = field(default_factory=dict)
    requests: list[Json] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    steps: list[Json] = field(default_factory=list)
    """What runs that are started from now on show at each look: `{"state": …, "tasks": {name: state}}`."""
    logs: dict[str, str] = field(default_factory=dict)
    """By pod."""
    killed_runs: list[str] = field(default_factory=list)
    is_multi_user: bool = False
    is_allowed: Callable[[dict[str, str]], bool] = lambda headers: True
    login_page: str = ""
    """Where those who are not allowed are sent; empty: they get a 401."""
    dex_users: dict[str, str] = field(default_factory=dict)
    page_size: int = 2
    """Small, so that whoever does not turn pages loses things."""
    url: str = ""

    def named(self, kind: str, name: str) -> list[Json]:
        """Returns the items of a kind that have this display name."""
        return [item for item in getattr(self, kind).values() if item["display_name"] == name]

    def sent(self, method: str, path: str) -> list[Json]:
        """Returns the requests with this method whose path matches."""
        return [asked for asked in self.requests if asked["method"] == method and re.search(path, asked["path"])]

    def add_run(self, recurring_run_id: str, state: str = "RUNNING") -> str:
        """Adds a run as the schedule's controller starts one."""
        recurring = self.recurring_runs[recurring_run_id]
        run_id = str(uuid.uuid4())
        self.runs[run_id] = {
            "run_id": run_id,
            "display_name": f"{recurring['display_name']}-1",
            "experiment_id": recurring["experiment_id"],
            "recurring_run_id": recurring_run_id,
            "state": state,
        }
        return run_id


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
