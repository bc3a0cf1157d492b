"""The demo's year: what it says of its outcome, and that what is done is not done again. `make demo` plays it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pytest

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.pipelines.examples import flights, live_flights, year, year_page
from mainspring.pipelines.examples.live_flights import Scenario
from mainspring.pipelines.examples.year_page import MONTHLY, NEVER, PAYING, Strategy
from tests.browser import opened


def ways(paying: float, runs: int) -> list[Strategy]:
    """Three ways, of which the monthly one gains 0.1 a month over the one that is never retrained."""
    return [
        Strategy(NEVER, [0.6] * 6),
        Strategy(MONTHLY, [0.7] * 6, runs=5, seconds=300.0),
        Strategy(PAYING, [paying] * 6, runs=runs, seconds=120.0, monitoring_seconds=60.0, decisions=["July: keep"]),
    ]


@pytest.mark.parametrize(
    ("paying", "runs", "words"),
    [
        (0.696, 2, "96% of the gain of retraining every month, with 2 of its 5 runs (wanted: 95 % with at most half"),
        (0.69, 2, "missed"),
        (0.7, 3, "missed"),
        (0.72, 1, "120% of the gain"),
    ],
)
def test_the_outcome_is_reached_only_with_the_gain_and_few_enough_runs(paying: float, runs: int, words: str) -> None:
    last = year_page.told(ways(paying, runs))[-1]
    assert words in last
    assert ("reached" in last) == (paying > 0.695 and runs < 3)


def test_without_a_gain_of_retraining_there_is_nothing_to_keep() -> None:
    flat = [Strategy(name, [0.6] * 6) for name in (NEVER, MONTHLY, PAYING)]
    assert "nothing to keep" in year_page.told(flat)[-1]


def test_what_is_printed_fits_a_terminal_of_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    for line in year_page.told(ways(0.69, 2)):
        year._say(line, indent=4)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 80
    assert len(printed) > 4


def test_what_was_done_before_the_year_was_cut_short_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(year, "SCRIPT", "/nothing/to/run")
    way = Strategy(MONTHLY)
    month = live_flights.Month(7, [], [], [])
    for step in (lambda: year._train(tmp_path, way, 7, 1), lambda: year._asked(tmp_path, way, month)):
        with pytest.raises(FileNotFoundError):
            step()
    deployed = {"name": "deploy-model", "outputs": {"version": 2}}
    storage.write_json(tmp_path / "steps" / "monthly-07-run.json", {"seconds": 30.0, "tasks": [deployed]})
    storage.write_json(tmp_path / "steps" / "monthly-07-asked.json", {"auc": 0.7})
    assert year._train(tmp_path, way, 7, 1) == "version 2 serves"
    assert year._asked(tmp_path, way, month) == 0.7
    assert (way.runs, way.seconds) == (1, 30.0)


def test_another_year_in_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year, "SCRIPT", "/nothing/to/run")
    for scenario, error in ((Scenario(), OSError), (Scenario(8), UserError), (Scenario(half=1), UserError)):
        with pytest.raises(error):
            year.play(tmp_path, scenario)


def test_the_shift_begins_in_the_scenarios_month_and_the_halves_are_all_flights(tmp_path: Path) -> None:
    flights.write_months(tmp_path)

    def departures(month: int, *scenarios: Scenario) -> Counter[int]:
        months = [live_flights.read_month(tmp_path, month, scenario) for scenario in scenarios]
        return Counter(row["sched_dep_time"] for one in months for rows in one.rows for row in rows)

    arrived = "SELECT (sched_dep_time + {}) % 2400 FROM '{}/flights-2013-{:02d}.parquet' WHERE arr_delay IS NOT NULL"
    for month, shift_month, hours in ((7, 8, 0), (8, 8, 4), (8, 9, 0), (11, 8, 5), (11, live_flights.NEVER, 0)):
        expected = duckdb.execute(arrived.format(100 * hours, tmp_path, month)).fetchall()
        asked = departures(month, Scenario(shift_month, 0), Scenario(shift_month, 1))
        assert asked == Counter(time for (time,) in expected)
    assert departures(7, Scenario(half=0)) != departures(7, Scenario(half=1))


def test_a_run_that_failed_is_not_taken_for_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "mainspring"
    failing.write_text('#!/bin/sh\nfor last; do :; done\nwhile [ "$1" != --summary ]; do shift; done\n')
    failing.write_text(failing.read_text() + 'echo "{}" > "$2"\necho "error: no room"\nexit 1\n')
    failing.chmod(0o755)
    monkeypatch.setattr(year, "SCRIPT", str(failing))
    for _ in range(2):
        with pytest.raises(SystemExit, match="no room"):
            year._train(tmp_path, Strategy(MONTHLY), 7, 1)


def test_the_page_shows_three_lines_and_what_each_cost_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / year.PAGE
    page.write_text(year_page.page_of(ways(0.696, 2), Scenario().told(), 300.0))
    shown = opened(page, tmp_path / "profile")
    assert shown.count("<svg") == 2
    assert all(title in shown for title in year_page.TITLES.values())
    assert "reached" in shown
