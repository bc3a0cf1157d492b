"""What a run leaves to say: a result per task, and the whole as JSON for scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kfp import dsl

from mainspring.pipelines.history.outcome import outcome_of
from mainspring.pipelines.history.records import RunRecord


@dataclass(frozen=True)
class TaskResult:
    """How one task went."""

    name: str
    title: str
    state: str
    """`succeeded`, `cached` (answered by an earlier run), `failed` or `skipped` (never reached)."""
    seconds: float
    outputs: dict[str, Any]
    """Parameters as values, artifacts as `{"uri": …, "type": …, "metadata": …}`."""


@dataclass(frozen=True)
class RunResult:
    """How a run went."""

    pipeline: str
    status: str
    """`succeeded`; `refused` or, where a refusal is no failure, `skipped` (data or model did not pass); or `failed`."""
    seconds: float
    tasks: list[TaskResult]
    folder: Path
    report: Path
    """The run's page, with links to the tasks' reports."""
    error: str
    """What went wrong; empty if nothing did."""
    refusal: str = ""
    """What was refused and why, where the run was told to end as skipped then."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """The parameters that were given."""
    started: str = ""
    """ISO 8601, UTC."""
    values: dict[str, Any] = field(default_factory=dict)
    """The parameters with their defaults."""

    @property
    def is_success(self) -> bool:
        """Whether the run ended as the user wants a run to end."""
        return self.status in ("succeeded", "skipped")

    def task(self, name: str) -> TaskResult | None:
        """Returns the result of the task of that name, if it was reached."""
        return next((task for task in self.tasks if task.name == name and task.state != "skipped"), None)

    def as_json(self) -> dict[str, Any]:
        """Returns the result as plain JSON values."""
        content = asdict(self)
        del content["values"]
        return content | {"run": self.folder.name, "folder": str(self.folder), "report": str(self.report)}

    def record(self) -> RunRecord:
        """Returns the result as the history of runs keeps it."""
        tasks = [asdict(task) for task in self.tasks]
        return RunRecord(
            run=self.folder.name,
            pipeline=self.pipeline,
            status=self.status,
            started=self.started,
            seconds=self.seconds,
            arguments=self.values or self.arguments,
            outcome=outcome_of(tasks),
            error=self.error or self.refusal,
            tasks=tasks,
            page=str(self.report),
        )


def plain_outputs(outputs: dict[str, Any]) -> dict[str, Any]:
    """Returns a task's outputs as plain JSON values: an artifact becomes its URI, type and metadata."""
    return {name: _plain(value) for name, value in outputs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dsl.Artifact):
        return {"uri": value.uri, "type": value.schema_title, "metadata": dict(value.metadata)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
