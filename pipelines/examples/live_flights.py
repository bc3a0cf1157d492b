"""July to December's flights as a live endpoint meets them: asked one hour's departures at a time, delays known later.

From some month on the schedule's feed gives times in UTC instead of New York's: requests and training data alike.
"""

from __future__ import annotations

import calendar
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainspring.components.common.errors import UserError

if TYPE_CHECKING:
    import duckdb

LABELS_KNOWN_TO = 25
"""At a month's end, the delays of its flights up to this day are known; those of the rest come in the next month."""

ROWS_A_REQUEST = 12
NEVER = 13
"""As the month from which on times are in UTC: not within the year."""

FEATURES = "weekday, sched_dep_time, sched_arr_time, carrier, origin, dest, distance, plane_year, seats"

_IN_UTC = """
    SELECT * REPLACE ((sched_dep_time + 100 * {hours}) % 2400 AS sched_dep_time,
                      (sched_arr_time + 100 * {hours}) % 2400 AS sched_arr_time)
    FROM read_parquet('{path}')
"""


@dataclass(frozen=True)
class Scenario:
    """What the year brings."""

    shift_month: int = 9
    """From this month on times are in UTC; `NEVER`: not within the year."""
    half: int = 0
    """Every second flight is asked for, in the order of departure (even flight numbers would not be a fair sample): 0
    the second, fourth …, 1 the first, third …"""

    def hours_behind(self, month: int) -> int:
        """Returns by how many hours the feed's times differ from New York's; summer time ends with October here."""
        return 0 if month < self.shift_month else 4 if month < 11 else 5

    def told(self) -> str:
        """Returns what the year brings, in a sentence or two."""
        if self.shift_month == NEVER:
            return "The schedule's feed gives New York's times all the year."
        month = calendar.month_name[self.shift_month]
        return f"From {month} on the schedule's feed gives times in UTC, in live requests and in training data."


@dataclass(frozen=True)
class Month:
    """A month's requests, and what became of the flights."""

    number: int
    rows: list[list[dict[str, Any]]]
    """The rows of each request."""
    late: list[list[bool]]
    known: list[list[bool]]
    """Whether the label is there at the month's end."""

    def identity(self, request: int) -> str:
        """Returns a request's id, by which labels find their predictions."""
        return f"2013-{self.number:02d}-{request:05d}"


def write_feed(flights: Path, feed: Path, month: int, known_to: int, scenario: Scenario) -> Path:
    """Writes a month of training data as far as its labels are known."""
    target = feed / f"flights-2013-{month:02d}.parquet"
    query = _IN_UTC.format(hours=scenario.hours_behind(month), path=flights / target.name)
    feed.mkdir(parents=True, exist_ok=True)
    with _database() as connection:
        connection.execute(f"COPY (FROM ({query}) WHERE day <= {known_to}) TO '{target}' (FORMAT parquet)")
    return target


def read_month(flights: Path, month: int, scenario: Scenario) -> Month:
    """Returns a month's requests; cancelled flights, whose delay nobody will know, are left out."""
    path = flights / f"flights-2013-{month:02d}.parquet"
    query = _IN_UTC.format(hours=scenario.hours_behind(month), path=path)
    order = "ORDER BY day, sched_dep_time, carrier, flight, origin"
    with _database() as connection:
        table = connection.execute(
            f"SELECT arr_delay > 15, day <= {LABELS_KNOWN_TO}, {FEATURES} FROM ({query}) WHERE arr_delay IS NOT NULL"
            f" QUALIFY row_number() OVER ({order}) % 2 = {scenario.half} {order}"
        ).fetchall()
    names = FEATURES.split(", ")
    parts = [table[start : start + ROWS_A_REQUEST] for start in range(0, len(table), ROWS_A_REQUEST)]
    return Month(
        number=month,
        rows=[[dict(zip(names, values[2:], strict=True)) for values in part] for part in parts],
        late=[[values[0] for values in part] for part in parts],
        known=[[values[1] for values in part] for part in parts],
    )


def write_labels(path: Path, month: Month, everything: bool) -> None:
    """Writes the labels that are known at the month's end, or everything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = [
        (month.identity(request), row, late)
        for request, (lates, knowns) in enumerate(zip(month.late, month.known, strict=True))
        for row, (late, known) in enumerate(zip(lates, knowns, strict=True))
        if known or everything
    ]
    lines = ["id,row,label", *(f"{identity},{row},{int(late)}" for identity, row, late in labels)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def send(url: str, month: Month, threads: int = 2) -> list[list[float]]:
    """Asks an endpoint for every request of a month, and returns the predictions.

    Raises:
        UserError: A request failed.
    """

    def ask(request: int) -> list[float]:
        body = json.dumps({"instances": month.rows[request]}).encode()
        headers = {"Content-Type": "application/json", "Ce-Id": month.identity(request)}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
                return [row["prediction"] for row in json.load(answer)["predictions"]]
        except (urllib.error.URLError, OSError, KeyError, ValueError) as error:
            raise UserError(f"{url}: the request {month.identity(request)} failed: {error}") from error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, range(len(month.rows))))


def auc(late: Sequence[Sequence[bool]], predictions: Sequence[Sequence[float]]) -> float:
    """Returns the area under the ROC curve; equal predictions count half."""
    pairs = sorted(
        (score, is_late)
        for lates, scores in zip(late, predictions, strict=True)
        for is_late, score in zip(lates, scores, strict=True)
    )
    positives, ranks, start = sum(is_late for _, is_late in pairs), 0.0, 0
    while start < len(pairs):
        stop = start
        while stop < len(pairs) and pairs[stop][0] == pairs[start][0]:
            stop += 1
        ranks += (start + stop + 1) / 2 * sum(is_late for _, is_late in pairs[start:stop])
        start = stop
    negatives = len(pairs) - positives
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def wait_for_log(payloads: Path, records: int, pause: Callable[[float], None], seconds: float = 60.0) -> int:
    """Returns how many records a payload log holds, once it holds as many as wanted or the time is over."""
    found, waited = 0, 0.0
    while waited <= seconds:
        found = sum(path.read_text(encoding="utf-8").count('"reqType"') for path in payloads.rglob("*.json"))
        if found >= records:
            break
        pause(0.5)
        waited += 0.5
    return found


def _database() -> duckdb.DuckDBPyConnection:
    try:
        import duckdb
    except ImportError as error:
        raise UserError(
            "the example needs two more packages; `pip install 'mainspring[examples]'`, then run again"
        ) from error
    return duckdb.connect()
