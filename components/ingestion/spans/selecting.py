"""Which of the spans to read: by a short grammar, and by the time a run was scheduled for."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.spans.found import ALL, Span

LATEST = "latest"

MOST_NAMED = 5
"""So many missing spans an error names."""

KFP_TIME, KFP_DIGITS = "%Y%m%d%H%M%S", re.compile(r"[0-9]{14}")
"""How KFP's controller of recurring runs writes `[[ScheduledTime]]`: UTC, digits alone."""

_DATES = re.compile(r"([0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9]{2})?)?)?)(?:\.\.([0-9T-]{4,13}))?")
_NUMBERS = re.compile(r"([0-9]{1,18})(?:(?:-|\.\.)([0-9]{1,18}))?")


def select_spans(spans: Sequence[Span], selection: str, window: int = 1) -> list[Span]:
    """Returns the chosen spans, oldest first.

    Args:
        spans: From `find_spans`.
        selection: `latest`, `all`, a span (`7`, `2026-11-30`), a range (`1-6`, `2026-11-01..2026-11-30`) or a list of
            these. Of dates, a range takes the spans that there are, and `2026-11` stands for all of November.
        window: With `latest` or one span: that span and those before it that there are, this many at most.

    Raises:
        UserError: The selection is malformed or names a span that is not there.
    """
    if window < 1:
        raise UserError(f"window is {window}; it must be 1 or more")
    if selection == ALL or [span.name for span in spans] == [ALL]:
        return list(spans)
    if selection == LATEST:
        return list(spans[-window:])
    dated = _are_dated(spans)
    ranges = _ranges(selection, dated)
    present = {span.name for span in spans}
    if dated:
        missing = [first for first, last in ranges if not any(_within(span.name, first, last) for span in spans)]
    else:
        missing = [name for first, last in ranges for name in islice(_absent(first, last, present), MOST_NAMED + 1)]
    if missing:
        more = " and more" if len(missing) > MOST_NAMED else ""
        raise UserError(f"span {', '.join(missing[:MOST_NAMED])}{more} is not there; the source has {_shortly(spans)}")
    chosen = [span for span in spans if any(_within(span.name, first, last) for first, last in ranges)]
    if len(chosen) == 1:
        return [span for span in spans if _place(span.name) <= _place(chosen[0].name)][-window:]
    return chosen


def without(spans: Sequence[Span], excluded: str) -> list[Span]:
    """Returns the spans but for the excluded ones, which need not be there.

    Args:
        spans: From `find_spans`.
        excluded: Spans and ranges as in `select_spans`; empty: none.

    Raises:
        UserError: `excluded` is malformed.
    """
    if not excluded.strip():
        return list(spans)
    ranges = _ranges(excluded, _are_dated(spans))
    return [span for span in spans if not any(_within(span.name, first, last) for first, last in ranges)]


def span_of_schedule(spans: Sequence[Span], scheduled_time: str) -> str:
    """Returns the name of the last period that had ended when the run was due, whether or not its span is there.

    A run that starts late, or again, thus reads what it was meant to read, never what happens to be newest.

    Args:
        spans: From `find_spans`, by date.
        scheduled_time: ISO 8601 (without an offset, UTC), or as KFP's first pipelines wrote it (20261130050000).

    Raises:
        UserError: The time is malformed, or the spans have no dates.
    """
    if not _are_dated(spans):
        raise UserError("scheduled_time: only spans by date ({YYYY}, {MM}, …) belong to a time; these are numbered")
    try:
        text = scheduled_time.strip()
        iso = re.sub(r"[zZ]$", "+00:00", text)
        moment = datetime.strptime(text, KFP_TIME) if KFP_DIGITS.fullmatch(text) else datetime.fromisoformat(iso)
    except ValueError as error:
        raise UserError(
            f"scheduled_time {scheduled_time!r} is no ISO 8601 time, such as 2026-11-30T05:00:00Z, nor `due`"
        ) from error
    moment = moment.astimezone(timezone.utc) if moment.tzinfo else moment
    form, back = {
        7: ("%Y-%m", lambda start: start.replace(day=1) - timedelta(days=1)),
        10: ("%Y-%m-%d", lambda start: start - timedelta(days=1)),
        13: ("%Y-%m-%dT%H", lambda start: start - timedelta(hours=1)),
    }[len(spans[0].name)]
    step: Callable[[datetime], datetime] = back
    return step(moment).strftime(form)


def in_words(spans: Sequence[Span]) -> str:
    """Returns the selection that names exactly these spans, such as `1-3,7` or `all`; `select_spans` reads it."""
    if [span.name for span in spans] == [ALL]:
        return ALL
    if _are_dated(spans):
        return ",".join(span.name for span in spans)
    runs: list[list[int]] = []
    for number in (int(span.name) for span in spans):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _shortly(spans: Sequence[Span]) -> str:
    if _are_dated(spans) and len(spans) > MOST_NAMED:
        return f"{spans[0].name} to {spans[-1].name}, {len(spans)} spans"
    return in_words(spans)


def _are_dated(spans: Sequence[Span]) -> bool:
    """A year alone looks like a number, and may be treated as one."""
    return any("-" in span.name for span in spans)


def _ranges(selection: str, dated: bool) -> list[tuple[str, str]]:
    """Returns the first and the last of each item, as written; numbers without leading zeros."""
    ranges: list[tuple[str, str]] = []
    for part in selection.split(","):
        match = (_DATES if dated else _NUMBERS).fullmatch(part.strip())
        first, last = (match[1], match[2] or match[1]) if match else ("", "")
        if match and not dated:
            first, last = str(int(first)), str(int(last))
        if (
            not match
            or (dated and not _DATES.fullmatch(last))
            or (last < first[: len(last)] if dated else int(last) < int(first))
        ):
            known = "2026-11, 2026-11-30 or 2026-11-01..2026-11-30" if dated else "7, 1-6 or 1,3-5"
            raise UserError(f"span {selection!r} is not understood; say latest, all, {known}")
        ranges.append((first, last))
    return ranges


def _place(name: str) -> tuple[int, str]:
    """Orders numbers by value, and dates as they are written."""
    return (int(name), "") if name.isdigit() else (0, name)


def _within(name: str, first: str, last: str) -> bool:
    if name.isdigit():
        return int(first) <= int(name) <= int(last)
    return name[: len(first)] >= first and name[: len(last)] <= last


def _absent(first: str, last: str, present: Container[str]) -> Iterator[str]:
    return (str(number) for number in range(int(first), int(last) + 1) if str(number) not in present)
