"""Retraining is decided by findings, and debounced; each decision is written down with its reason."""

from __future__ import annotations

import json

import pytest

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.monitoring.decide_retraining import decide_retraining
from mainspring.components.monitoring.journal import journal_folder


@pytest.fixture
def decide(tmp_path):
    def run(day, alarms=("quality",), policy="", requests=5000, hour=0, created="2026-10-01T00:00:00+00:00"):
        key = f"202611{day:02d}T{hour:02d}0000Z"
        findings = {
            "key": key,
            "name": "flights",
            "as_of": f"2026-11-{day:02d}T{hour:02d}:00:00+00:00",
            "version": 3,
            "version_created": created,
            "volume": {"requests": requests},
            "findings": [{"kind": kind, "alarm": True, "sentence": f"{kind} is bad"} for kind in alarms],
        }
        storage.write_json(tmp_path / "m" / "monitoring.json", findings)
        return decide_retraining(str(tmp_path / "m"), str(tmp_path / "journal"), policy)

    return run


def test_lost_quality_is_a_reason_and_the_decision_is_kept(decide, tmp_path):
    assert decide(1) == (True, "quality is bad")
    kept = json.loads((tmp_path / "journal/decisions/20261101T000000Z.json").read_text())
    assert (kept["retrain"], kept["reason"], kept["version"]) == (True, "quality is bad", 3)


@pytest.mark.parametrize("alarms", [(), ("errors", "records", "volume"), ("traffic",)])
def test_what_a_new_model_would_not_mend_is_none(decide, alarms):
    assert decide(1, alarms) == (False, "nothing that a new model would mend was found")


def test_a_policy_says_what_counts(decide):
    assert decide(1, ("drift",)).retrain is False
    assert decide(2, ("drift",), "retrain: {causes: [drift]}").retrain is True
    assert decide(3, ("quality",), "retrain: {causes: [drift]}").retrain is False


def test_little_traffic_waits(decide):
    verdict = decide(1, requests=999)
    assert verdict == (False, "only 999 requests; a retraining needs 1,000 to go by")


def test_the_cool_down_is_waited_for(decide):
    policy = "retrain: {cool_down_days: 3}"
    assert decide(1, policy=policy).retrain is True
    assert decide(3, policy=policy) == (False, "the last retraining was 2.0 days ago; 3 are waited")
    assert decide(4, policy=policy).retrain is True


def test_the_cap_holds_in_any_seven_days(decide):
    policy = "retrain: {cool_down_days: 0.1, max_per_week: 2}"
    assert [decide(day, policy=policy).retrain for day in (1, 3, 5, 7, 8)] == [True, True, False, False, True]


def test_an_old_model_is_trained_anew_even_with_little_traffic(decide):
    policy = "retrain: {max_age_days: 30}"
    verdict = decide(1, (), policy, requests=5)
    assert verdict == (True, "the model is 31.0 days old; 30 are allowed")
    assert decide(2, (), policy, created="2026-11-01T00:00:00+00:00").retrain is False


def test_the_same_window_is_decided_the_same_way_again(decide):
    assert decide(1).retrain is True
    assert decide(1).retrain is True


def test_a_journal_that_cannot_be_read_ends_the_run(decide, tmp_path):
    decide(1)
    (tmp_path / "journal/decisions/20261101T000000Z.json").write_text('{"window": 1}')
    with pytest.raises(UserError, match=r"not a decision .*; remove it, then run again"):
        decide(2)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("retrain: {causes: [qality]}", "unknown 'qality'; did you mean quality?"),
        ("retrain: {cool_down_days: -1}", "cool_down_days: expected a number of 0 or more"),
        ("retrain: {max_per_week: 1.5}", "expected a whole number"),
        ("retrain: [1]", "expected a mapping"),
        ("limits: {max_error_share: 2}", "from 0 to 1"),
        ("business: {name: x}", "sql is missing"),
        ("a: b: c", "not YAML"),
        ("retrain: {cool_down_days: 1, cool_down_days: 9}", "the key 'cool_down_days' occurs twice"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_a_wrong_policy_is_one_line(decide, policy, words):
    with pytest.raises(UserError) as error:
        decide(1, policy=policy)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_journal_is_where_the_window_was_kept_and_by_default_beside_a_bucket_s_versions(tmp_path):
    assert journal_folder.beside("gs://b/models/flights/3") == "gs://b/models/.monitoring/flights"
    assert journal_folder.beside("s3://b/flights/3/") == "s3://b/.monitoring/flights"
    assert journal_folder.beside(str(tmp_path / "models/flights/3")) == ""
    kept = tmp_path / "kept"
    findings = {
        "key": "20261101T000000Z",
        "name": "flights",
        "as_of": "2026-11-01T00:00:00+00:00",
        "version": 3,
        "version_created": "2026-10-01T00:00:00+00:00",
        "volume": {"requests": 5000},
        "findings": [],
        "journal": str(kept),
    }
    storage.write_json(tmp_path / "m" / "monitoring.json", findings)
    decide_retraining(str(tmp_path / "m"))
    assert (kept / "decisions/20261101T000000Z.json").is_file()
