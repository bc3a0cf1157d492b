"""Questions about a source, answered in ingestion's environment for commands that run elsewhere: JSON in, JSON out.

`python -m mainspring.components.ingestion.source_tool spans|look` reads the parameters of a pipeline on standard input.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.resolve_spans import resolve_spans
from mainspring.components.ingestion.source_heads import TooLarge, columns_of
from mainspring.components.ingestion.spans.found import Span, find_spans
from mainspring.components.ingestion.spans.selecting import select_spans, without

COLUMNS = ("label", "timestamp", "time_column")
LISTS_OF_COLUMNS = ("key", "exclude", "split_columns")


def spans(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the spans of a source that are there, oldest first, from `from` to `to` where these are given.

    Of dates, `2026-11` as an end means all of November.

    Raises:
        UserError: None is there, or an end is no span.
    """
    source, first, last = str(given["source"]), str(given.get("from") or ""), str(given.get("to") or "")
    found = without(find_spans(source), str(given.get("exclude_spans") or ""))
    are_dated = any("-" in span.name for span in found)
    for end in filter(None, (first, last)):
        if not (re.fullmatch(r"\d{4}-\d{2}(-\d{2}(T\d{2})?)?", end) if are_dated else end.isdigit()):
            example = found[-1].name if found else "7"
            raise UserError(f"{end}: is no span of {source}; write it as {example}")
    chosen = [
        span
        for span in found
        if (not first or _key(span.name, first) >= _key(first, first))
        and (not last or _key(span.name, last) <= _key(last, last))
    ]
    if not chosen:
        there = f"{found[0].name} to {found[-1].name}" if found else "none"
        raise UserError(f"{source}: has no span from {first or 'the first'} to {last or 'the last'}; there are {there}")
    return [{"name": span.name, "files": [file.uri for file in span.files]} for span in chosen]


def _key(name: str, end: str) -> tuple[int, str]:
    """Orders a span's name against an end: numbers by value, dates to as many parts as the end has."""
    return (int(name), "") if name.isdigit() else (0, name[: len(end)])


def look(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the spans that a run would read now, and the columns that its query makes of the newest.

    Raises:
        UserError: There is nothing to read, the query does not fit, or a parameter names a column that is not there.
    """
    source = str(given["source"])
    names = ("span", "window", "exclude_spans", "min_spans", "on_too_few")
    told: dict[str, Any] = {"span": "latest", "window": 1}
    told |= {name: given[name] for name in names if given.get(name) not in (None, "")}
    told["exclude"] = told.pop("exclude_spans", "")
    resolved = resolve_spans(source, **told, scheduled_time=_now_if_due(str(given.get("scheduled_time") or "")))
    if not resolved.enough:
        return {"spans": "", "columns": {}, "notes": [resolved.reason]}
    newest = select_spans(find_spans(source), resolved.spans)[-1]
    joined = [_table(item) for item in given.get("tables") or []]
    options = {
        name: given[name]
        for name in ("types", "file_format", "csv_columns", "encoding", "missing_words")
        if given.get(name)
    }
    with tempfile.TemporaryDirectory(prefix="mainspring-check.") as scratch:
        try:
            columns, notes = columns_of(newest, dict(joined), str(given.get("query") or ""), Path(scratch), **options)
        except TooLarge as error:
            return {"spans": resolved.spans, "columns": {}, "notes": [str(error)]}
    if columns:
        _check_names(given, columns)
    return {"spans": resolved.spans, "columns": columns, "notes": notes}


def _check_names(given: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    wanted = [(name, str(given[name])) for name in COLUMNS if given.get(name)]
    wanted += [(name, str(each)) for name in LISTS_OF_COLUMNS for each in given.get(name) or []]
    for name, column in wanted:
        if column not in columns:
            raise UserError(f"{name}: {column} is no column; there are {', '.join(columns)}")


def _now_if_due(scheduled_time: str) -> str:
    """Returns the time that a recurring run would be due at, were it due now."""
    from datetime import datetime, timezone

    if scheduled_time in ("due", "[[ScheduledTime]]"):
        return datetime.now(timezone.utc).isoformat(timespec="seconds")
    return scheduled_time


def _table(item: str) -> tuple[str, Span]:
    name, separator, pattern = str(item).partition("=")
    if not separator:
        raise UserError(f"tables: {item!r} is not understood; say name=path, such as weather=data/weather.csv")
    found = find_spans(pattern.strip())
    return name.strip(), Span(name.strip(), found[0].files)


def main(arguments: list[str]) -> None:
    """Answers one question."""
    given = json.loads(sys.stdin.read())
    answers = sys.stdout
    sys.stdout = sys.stderr  # What the steps print is not the answer.
    answer = {"spans": spans, "look": look}[arguments[0]](given)
    answers.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
