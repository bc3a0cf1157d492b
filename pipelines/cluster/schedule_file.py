"""`schedules.yaml`: what is to run when, as code."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.pipelines.cluster import cron
from mainspring.pipelines.parameters import written

CONCURRENT = range(1, 11)
"""KFP takes no other."""
INTERVAL_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Schedule:
    """One schedule, as the file says it; each attribute is a key of the file."""

    name: str
    """Of the recurring run; no two of the file have the same."""
    pipeline: str
    """A built-in name, `module:function`, or a compiled YAML file; with `version`, also a name that the server has."""
    version: str = ""
    """Empty: the pipeline as it compiles here, uploaded by content. `latest`: whichever is the server's newest when it
    fires. Or the name of a version on the server."""
    cron: str = ""
    """Six fields, seconds first, or crontab's five; or `interval`."""
    interval: int = 0
    """Seconds; in the file also `30m`, `6h`, `1d`, `2w`."""
    time_zone: str = "UTC"
    """In which `cron`, and `start` and `end` without an offset, are meant."""
    start: datetime | None = None
    """The first moment at which it may fire; it does if it is due then."""
    end: datetime | None = None
    parameters: dict[str, Any] | None = None
    catch_up: bool = False
    """Whether what was missed (paused, or the cluster down) is run later, one run for each time; else once at most."""
    max_concurrency: int = 1
    caching: bool = True
    """False: no task is answered from the cache; true leaves it to the pipeline."""
    service_account: str = ""
    experiment: str = ""
    enabled: bool = True
    description: str = ""


@dataclass(frozen=True)
class ScheduleFile:
    """What a schedules file holds."""

    schedules: tuple[Schedule, ...]
    group: str = "default"
    """Whose schedules these are: another file's, of another group, are never touched."""
    controller_time_zone: str = "UTC"
    """CRON_SCHEDULE_TIMEZONE of KFP's controller."""
    compiled: Mapping[str, str] = field(default_factory=dict)
    """Pipelines that are compiled already, as YAML, by the names that the schedules give."""


def read(path: Path) -> ScheduleFile:
    """Reads a schedules file.

    Raises:
        UserError: It cannot be read, or something in it is unknown, missing, wrong or there twice.
    """
    content = strict_yaml.read(path)
    spelled = _spelled_parameters(path)
    if not isinstance(content, dict) or not isinstance(content.get("schedules"), list):
        raise UserError(f"{path}: must hold `schedules:` with a list of schedules")
    known = ("schedules", "group", "time_zone", "controller_time_zone")
    _check_keys(content, known, str(path))
    group = str(content.get("group", "default"))
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", group):
        raise UserError(f"{path}: group is {group!r}; use letters, digits, dots and dashes")
    controller_zone = str(content.get("controller_time_zone", "UTC"))
    cron.zone_info(controller_zone)
    zone = str(content.get("time_zone", "UTC"))
    items = [_with_spelled(item, number, spelled) for number, item in enumerate(content["schedules"])]
    schedules = tuple(schedule(item, number, zone, path) for number, item in enumerate(items, 1))
    for each in schedules:
        if sum(other.name == each.name for other in schedules) > 1:
            raise UserError(f"{path}: has two schedules of the name {each.name!r}; rename one")
    return ScheduleFile(schedules, group, controller_zone)


def _spelled_parameters(path: Path) -> list[Any]:
    """Returns each schedule's parameters as they are spelled: YAML alone would make a date of 2026-11-01."""
    content = written.read(path)
    whole = content.content if content else {}
    listed = whole["schedules"].content if isinstance(whole, dict) and "schedules" in whole else []
    items = [item.content for item in listed if isinstance(item, written.Written)]
    return [item.get("parameters") if isinstance(item, dict) else None for item in items]


def _with_spelled(item: Any, number: int, spelled: list[Any]) -> Any:
    if isinstance(item, dict) and isinstance(item.get("parameters"), dict):
        return {**item, "parameters": spelled[number].content}
    return item


def schedule(item: Any, number: int, zone: str, path: Path) -> Schedule:
    """Returns one schedule of a file, checked.

    Args:
        item: Its keys and values.
        number: Its place, for messages.
        zone: The file's time zone.
        path: The file, for messages.

    Raises:
        UserError: A key is unknown, or a value is wrong.
    """
    where = f"{path}: schedule {number}"
    if not isinstance(item, dict):
        raise UserError(f"{where}: must be a mapping of keys to values")
    if item.get("name"):
        where = f"{path}: {item['name']}"
    types = {each.name: str(each.type) for each in fields(Schedule)}
    _check_keys(item, tuple(types), where)
    for needed in ("name", "pipeline"):
        if not item.get(needed):
            raise UserError(f"{where}: needs {needed}")
    values = {"time_zone": zone, **item}
    if values.get("interval") is not None:
        values["interval"] = _seconds(values["interval"], where)
    for key in ("start", "end"):
        if values.get(key) is not None:
            values[key] = _moment(values[key], str(values["time_zone"]), f"{where}: {key}")
    for key, value in values.items():
        _check_type(value, types[key], f"{where}: {key}")
    made = Schedule(**values)
    if bool(made.cron) == bool(made.interval):
        raise UserError(f"{where}: needs either cron or interval")
    if made.max_concurrency not in CONCURRENT:
        raise UserError(f"{where}: max_concurrency is {made.max_concurrency}; it must be 1 to 10")
    if made.version and not made.caching:
        raise UserError(f"{where}: caching: false goes with the pipeline as it compiles here, not with a version")
    if made.start and made.end and made.start >= made.end:
        raise UserError(f"{where}: end lies before start")
    cron.zone_info(made.time_zone)
    try:
        return made if not made.cron else Schedule(**{**values, "cron": cron.six_fields(made.cron)})
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _check_keys(content: dict[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key}; {hint}")


def _check_type(value: Any, kind: str, where: str) -> None:
    wanted: dict[str, tuple[type | tuple[type, ...], str]] = {
        "str": (str, "text"),
        "int": (int, "a whole number"),
        "bool": (bool, "true or false"),
        "dict[str, Any] | None": ((dict, type(None)), "a mapping of parameter names to values"),
        "datetime | None": ((datetime, type(None)), "a date and time"),
    }
    types, words = wanted[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind == "int"):
        raise UserError(f"{where} is {value!r}; it must be {words}")


def _seconds(value: Any, where: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([smhdw]?)", str(value).strip())
    seconds = int(match[1]) * INTERVAL_UNITS[match[2] or "s"] if match else 0
    if seconds < 1 or isinstance(value, bool):
        raise UserError(f"{where}: interval is {value!r}; write it in seconds, or as 30m, 6h, 1d or 2w")
    return seconds


def _moment(value: Any, zone: str, where: str) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError as error:
            raise UserError(f"{where} is {value!r}; write it as 2026-12-01T03:00:00Z") from error
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise UserError(f"{where} is {value!r}; write it as 2026-12-01T03:00:00Z")
    aware = value if value.tzinfo else value.replace(tzinfo=cron.zone_info(zone))
    return aware.astimezone(timezone.utc)
