"""Cron expressions as KFP's controller reads them: six fields, seconds first, in the controller's own time zone.

The controller's parser takes five fields as well and reads them as seconds to months, so `0 3 * * *` would run every
minute of some hours: five fields are given a leading 0 here, before it sees them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mainspring.components.common.errors import UserError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""The most days that each month has."""
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIELDS = (
    ("seconds", 0, 59, ()),
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 6, DAYS),
)
SHORTHANDS = {
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@monthly": "0 0 0 1 * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
}
ANY = ("*", "?")
MINUTES_A_DAY = 24 * 60
YEAR = 366


def six_fields(text: str) -> str:
    """Returns a cron expression with six fields that the controller reads as its author meant it.

    Args:
        text: Six fields (seconds first), five (as in crontab), or a shorthand such as `@daily`.

    Raises:
        UserError: It is none of these, or a field holds what it cannot.
    """
    expression = SHORTHANDS.get(text.strip().lower(), text)
    fields = expression.upper().split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise UserError(
            f"cron {text!r}: has {len(fields)} fields; write six (seconds minutes hours day month weekday), or five as "
            "in crontab"
        )
    fields[5] = re.sub(r"(?<![\d/])7(?!\d)", "0", fields[5]) if "-7" not in fields[5] else fields[5]
    _, _, _, days, months, _ = (_values(field, rule, text) for field, rule in zip(fields, FIELDS, strict=True))
    if fields[5] in ANY and min(days) > max(LONGEST[month - 1] for month in months):
        raise UserError(f"cron {text!r}: no such day ever comes: no month of it has {min(days)} days")
    return " ".join(fields)


def in_zone(cron: str, zone: str, controller_zone: str, at: datetime) -> str:
    """Returns the six fields that fire in the controller's time zone when `cron` says in another.

    Cron in the controller's zone cannot follow another zone's daylight saving time: the offset is the one at `at`, and
    a plan made after the clocks have changed shows the difference.

    Args:
        cron: Six fields.
        zone: In which they are meant, such as `Europe/Berlin`.
        controller_zone: Of KFP's controller (CRON_SCHEDULE_TIMEZONE); UTC unless somebody set it.
        at: The moment whose offsets count.

    Raises:
        UserError: A zone is unknown, or the shifted times cannot be said in one expression.
    """
    shift = _offset(zone, at) - _offset(controller_zone, at)
    if not shift:
        return cron
    fields = cron.split()
    minutes, hours, weekdays = (_values(fields[place], FIELDS[place], cron) for place in (1, 2, 5))
    moved = [divmod(hour * 60 + minute - shift, MINUTES_A_DAY) for hour in hours for minute in minutes]
    new_hours = {minute // 60 for _, minute in moved}
    new_minutes = {minute % 60 for _, minute in moved}
    says_days = [fields[place] not in ANY for place in (3, 4, 5)]
    days = {day for day, _ in moved}
    impossible = len(new_hours) * len(new_minutes) != len({minute for _, minute in moved})
    if any(says_days):
        impossible = impossible or len(days) > 1 or (days != {0} and (says_days[0] or says_days[1]))
    if impossible:
        raise UserError(
            f"cron {cron!r} in {zone}: cannot be said in {controller_zone}, the controller's zone, in one expression; "
            "split it into several schedules, or write it in the controller's zone"
        )
    fields[1], fields[2] = _text(new_minutes, 60), _text(new_hours, 24)
    if says_days[2]:
        fields[5] = _text({(day + next(iter(days))) % 7 for day in weekdays}, 7)
    return " ".join(fields)


def next_clock_change(zone: str, controller_zone: str, at: datetime) -> str:
    """Returns the date, within a year, from which the two zones lie differently apart; empty if there is none."""
    now = _offset(zone, at) - _offset(controller_zone, at)
    for days in range(1, YEAR + 1):
        day = at + timedelta(days=days)
        if _offset(zone, day) - _offset(controller_zone, day) != now:
            return day.date().isoformat()
    return ""


def zone_info(zone: str) -> ZoneInfo:
    """Returns the time zone of that name.

    Raises:
        UserError: There is none.
    """
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UserError(f"time_zone {zone!r}: is unknown here; write it as UTC or Europe/Berlin") from error


def _offset(zone: str, at: datetime) -> int:
    """Minutes that the zone's clocks are ahead of UTC."""
    ahead = at.astimezone(zone_info(zone)).utcoffset() or timedelta()
    return int(ahead.total_seconds() // 60)


def _values(field: str, rule: tuple[str, int, int, tuple[str, ...]], whole: str) -> set[int]:
    name, low, high, _ = rule
    values: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        begin = low if span in ANY else _number(first, rule, whole)
        end = high if span in ANY or (slash and not dash) else _number(last, rule, whole) if dash else begin
        every = int(step) if slash and step.isdigit() else 0 if slash else 1
        if not every or begin > end:
            raise UserError(f"cron {whole!r}: {part!r} is no {name}; they go from {low} to {high}")
        values |= set(range(begin, end + 1, every))
    return values


def _number(text: str, rule: tuple[str, int, int, tuple[str, ...]], whole: str) -> int:
    name, low, high, words = rule
    number = words.index(text) + low if text in words else int(text) if text.isdigit() else -1
    if not low <= number <= high:
        raise UserError(f"cron {whole!r}: {text!r} is no {name}; they go from {low} to {high}")
    return number


def _text(values: set[int], size: int) -> str:
    return "*" if len(values) == size else ",".join(map(str, sorted(values)))
