"""Columns that grow, never vary or are ids, rows without anything, and counts of the right split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from flightlike import ROWS, Run, changed, span, write_examples

DAY = 86_400


def month(number: int, ordered: bool = False) -> pa.Table:
    """A month whose columns grow in every way that data grow in."""
    random = np.random.default_rng(number)
    start, days = 1_767_225_600 + number * 31 * DAY, random.integers(0, 31, ROWS)
    ids = random.permutation(ROWS) + number * ROWS + 100_000
    return (
        span(number)
        .drop(["month"])
        .append_column("ordered", pa.array(start + random.integers(0, 31 * DAY, ROWS)))
        .append_column("day", pa.array(20260100 + number * 100 + 1 + days % 28))
        .append_column("on", pa.array([f"2026-{number:02d}-{1 + day % 28:02d}" for day in days]))
        .append_column("order_id", pa.array(ids))
        .append_column("ticket", pa.array([f"T-{one}" for one in ids]))
        .append_column("line", pa.array(np.arange(ROWS) + number * ROWS))
    )


GROWING = {"ordered", "day", "on", "order_id", "ticket", "line"}


def baseline_of(folder: Path, table: pa.Table, **parameters: Any) -> Path:
    run = Run(folder, write_examples(folder / "examples", {"1": table}), **parameters)
    assert run.valid, run.reasons
    (folder / "schema.pbtxt").write_bytes((run.schema / "schema.pbtxt").read_bytes())
    return folder


def kinds(run: Run) -> dict[str, str]:
    return {one["feature"]: one["kind"] for one in run.validation["findings"]}


def test_columns_that_grow_are_left_out_of_drift_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = baseline_of(tmp_path / "b", month(1))
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"2": month(2)}), baseline_uri=str(first))
    assert run.reasons == ""
    assert set(run.validation["left_out_of_drift"]) == GROWING
    assert run.validation["left_out_of_drift"]["on"] == "dates or times"
    assert "an id" in run.validation["left_out_of_drift"]["order_id"]
    assert "Left out of drift: " in capsys.readouterr().out
    assert "Left out of drift" in run.page
    assert {one["feature"] for one in run.validation["drift"]} == {"distance", "carrier", "tail", "seats", "late"}
    judged = Run(
        tmp_path / "s",
        tmp_path / "e",
        baseline_uri=str(first),
        policy="drift: {judge: [order_id], leave_out: [seats]}",
    )
    assert judged.reasons.startswith("order_id: drifted")
    assert "seats" not in {one["feature"] for one in judged.validation["drift"]}


def test_amounts_are_no_columns_that_grow(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    table = span(1).append_column("amount", pa.array(random.gamma(2, 3000, ROWS).astype(np.int64)))
    table = table.append_column("salary", pa.array((random.lognormal(10, 0.5, ROWS) * 100).round().astype(np.int64)))
    table = table.append_column("zip", pa.array(random.integers(10_000, 99_999, ROWS).astype(str)))
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"1": table}))
    assert not {"amount", "salary", "zip", "distance", "seats"} & set(run.validation["left_out_of_drift"])


def test_an_empty_row_is_one_finding(tmp_path: Path) -> None:
    first = baseline_of(tmp_path / "b", span(1))
    nothing = pa.table({field.name: pa.array([None], field.type) for field in span(2).schema})
    carriers = ["ZZ"] * 3 + span(2)["carrier"].to_pylist()[3:]
    table = pa.concat_tables([changed(span(2), carrier=carriers), nothing])
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"2": table}), baseline_uri=str(first))
    assert [one.split(" [")[0] for one in run.reasons.splitlines()] == [
        "1 row of span 2 has no value in any column; leave it out in the query",
        'carrier: 3 rows in span 2 have values that the schema does not know: "ZZ"',
    ]
    found = next(one for one in run.validation["findings"] if one["kind"] == "empty_rows")
    assert set(found["rows"][0]["values"].values()) == {None}
    half = {
        name: pa.array([None], span(2).schema.field(name).type) for name in ("month", "distance", "carrier", "tail")
    }
    rest = {name: span(2)[name].slice(0, 1).combine_chunks() for name in ("seats", "late")}
    torn = pa.concat_tables([span(2), pa.table({**half, **rest})])
    run = Run(tmp_path / "s", write_examples(tmp_path / "e2", {"2": torn}), baseline_uri=str(first))
    assert len(run.reasons.splitlines()) == 1
    assert "without a value in carrier, distance, month and 1 other column" in run.reasons


def test_a_constant_that_moves_is_said_with_both_values(tmp_path: Path) -> None:
    def fee(number: int, value: float) -> pa.Table:
        return span(number).append_column("fee", pa.array([value] * ROWS))

    first = baseline_of(tmp_path / "b", fee(1, 7.0))
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"2": fee(2, 1e6)}), baseline_uri=str(first))
    assert run.valid
    assert "fee: was 7 in every row of the baseline, is 1,000,000 in every row of train of span 2" in str(
        run.validation["warnings"]
    )
    same = Run(tmp_path / "s", write_examples(tmp_path / "e2", {"2": fee(2, 7.0)}), baseline_uri=str(first))
    assert "fee: was" not in str(same.validation["warnings"])


def test_columns_that_say_nothing_or_everything_are_said(tmp_path: Path) -> None:
    table = month(1).append_column("fee", pa.array([7.25] * ROWS))
    words = pa.array([f"word {n % 1500}" for n in range(ROWS)])
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"1": table.append_column("words", words)}))
    found = kinds(run)
    assert run.valid
    assert {name for name, kind in found.items() if kind == "unique_column"} == {"order_id", "ticket", "line"}
    assert found["fee"] == "constant_column"
    assert "fee: the same value (7.25) in every row of train" in str(run.validation["warnings"])
    assert found["words"] == "many_values"
    assert "text of 1,200 different values" in str(run.validation["warnings"])
    assert not {"carrier", "distance", "seats", "tail", "late"} & set(found)


def test_counts_are_those_of_the_split_that_is_named(tmp_path: Path) -> None:
    first = baseline_of(tmp_path / "b", span(1))
    in_eval = (np.arange(ROWS) * 0.618) % 1 < 0.2
    carriers = np.array(span(2)["carrier"].to_pylist(), object)
    carriers[np.flatnonzero(in_eval)[:5]] = "ZZ"
    carriers[np.flatnonzero(~in_eval)[:2]] = "ZZ"
    distance = span(2)["distance"].to_pylist()
    for row in [*np.flatnonzero(in_eval)[:3], *np.flatnonzero(~in_eval)[:4]]:
        distance[row] = None
    table = changed(span(2), carrier=carriers.tolist(), distance=distance)
    with_span = Run(tmp_path / "r", write_examples(tmp_path / "e", {"2": table}), baseline_uri=str(first))
    assert "carrier: 7 rows in span 2" in with_span.reasons
    assert "distance: missing in 0.23 % of the rows (7) of span 2" in with_span.reasons
    without = Run(tmp_path / "s", write_examples(tmp_path / "e2", {"all": table}), baseline_uri=str(first))
    assert "carrier: 2 rows in train" in without.reasons
    assert "(4) of train" in without.reasons


def test_a_range_of_32_bits_refuses_what_it_was_not_written_for(tmp_path: Path) -> None:
    table = span(1).append_column("price", pa.array([0.1, 108.9, 50.0] * (ROWS // 3)))
    first = Run(tmp_path / "b", write_examples(tmp_path / "e", {"1": table}))
    text = (first.schema / "schema.pbtxt").read_text()
    for high, reasons in (("108.9", 0), ("100.1", 1)):
        given = text.replace('name: "price"', f'name: "price"\n  float_domain {{ min: 0.1 max: {high} }}')
        (tmp_path / "s.pbtxt").write_text(given)
        run = Run(tmp_path / high, tmp_path / "e", schema_uri=str(tmp_path / "s.pbtxt"))
        assert len(run.reasons.splitlines()) == reasons
    assert "price: 1,000 rows of span 1 outside the schema's range, 0.1 to 100.1; 0.1 to 108.9 are there" in run.reasons
    assert "100.0999" not in run.page


def odd_columns() -> dict[str, pa.Array]:
    few = np.arange(ROWS) % 2
    return {
        "neighbours": pa.array(10**16 + 1 + few),
        "far": pa.array(np.where(few, -(2**63), 2**63 - 1)),
        "huge": pa.array(np.where(few, 1.7e308, -1.7e308)),
        "tiny": pa.array(5e-324 * few),
        "close": pa.array(1.0 + 2.3e-16 * few),
        "constant": pa.array([10**17] * ROWS),
    }


def test_odd_numbers_have_a_page_and_a_verdict(tmp_path: Path) -> None:
    table = span(1)
    for name, values in odd_columns().items():
        table = table.append_column(name, values)
    first = baseline_of(tmp_path / "b", table)
    run = Run(tmp_path / "r", write_examples(tmp_path / "e", {"2": table}), baseline_uri=str(first))
    assert run.valid
    for name in odd_columns():
        assert f'id="feature-{name}"' in run.page
    assert not {"nan", "inf"} & {text.strip('",') for text in run.page.replace(",", " ").split()}
