"""What the words of a file stand for: all rows decide, by one rule, and nothing is respelled on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import read_split, types_of

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples

EPOCH = 1_359_676_800
"""The first of February 2013."""


def csv_file(path: Path, values: list[str]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("k,v\n" + "".join(f"{place},{value}\n" for place, value in enumerate(values)))
    return str(path)


def column(examples: Path) -> list[object]:
    rows = read_split(examples, "train", "k, v") + read_split(examples, "eval", "k, v")
    return [value for _, value in sorted(rows, key=lambda row: row[0])]


RULES = [
    (["1", "2", ""], [1, 2, None]),
    (["1", "2.5"], [1.0, 2.5]),
    (["1", ".5", "-0.25", "1e-05", "1.5E3"], [1.0, 0.5, -0.25, 1e-05, 1500.0]),
    (["1", "NA", "null", "None", "n/a", "NaN"], [1, None, None, None, None, None]),
    (["DE", "NA", "null"], ["DE", "NA", "null"]),
    (["NA", "", "NaN"], [None, None, None]),
    (["123", "00123"], ["123", "00123"]),
    (["1", "1_000"], ["1", "1_000"]),
    (["1E5", "2E7"], ["1E5", "2E7"]),
    (["0x1F", "0x20"], ["0x1F", "0x20"]),
    (["+49", "1"], ["+49", "1"]),
    (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
    ([str(2**63 - 1), str(-(2**63))], [2**63 - 1, -(2**63)]),
    ([str(2**53 + 1), "0.5"], [str(2**53 + 1), "0.5"]),
    (["true", "False", "TRUE", ""], [1, 0, 1, None]),
    (["true", "1"], ["true", "1"]),
    (["yes", "no"], ["yes", "no"]),
    (["t", "f"], ["t", "f"]),
    (["2013-02-01", ""], [EPOCH, None]),
    (["2013-02-01", "2013-02-01T00:00:01"], [EPOCH, EPOCH + 1]),
    (["2013-02-01 00:00:01.75", "2013-02-01T02:00:00+02:00"], [EPOCH + 1, EPOCH]),
    (["2013-02-01", "epoch"], ["2013-02-01", "epoch"]),
    (["2013-02-01", "infinity"], ["2013-02-01", "infinity"]),
    (["2013-02-01", "2013-02-30"], ["2013-02-01", "2013-02-30"]),
    (["01/02/13", "03/04/13"], ["01/02/13", "03/04/13"]),
    (["10:30", "09:05:00"], ["10:30", "09:05:00"]),
    (["6ba7b810-9dad-11d1-80b4-00c04fd430c8"] * 2, ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"] * 2),
]


@pytest.mark.parametrize(("values", "expected"), RULES, ids=lambda values: " ".join(map(str, values))[:40])
def test_all_values_of_a_csv_column_decide_what_it_is(
    tmp_path: Path, values: list[str], expected: list[object]
) -> None:
    ingest_examples(csv_file(tmp_path / "a.csv", values), str(tmp_path / "ex"))
    assert column(tmp_path / "ex") == expected
    assert [type(value) for value in column(tmp_path / "ex")] == [type(value) for value in expected]


@pytest.mark.parametrize("late", ["7.9", ".5", "1e-1", "1_000", "00123", "x", "NA"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_late_value_decides_as_an_early_one_does(tmp_path: Path, late: str, parts: int) -> None:
    values = [str(i % 9 + 1) for i in range(6_000)]
    files = [[*values, late]] if parts == 1 else [values, [late]]
    for number, part in enumerate(files):
        csv_file(tmp_path / "late" / f"{number}.csv", part)
    ingest_examples(str(tmp_path / "late"), str(tmp_path / "ex"))
    ingest_examples(csv_file(tmp_path / "early.csv", [late, "1"]), str(tmp_path / "early"))
    assert types_of(tmp_path / "ex")["v"] == types_of(tmp_path / "early")["v"]
    assert column(tmp_path / "early")[0] in column(tmp_path / "ex")


def test_an_empty_column_promises_no_type(tmp_path: Path) -> None:
    csv_file(tmp_path / "in" / "s-1.csv", ["", "NA"])
    csv_file(tmp_path / "in" / "s-2.csv", ["3", "4"])
    (tmp_path / "in" / "s-3.csv").write_text("k,v\n")
    ingest_examples(str(tmp_path / "in" / "s-{SPAN}.csv"), str(tmp_path / "ex"), spans="1-2")
    assert types_of(tmp_path / "ex")["v"] == "BIGINT"
    query = "SELECT k, v * 2 AS v FROM source"
    ingest_examples(str(tmp_path / "in" / "s-{SPAN}.csv"), str(tmp_path / "alone"), spans="1", query=query)
    assert column(tmp_path / "alone") == [None, None]


JSON_RULES = [
    ([1, 2, None], [1, 2, None]),
    ([1, 2.5], [1.0, 2.5]),
    (["1", "2"], ["1", "2"]),
    ([1, "NA"], [1, None]),
    (["DE", "NA"], ["DE", "NA"]),
    ([1, "x"], ["1", "x"]),
    ([True, False, None], [1, 0, None]),
    ([True, "true"], ["true", "true"]),
    ([12345678901234567890123, 1], ["12345678901234567890123", "1"]),
    ([1.5, float("nan")], [1.5, None]),
    (["2013-02-01", None], [EPOCH, None]),
    (["yes", "no"], ["yes", "no"]),
    (["", "x"], ["", "x"]),
]


@pytest.mark.parametrize(("values", "expected"), JSON_RULES, ids=str)
def test_all_values_of_a_json_key_decide_what_it_is(
    tmp_path: Path, values: list[object], expected: list[object]
) -> None:
    lines = [json.dumps({"k": place, "v": value}) + "\n" for place, value in enumerate(values)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    ingest_examples(str(tmp_path / "a.jsonl"), str(tmp_path / "ex"))
    assert column(tmp_path / "ex") == expected


def test_two_keys_one_of_which_ends_in_a_number_are_two_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"carrier": "x", "Carrier_1": "y"}\n')
    ingest_examples(str(tmp_path / "a.jsonl"), str(tmp_path / "ex"))
    assert list(types_of(tmp_path / "ex")) == ["carrier", "Carrier_1"]


def test_words_for_missing_are_no_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("NA,null,nan\n1,2,3\n")
    ingest_examples(str(tmp_path / "a.csv"), str(tmp_path / "ex"))
    assert list(types_of(tmp_path / "ex")) == ["NA", "null", "nan"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_words_for_missing_that_are_given_are_missing_in_every_column(tmp_path: Path, ending: str) -> None:
    rows = [{"k": 0, "v": "?", "n": 1}, {"k": 1, "v": "NA", "n": -999}]
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("k,v,n\n" + "".join(f"{row['k']},{row['v']},{row['n']}\n" for row in rows))
    ingest_examples(str(path), str(tmp_path / "ex"), missing_words=["?", "-999"])
    found = sorted(read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval"))
    assert found == [(0, None, 1), (1, "NA", None)]


TYPES = {
    "zip": "string",
    "member": "boolean",
    "joined": "timestamp",
    "price": "double comma",
    "day": "date %d.%m.%Y",
    "n": "int",
}
SAID = {
    "zip": "123",
    "member": "yes",
    "joined": "2013-02-01T01:00:00+01:00",
    "price": "1.234,5",
    "day": "01.02.2013",
    "n": "4.0",
}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_columns_are_can_be_said(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([SAID] * 9), path)
    elif ending == "jsonl":
        path.write_text((json.dumps(SAID) + "\n") * 9)
    else:
        path.write_text(";".join(SAID) + "\n" + (";".join(SAID.values()) + "\n") * 9)
    query = "SELECT *, joined < TIMESTAMP '2014-01-01' AS early FROM source"
    ingest_examples(str(path), str(tmp_path / "ex"), types=TYPES, query=query)
    found = set(read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval"))
    assert found == {("123", 1, EPOCH, 1234.5, EPOCH, 4, 1)}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("int64", "x"), ("boolean", "maybe"), ("timestamp", "1 May"), ("double", "1,5"), ("date", "2013")],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_value_that_is_not_what_was_said_is_refused_by_its_place(
    tmp_path: Path, kind: str, value: str, ending: str
) -> None:
    rows = [{"v": "", "k": "1"}] * 5 + [{"v": value, "k": "1"}]
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("v;k\n" + "".join(f"{row['v']};{row['k']}\n" for row in rows))
    with pytest.raises(UserError) as caught:
        ingest_examples(str(path), str(tmp_path / "ex"), types={"v": kind})
    assert f"{value!r}, but types says that it is {kind}" in str(caught.value)
    assert {"csv": "a.csv: line 7: column v", "jsonl": "a.jsonl: line 6: column v", "parquet": "a.parquet: "}[
        ending
    ] in str(caught.value)


@pytest.mark.parametrize(
    ("types", "says"),
    [
        ({"v": "colour"}, "types: v is to be 'colour'; say one of string, int64"),
        ({"nope": "string"}, "types: nope is no column; there are k, v"),
        ({"v": "string %d"}, "only a time takes a format"),
        ("[1]", "types: say a type by column"),
        ("{", "types: is no JSON object"),
    ],
)
def test_types_that_cannot_be_meant_are_refused(tmp_path: Path, types: object, says: str) -> None:
    with pytest.raises(UserError) as caught:
        ingest_examples(csv_file(tmp_path / "a.csv", ["1"]), str(tmp_path / "ex"), types=types)  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_columns_that_look_like_decimal_commas_or_dates_are_named_with_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("price;day;name\n" + "1,5;25.12.2013;x\n" * 9)
    ingest_examples(str(tmp_path / "a.csv"), str(tmp_path / "ex"))
    said = capsys.readouterr().out
    assert "types: {price: double comma} reads them" in said
    assert "types: {day: 'date %d/%m/%Y'}" in said
    assert "column name" not in said
