"""A verdict from the cache is confirmed before it counts: what was valid runs out, and a refusal stays one."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from flightlike import ROWS, Run, span, write_examples

from mainspring.components.common.errors import UserError
from mainspring.components.validation.confirm_verdict import Confirmed, confirm_verdict

UTC = datetime.timezone.utc
TODAY = datetime.datetime.now(UTC).date()


def dated(days_ago: int) -> pa.Table:
    day = (TODAY - datetime.timedelta(days=days_ago)).isoformat()
    return span(5).append_column("day", pa.array([day] * ROWS))


def confirmed(run: Run, after_days: int) -> Confirmed:
    now = datetime.datetime.combine(TODAY, datetime.time(12), UTC) + datetime.timedelta(days=after_days)
    return confirm_verdict(run.valid, run.reasons, run.terms, now)


def test_an_allowance_that_expires_after_the_verdict_refuses_it_then(tmp_path: Path) -> None:
    expires = TODAY + datetime.timedelta(days=2)
    policy = f"allow: [{{anomaly: label_constant, feature: late, reason: a test, expires: {expires}}}]"
    table = span(5).set_column(5, "late", pa.array([0] * ROWS))
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"5": table}), policy=policy)
    assert run.valid, run.reasons
    assert confirmed(run, 0) == confirmed(run, 2) == Confirmed(True, "")
    assert confirmed(run, 3).valid is False
    assert confirmed(run, 3).reasons.startswith("late: the same value (0) in every row")
    assert f"allowed until {expires} (a test); that has expired" in confirmed(run, 3).reasons


def test_data_that_grow_too_old_after_the_verdict_are_refused_then(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"5": dated(1)})
    run = Run(tmp_path / "r", examples, timestamp="day", max_age_days=3.0)
    assert run.valid, run.reasons
    assert confirmed(run, 1).valid is True
    assert confirmed(run, 3).valid is False
    assert "at most 3 days of age are allowed (max_age_days)" in confirmed(run, 3).reasons


def test_age_that_the_policy_ignores_never_ends_a_verdict(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "e", {"5": dated(1)})
    policy = "severity: [{anomaly: too_old, severity: warning}]"
    run = Run(tmp_path / "r", examples, timestamp="day", max_age_days=3.0, policy=policy)
    assert (run.valid, run.terms) == (True, "")


def test_a_verdict_without_terms_holds_and_a_refusal_stays_one() -> None:
    assert confirm_verdict(True, "", "") == Confirmed(True, "")
    assert confirm_verdict(False, "too bad", "2020-01-01T00:00:00+00:00 old") == Confirmed(False, "too bad")


def test_terms_that_nobody_can_read_are_refused() -> None:
    with pytest.raises(UserError, match="does not begin with a moment"):
        confirm_verdict(True, "", "tomorrow perhaps")
