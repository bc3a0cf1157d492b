"""The page of a run: its stages, what they decided, and links to their reports."""

from __future__ import annotations

import os

from markupsafe import Markup

from mainspring.components.common import report
from mainspring.pipelines.engines.results import RunResult, TaskResult

LONGEST_WORD_SHOWN = 24
"""Longer texts, such as URIs, fingerprints and reasons, stand in the summary and the reports, not in the table."""


def run_page(result: RunResult) -> str:
    """Returns the run's page; its links are relative, so the run's root can be moved."""
    sentence = {
        "succeeded": f"The run succeeded in {result.seconds:.1f} s.",
        "skipped": "Data or model did not pass; the run ended without a deployment, as it was told to.",
    }.get(result.status, result.error)
    stages = report.table(
        ["Stage", "State", "Seconds", "Says", "Report"],
        [[task.title, task.state, round(task.seconds, 1), said_by(task), _link(task, result)] for task in result.tasks],
    )
    return report.page(
        result.pipeline, (result.is_success, sentence), [("Stages", stages), ("Metrics", _metrics(result))]
    )


def said_by(task: TaskResult) -> str:
    """Returns what a task's parameter outputs say, in a few words."""
    parts = []
    for name, value in task.outputs.items():
        if isinstance(value, dict) or value in ("", None) or name.endswith(("uri", "endpoint")):
            continue
        if isinstance(value, bool):
            parts.append(name if value else f"not {name}")
        elif not isinstance(value, str) or len(value) <= LONGEST_WORD_SHOWN:
            parts.append(f"{name.replace('_', ' ')} {report.number_text(value)}")
    return ", ".join(parts)


def metrics_of(result: RunResult) -> dict[str, dict[str, float]]:
    """Returns the metrics that tasks logged for the Kubeflow UI, by task title."""
    found = {}
    for task in result.tasks:
        logged = task.outputs.get("metrics")
        if isinstance(logged, dict) and logged.get("metadata"):
            found[task.title] = logged["metadata"]
    return found


def _metrics(result: RunResult) -> Markup:
    rows: list[list[report.Cell]] = [
        [title, name, value] for title, metrics in metrics_of(result).items() for name, value in metrics.items()
    ]
    return report.table(["Stage", "Metric", "Value"], rows)


def _link(task: TaskResult, result: RunResult) -> Markup | str:
    page = task.outputs.get("report")
    if not isinstance(page, dict):
        return ""
    return Markup('<a href="{}">open</a>').format(os.path.relpath(page["uri"], result.folder))
