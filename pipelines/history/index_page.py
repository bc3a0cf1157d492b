"""The page of all runs: the figure that matters by span, drawn, and a line for each run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from mainspring.components.common import report, storage
from mainspring.pipelines.history.records import RunRecord, all_runs

INDEX = "runs.html"
SHOWN = 500
"""Runs that the page lists; the newest."""


def write_index(root: Path) -> Path:
    """Writes the page of a local root's runs into the root, with links to their pages, and returns its path."""
    storage.write_atomically(root / INDEX, index_page(all_runs(root), root))
    return root / INDEX


def index_page(records: Sequence[RunRecord], folder: Path | None = None) -> str:
    """Returns the page of runs.

    Args:
        records: The runs, newest first.
        folder: Where the page will lie: links to pages of runs on this machine are relative to it.
    """
    shown = records[:SHOWN]
    sections: list[tuple[str, Markup | str]] = [
        (f"{metric} of {target}" if target else metric, _drawn([r for r in shown if _drawn_by(r) == (target, metric)]))
        for target, metric in dict.fromkeys(_drawn_by(record) for record in reversed(shown) if record.outcome.metric)
    ]
    rows = [_row(record, folder) for record in shown]
    headers = ["Started", "Run", "State", "Seconds", "Spans", "Metric", "Challenger", "Champion", "Version", "Says"]
    sections.append(("Runs", report.table(headers, rows) if rows else "No runs yet."))
    return report.page("Runs", None, sections)


def _drawn_by(record: RunRecord) -> tuple[str, str]:
    return record.target, record.outcome.metric


def _drawn(records: Sequence[RunRecord]) -> Markup:
    """Draws challenger and champion by the newest span that each run read; the last run of a span counts."""
    by_span: dict[str, RunRecord] = {}
    for record in reversed(records):  # Oldest first.
        span = newest_span(record)
        by_span.pop(span, None)
        by_span[span] = record
    spans = sorted(by_span, key=lambda span: (not span.isdigit(), int(span) if span.isdigit() else 0, span))
    lines = {
        name: [
            (float(place), value)
            for place, span in enumerate(spans)
            if isinstance(value := getattr(by_span[span].outcome, name), int | float)
        ]
        for name in ("challenger", "champion")
    }

    def text(place: float) -> str:
        return spans[int(place)] if place == int(place) and 0 <= place < len(spans) else ""

    drawn = {name: points for name, points in lines.items() if points}
    return report.line_chart(drawn, x_label="newest span", y_label=records[0].outcome.metric, x_text=text)


def newest_span(record: RunRecord) -> str:
    """Returns the newest of the spans that a run read: of `1-6` the 6."""
    last = record.outcome.spans.split(",")[-1].strip()
    numbers = re.fullmatch(r"(\d+)-(\d+)", last)
    # A range of numbers rises; 2026-11 is a month.
    return numbers[2] if numbers and int(numbers[2]) > int(numbers[1]) else last


def _row(record: RunRecord, folder: Path | None) -> list[report.Cell]:
    outcome = record.outcome
    name: Markup | str = record.run
    if record.page:
        page = record.page
        if folder is not None and "://" not in page:
            page = os.path.relpath(page, folder)
        name = Markup('<a href="{}">{}</a>').format(page, record.run)
    version = f"{outcome.version}{f' after {outcome.before}' if outcome.before else ''}" if outcome.version else ""
    return [
        record.started.replace("T", " ").removesuffix("+00:00"),
        name,
        record.status,
        round(record.seconds, 1),
        outcome.spans,
        outcome.metric,
        outcome.challenger,
        outcome.champion,
        version,
        record.error,
    ]
