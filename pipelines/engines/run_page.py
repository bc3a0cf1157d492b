"""The page of a run: its stages, what they decided, and links to their reports."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from kfp import dsl
from markupsafe import Markup

from mainspring.components.common import report, storage
from mainspring.components.common.manifests import REQUEST_FILE
from mainspring.pipelines.engines.results import RunResult, TaskResult
from mainspring.pipelines.history.advice import next_steps
from mainspring.pipelines.history.index_page import INDEX

LONGEST_WORD_SHOWN = 24
"""Longer texts, such as URIs, fingerprints and reasons, stand in the summary and the reports, not in the table."""

VERDICT_PAGES = {"model_card.html": "model card", "ml_test_score.html": "ML Test Score"}
"""Pages that `evaluate_model` leaves in its artifact, by file."""

Section = tuple[str, Markup | str]


def write_run_page(result: RunResult) -> None:
    """Writes the run's page, with a copy of each page that a task wrote beside it: the folder can be moved or sent."""
    pages = {task.name: _copied_pages(task, result.folder) for task in result.tasks}
    storage.write_atomically(result.report, run_page(result, pages))


def run_page(result: RunResult, pages: dict[str, list[Path]]) -> str:
    """Returns the run's page.

    Args:
        result: How the run went.
        pages: The tasks' pages by task, as files in the run's folder.
    """
    sentence = {
        "succeeded": f"The run succeeded in {result.seconds:.1f} s.",
        "skipped": f"{result.refusal or 'Nothing was to be done'}. The run ended without a deployment, as told.",
    }.get(result.status, result.error)
    stages = report.table(
        ["Stage", "State", "Seconds", "Says", "Report", "Log"],
        [
            [
                task.title,
                task.state,
                round(task.seconds, 1),
                said_by(task),
                _links(pages[task.name]),
                _log(task, result),
            ]
            for task in result.tasks
            if task.state != "skipped"
        ],
    )
    sections: list[Section] = [("The run", _facts(result)), ("Stages", stages), ("Where the time went", _times(result))]
    sections += [("The endpoint", _endpoint(result))] if endpoint_of(result) else []
    sections += [("Metrics", _metrics(result))] if metrics_of(result) else []
    steps = next_steps(result.record(), root_of(result))
    sections += [("What to do next", _commands(steps))] if steps else []
    sections += [("Parameters", _parameters(result.arguments))] if result.arguments else []
    return report.page(result.pipeline, (result.is_success, sentence), sections)


def said_by(task: TaskResult) -> str:
    """Returns what a task's parameter outputs say, in a few words."""
    parts = []
    for name, value in sorted(task.outputs.items()):
        if isinstance(value, dict) or value in ("", None) or name.endswith(("uri", "endpoint")):
            continue
        if isinstance(value, bool):
            parts.append(name if value else f"not {name}")
        elif name == "reason":
            parts.append(value)
        elif not isinstance(value, str) or len(value) <= LONGEST_WORD_SHOWN:
            parts.append(f"{name.replace('_', ' ')} {report.number_text(value)}")
    return ", ".join(parts)


def metrics_of(result: RunResult) -> dict[str, dict[str, float]]:
    """Returns the metrics that tasks logged for the Kubeflow UI, by task title."""
    found = {}
    for task in result.tasks:
        logged = task.outputs.get("metrics")
        if isinstance(logged, dict) and logged.get("metadata"):
            found[task.title] = dict(sorted(logged["metadata"].items()))
    return found


def endpoint_of(result: RunResult) -> str:
    """Returns the URL of the endpoint that the run deployed to; empty if it deployed nothing."""
    return next((str(task.outputs["endpoint"]) for task in result.tasks if task.outputs.get("endpoint")), "")


def example_request(result: RunResult) -> str:
    """Returns a command that asks the deployed version for its own example's prediction; empty if it has none here."""
    version = next((task.outputs.get("version_uri", "") for task in result.tasks if task.outputs.get("endpoint")), "")
    path = Path(version) / REQUEST_FILE
    if not version or not path.is_file():
        return ""
    body = json.dumps(json.loads(path.read_text(encoding="utf-8")))
    return f"curl -s {endpoint_of(result)} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def root_of(result: RunResult) -> str:
    """Returns the local root of a run, as a command needs it; empty where commands find it by themselves."""
    root = result.folder.parent.parent
    return "" if root == storage.local_root() else str(root)


def _facts(result: RunResult) -> Markup:
    """Returns what a reader asks first: when, what, and what was served before."""
    record = result.record()
    outcome = record.outcome
    facts: dict[str, report.Cell] = {
        "Run": record.run,
        "Began": f"{record.started.replace('T', ' ').removesuffix('+00:00')} UTC",
        "Took": f"{record.seconds:.1f} s",
        "Target": record.target,
        "Spans": outcome.spans,
        "Version": f"{outcome.version} ({outcome.version_uri})" if outcome.version else "",
        "Version before": str(outcome.before) if outcome.before else "",
        "Approved by": outcome.approved_by,
        "Verdict pages": _verdict_pages(outcome.evaluation, result.folder),
    }
    told = {name: fact for name, fact in facts.items() if fact}
    return Markup('{}<p><a href="{}">All runs</a></p>').format(report.key_values(told), f"../../{INDEX}")


def _verdict_pages(evaluation: str, folder: Path) -> Markup:
    """Returns links to the model card and the ML Test Score, which are copied beside the page."""
    links = []
    for name, title in VERDICT_PAGES.items():
        source = Path(evaluation, name)
        if evaluation and source.is_file():
            shutil.copyfile(source, folder / name)
            links.append(Markup('<a href="{}">{}</a>').format(name, title))
    return Markup(", ").join(links)


def _commands(steps: list[tuple[str, str]]) -> Markup:
    return report.table([], [[what, Markup("<pre>{}</pre>").format(command)] for what, command in steps])


def _log(task: TaskResult, result: RunResult) -> Markup:
    path = result.folder / "logs" / f"{task.name}.log"
    return Markup('<a href="logs/{}">log</a>').format(path.name) if path.is_file() else Markup()


def _times(result: RunResult) -> Markup:
    reached = [task for task in result.tasks if task.state != "skipped"]
    seconds = [round(task.seconds, 1) for task in reached]
    return report.bar_chart([task.title for task in reached], {"seconds": seconds}, unit=" s")


def _endpoint(result: RunResult) -> Markup:
    request = example_request(result)
    command = Markup("<p>Ask it:</p><pre>{}</pre>").format(request) if request else Markup()
    return Markup("<p>{}</p>{}").format(endpoint_of(result), command)


def _parameters(arguments: dict[str, Any]) -> Markup:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in arguments.items()}
    return report.table([], [[name, Markup("<pre>{}</pre>").format(text)] for name, text in texts.items()])


def _metrics(result: RunResult) -> Markup:
    rows: list[list[report.Cell]] = [
        [title, name, value] for title, metrics in metrics_of(result).items() for name, value in metrics.items()
    ]
    return report.table(["Stage", "Metric", "Value"], rows)


def _links(pages: list[Path]) -> Markup:
    return Markup(" ").join(Markup('<a href="{}">open</a>').format(page.name) for page in pages)


def _copied_pages(task: TaskResult, folder: Path) -> list[Path]:
    copies = []
    for name, artifact in task.outputs.items():
        is_page = isinstance(artifact, dict) and artifact.get("type") == dsl.HTML.schema_title
        if is_page and Path(artifact["uri"]).is_file():
            copies.append(Path(shutil.copyfile(artifact["uri"], folder / f"{task.name}-{name}.html")))
    return copies
