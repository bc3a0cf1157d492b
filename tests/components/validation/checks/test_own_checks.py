"""What TFDV does not see, each with data that has the fault and data that has not."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flightlike import ROWS, Run, changed, span, write_examples

from mainspring.components.common.errors import UserError
from mainspring.components.validation.checks import association, freshness, row_identities


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    run = Run(folder, write_examples(folder / "examples", {"4": span(4)}))
    assert run.valid, run.reasons
    (folder / "schema.pbtxt").write_bytes((run.schema / "schema.pbtxt").read_bytes())
    return folder


def judged(folder: Path, table: pa.Table, **parameters: Any) -> Run:
    return Run(folder, write_examples(folder / "e", {"5": table}), **parameters)


def finding(run: Run, kind: str) -> dict[str, Any]:
    return next(found for found in run.validation["findings"] if found["kind"] == kind)


@pytest.mark.parametrize("rows", [1000, 7000])
def test_a_jump_in_rows_against_the_baseline_is_refused(baseline: Path, tmp_path: Path, rows: int) -> None:
    table = pa.concat_tables([span(5), span(6), span(7)]).slice(0, rows)
    run = judged(tmp_path, table, baseline_uri=str(baseline), policy="severity: [{severity: ignore, anomaly: drift}]")
    assert "rows, the baseline had 2,399; at most 2 times more or fewer are allowed (max_row_factor)" in run.reasons


def test_a_jump_in_rows_that_the_policy_allows_passes(baseline: Path, tmp_path: Path) -> None:
    run = judged(tmp_path, span(5).slice(0, 1000), baseline_uri=str(baseline), policy="limits: {max_row_factor: 3.5}")
    assert run.valid, run.reasons


def test_a_label_far_off_balance_is_refused(baseline: Path, tmp_path: Path) -> None:
    late = (np.random.default_rng(1).random(ROWS) < 0.04).astype(np.int64)
    run = judged(tmp_path, changed(span(5), late=late), baseline_uri=str(baseline))
    assert 'late: "1" is the label in 4' in run.reasons
    assert finding(run, "label_balance")["feature"] == "late"


def test_a_text_label_of_which_a_value_vanishes_is_off_balance(tmp_path: Path) -> None:
    words = pa.array(["yes" if value else "no" for value in span(4)["late"].to_pylist()])
    first = judged(tmp_path / "1", span(4).set_column(5, "late", words))
    (tmp_path / "1" / "schema.pbtxt").write_bytes((first.schema / "schema.pbtxt").read_bytes())
    almost = pa.array(["no"] * (ROWS - 4) + ["yes"] * 4)
    run = judged(tmp_path / "2", span(5).set_column(5, "late", almost), baseline_uri=str(tmp_path / "1"))
    assert finding(run, "label_balance")["error"]


def test_repeated_rows_are_a_warning_with_their_share_and_rows(tmp_path: Path) -> None:
    run = judged(tmp_path, pa.concat_tables([span(5), span(5).slice(0, 300)]))
    assert run.valid, run.reasons
    repeated = "300 rows of 3,300 in train and eval (9.1 %) repeat earlier ones; 1 % allowed (max_duplicate_share)"
    assert repeated in run.validation["warnings"]
    rows = finding(run, "duplicate_rows")["rows"]
    assert rows[0]["values"] == rows[1]["values"]


def test_repeated_rows_are_an_error_if_the_policy_says_so(tmp_path: Path) -> None:
    table = pa.concat_tables([span(5), span(5).slice(0, 1)])
    policy = "limits: {max_duplicate_share: 0}\nseverity: [{anomaly: duplicate_rows, severity: error}]"
    run = judged(tmp_path, table, policy=policy)
    assert run.reasons.startswith("1 row of 3,001 in train and eval (0.033 %) repeats an earlier one; none allowed")


def test_rows_are_told_apart_by_every_column_type_and_by_what_is_missing(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": pa.array([0, None, 0, 0, 0, 0], pa.int64()),
            "x": pa.array([0.0, 0.0, None, 0.0, 0.0, 0.0]),
            "s": ["", "", "", None, "ä", ""],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    (found,) = row_identities.read([tmp_path / "t.parquet"], [])
    assert row_identities.repeated([found.rows])[0] == 1
    assert found.rows[0] == found.rows[5]


def test_columns_do_not_stand_in_for_one_another(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": [2, 1]}), tmp_path / "t.parquet")
    (found,) = row_identities.read([tmp_path / "t.parquet"], [])
    assert row_identities.repeated([found.rows])[0] == 0


def test_the_same_key_in_train_and_eval_is_refused_and_shown(tmp_path: Path) -> None:
    ticket = pa.array([str(number) for number in range(ROWS - 2)] + ["0", "1"])
    table = span(5).append_column("ticket", ticket)
    examples = write_examples(tmp_path / "e", {"5": table})
    train = set(pq.read_table(examples / "train" / "5.parquet")["ticket"].to_pylist())
    both = train & set(pq.read_table(examples / "eval" / "5.parquet")["ticket"].to_pylist())
    assert both
    run = Run(tmp_path, examples, key=["ticket"])
    assert run.reasons.startswith(f"ticket: {len(both)} key")
    assert {row["values"]["ticket"] for row in finding(run, "key_in_train_and_eval")["rows"]} <= both
    assert Run(tmp_path / "2", examples).valid


def test_a_key_of_several_columns_is_their_combination(tmp_path: Path) -> None:
    table = span(5).append_column("n", pa.array(range(ROWS)))
    assert judged(tmp_path, table, key=["month", "n"]).valid
    assert not judged(tmp_path / "2", table, key=["month"]).valid


@pytest.mark.parametrize("kind", ["code", "delay"])
def test_a_feature_that_gives_the_label_away_is_refused_unless_training_leaves_it_out(
    tmp_path: Path, kind: str
) -> None:
    late, random = np.array(span(5)["late"]), np.random.default_rng(3)
    delay = np.where(late == 1, 15 + random.gamma(2, 20, ROWS), random.normal(-5, 5, ROWS).clip(-60, 14))
    told = pa.array(np.where(late == 1, "L", "T")) if kind == "code" else pa.array(delay)
    table = span(5).append_column(kind, told)
    run = judged(tmp_path, table)
    assert run.reasons.startswith(f"{kind}: gives the label away")
    assert len(run.reasons.splitlines()) == 1
    assert judged(tmp_path / "2", table, exclude=[kind]).valid


def test_a_quantity_is_given_away_by_its_multiple_but_not_by_a_good_feature(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    price = random.gamma(3, 10, 4000)
    table = pa.table({"price": price, "cents": price * 100, "size": price + random.normal(0, 4, 4000),
                      "id": np.arange(4000)})  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    found = association.with_label([tmp_path / "t.parquet"], "price", [])
    assert found["cents"] > 0.98
    assert 0.5 < found["size"] < 0.98
    assert found["id"] < 0.1


def test_a_running_number_or_name_does_not_predict_by_being_unique(tmp_path: Path) -> None:
    table = pa.table({"id": [str(n) for n in range(2000)], "n": np.arange(2000), "y": np.arange(2000) % 7 % 2})
    pq.write_table(table, tmp_path / "t.parquet")
    found = association.with_label([tmp_path / "t.parquet"], "y", [])
    assert found["id"] == 0
    assert found["n"] < 0.2


NOW = datetime.datetime.now(datetime.timezone.utc)


@pytest.mark.parametrize(
    "value",
    [
        (NOW - datetime.timedelta(days=9)).isoformat(),
        (NOW - datetime.timedelta(days=9)).date().isoformat(),
        int((NOW - datetime.timedelta(days=9)).strftime("%Y%m%d")),
        int((NOW - datetime.timedelta(days=9)).timestamp()),
        int((NOW - datetime.timedelta(days=9)).timestamp() * 1e3),
        int((NOW - datetime.timedelta(days=9)).timestamp() * 1e9),
        (NOW - datetime.timedelta(days=9)).timestamp(),
    ],
)
def test_the_newest_moment_is_read_in_every_usual_form(tmp_path: Path, value: Any) -> None:
    old = type(value)(20200101) if not isinstance(value, str) else "2020-01-01"
    pq.write_table(pa.table({"at": [old, None, value]}), tmp_path / "t.parquet")
    age = (NOW - freshness.newest([tmp_path / "t.parquet"], "at")).total_seconds() / 86400
    assert 8.99 < age < 10.01


def test_old_data_is_refused_and_young_data_passes(tmp_path: Path) -> None:
    table = span(5).append_column("at", pa.array([int(NOW.timestamp()) - 9 * 86400 - n for n in range(ROWS)]))
    run = judged(tmp_path, table, timestamp="at", max_age_days=7.0)
    assert run.reasons.startswith("at: the newest row of span 5 is from 20")
    assert "9.0 days ago; at most 7 are allowed (max_age_days)" in run.reasons
    assert judged(tmp_path / "2", table, timestamp="at", max_age_days=10).valid


def test_an_age_that_cannot_be_told_or_lies_ahead_is_a_refusal(tmp_path: Path) -> None:
    words = span(5).append_column("at", pa.array(["soon"] * ROWS))
    run = judged(tmp_path, words, timestamp="at", max_age_days=7.0, policy="severity: [{severity: ignore}]")
    assert "at: the age of span 5 cannot be judged; 'soon' is neither" in run.reasons
    ahead = span(5).append_column("at", pa.array([int(NOW.timestamp()) + 5 * 86400] * ROWS))
    assert "which is in the future" in judged(tmp_path / "2", ahead, timestamp="at", max_age_days=7.0).reasons


def test_numbers_that_are_not_finite_are_refused_with_rows(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).random((2, ROWS))
    noise[0, 3], noise[1, 4] = np.nan, np.inf
    table = span(5).append_column("a", pa.array(noise[0])).append_column("b", pa.array(noise[1]))
    run = judged(tmp_path, table)
    assert "a: NaN in 1 row of " in run.reasons
    assert "b: infinite numbers in 1 row of " in run.reasons
    assert {row["values"].get("a") for row in finding(run, "non_finite")["rows"]} == {"nan"}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"key": ["tial"]}, "key='tial' is not a column of the examples"),
        ({"timestamp": "at", "max_age_days": 3.0}, "timestamp='at' is not a column"),
        ({"timestamp": "month"}, "timestamp and max_age_days go together"),
        ({"max_age_days": 2.0}, "timestamp and max_age_days go together"),
        ({"timestamp": "month", "max_age_days": -1.0}, "max_age_days=-1.0: expected a number of days"),
    ],
)
def test_wrong_parameters_are_refused_before_any_row_is_read(tmp_path: Path, parameters: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        judged(tmp_path, span(5), **parameters)
    assert not (tmp_path / "statistics").exists()
