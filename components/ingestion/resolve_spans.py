"""Which spans to read now."""

from __future__ import annotations

from typing import NamedTuple

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.spans.due_time import due_time
from mainspring.components.ingestion.spans.found import find_spans, fingerprint_files
from mainspring.components.ingestion.spans.selecting import LATEST, in_words, select_spans, span_of_schedule, without

FAIL, SKIP = "fail", "skip"


class Resolved(NamedTuple):
    """What there is to read."""

    spans: str
    """A selection such as `1-6`; empty if there are too few spans and that is to be skipped."""
    fingerprint: str
    """Of the spans' files; empty if there are none to read."""
    enough: bool
    """Whether there is anything to read; otherwise the run is to end here."""
    reason: str
    """Why there is not enough; else empty."""


def resolve_spans(
    source: str,
    span: str,
    window: int,
    scheduled_time: str = "",
    exclude: str = "",
    min_spans: int = 1,
    on_too_few: str = FAIL,
    due: str = "",
    created: str = "",
) -> Resolved:
    """Returns the chosen spans as a selection such as `1-6`, and the fingerprint of their files.

    Args:
        source: A file, a folder, or a pattern with `spans.PLACEHOLDERS`.
        span: A selection as in `selecting.select_spans`.
        window: With `latest` or one span: that span and the ones before it, this many in all.
        scheduled_time: With `latest` and spans by date: when the run was due, ISO 8601 or as KFP writes it
            (`20261130050000`); the newest span is then the last period that had ended by then. `due`: the run's own
            due time. Empty: the newest.
        exclude: Spans and ranges to leave out, before the window is counted.
        min_spans: So many must be chosen at least.
        on_too_few: `fail`, or `skip` to return no spans where there are fewer.
        due: When the run was due, as KFP tells it.
        created: When it was made, as KFP tells it.

    Raises:
        UserError: Nothing matches, the selection names what is not there, or there are too few spans.
    """
    if on_too_few not in (FAIL, SKIP):
        raise UserError(f"on_too_few is {on_too_few!r}; say {FAIL} or {SKIP}")
    if min_spans < 1:
        raise UserError(f"min_spans is {min_spans}; it must be 1 or more")
    scheduled_time = due_time(scheduled_time, due, created)
    candidates = without(find_spans(source), exclude)
    if not candidates:
        raise UserError(f"exclude: {exclude} leaves no span of {source}")
    if scheduled_time and span == LATEST:
        span = span_of_schedule(candidates, scheduled_time)
        if on_too_few == SKIP and span not in {candidate.name for candidate in candidates}:
            return _skipped(f"{source}: span {span}, which was due at {scheduled_time}, is not there")
    chosen = select_spans(candidates, span, window)
    if len(chosen) < min_spans:
        too_few = f"{source}: {len(chosen)} of at least {min_spans} spans are there ({in_words(chosen)})"
        if on_too_few == FAIL:
            raise UserError(f"{too_few}; wait for more, or lower min_spans")
        return _skipped(too_few)
    print(f"spans {in_words(chosen)} of {source}: {sum(len(span.files) for span in chosen)} files", flush=True)
    return Resolved(in_words(chosen), fingerprint_files(chosen), True, "")


def _skipped(reason: str) -> Resolved:
    print(f"{reason}: skipped", flush=True)
    return Resolved("", "", False, reason)
