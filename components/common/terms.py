"""Until when a verdict holds: what was valid when it was judged may have run out since."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from mainspring.components.common.errors import UserError


@dataclass(frozen=True)
class Term:
    """Until when one thing is accepted, and what is to be said from then on."""

    until: datetime.datetime
    """In UTC; the last moment."""
    sentence: str


class Confirmed(NamedTuple):
    """The verdict as it is now."""

    valid: bool
    reasons: str
    """What is wrong, a sentence a line; empty if valid."""


def as_text(terms: Iterable[Term]) -> str:
    """Returns the terms as `confirm_verdict` reads them: a line each, the moment first."""
    ordered = sorted(set(terms), key=lambda term: (term.until, term.sentence))
    return "\n".join(
        f"{term.until.isoformat(timespec='seconds')} {' '.join(term.sentence.split())}" for term in ordered
    )


def confirm_verdict(valid: bool, reasons: str, terms: str, now: datetime.datetime | None = None) -> Confirmed:
    """Returns the verdict, refused if one of its terms has ended; a refusal stays one.

    Args:
        valid: The verdict.
        reasons: Its reasons.
        terms: As `as_text` writes them.
        now: The moment, in UTC; None: now.

    Raises:
        UserError: The terms cannot be read: a verdict whose end nobody knows is none.
    """
    moment = now or datetime.datetime.now(datetime.timezone.utc)
    ended = [term.sentence for term in map(_term, filter(None, terms.splitlines())) if term.until < moment]
    if not valid or not ended:
        return Confirmed(valid, reasons)
    for sentence in ended:
        print(sentence, flush=True)
    return Confirmed(False, "\n".join(ended))


def _term(line: str) -> Term:
    moment, _, sentence = line.partition(" ")
    try:
        return Term(datetime.datetime.fromisoformat(moment), sentence)
    except ValueError as error:
        raise UserError(f"terms: {line!r} does not begin with a moment; give validate_examples' own output") from error
