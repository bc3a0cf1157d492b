"""Values as sources write them, and as models take them: true and false are 1 and 0, moments seconds since 1970."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone

NUMBERS = {"true": 1, "false": 0, "t": 1, "f": 0, "yes": 1, "no": 0}
"""Words for true and false, in lower case, where a column holds these."""

_MOMENT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?(?: ?(Z|UTC|[+-]\d{2}(?::?\d{2})?))?)?"
)
"""ISO 8601, as ingestion takes it: a date, or a date and a time, with an offset or in UTC."""

_BEGIN = datetime(1970, 1, 1)


def moment(seconds: float) -> str:
    """Returns seconds since 1970 as ISO 8601 in UTC: a date, or a date and a time.

    A number that is no moment of the calendar's is returned as text.
    """
    try:
        at = _BEGIN + timedelta(seconds=float(seconds))
    except (OverflowError, ValueError):
        return str(seconds)
    return at.date().isoformat() if at == datetime(at.year, at.month, at.day) else at.isoformat()


def seconds(text: str) -> int | None:
    """Returns a date's or a time's seconds since 1970 in UTC, or None if it is none."""
    found = _MOMENT.fullmatch(text.strip())
    if not found:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        at = datetime(year, month, day, hour, minute, second, tzinfo=timezone(_offset(found[8])))
    except (ValueError, OverflowError):
        return None
    whole = (at - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)
    return round(whole + float(found[7] or 0)) if found[7] else math.floor(whole)


def _offset(text: str | None) -> timedelta:
    if text in (None, "", "Z", "UTC"):
        return timedelta(0)
    digits = str(text)[1:].replace(":", "")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return -size if str(text).startswith("-") else size
