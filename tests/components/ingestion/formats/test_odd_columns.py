"""Columns that are not what they seem: dates beside numbers, nested values, control characters, text that is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import read_split, write_file, write_values

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples

IN_ANOTHER = ["s-1b.parquet", "s-2.parquet"]
"""A second file of the span, and a second span."""


def ingest(folder: Path) -> None:
    ingest_examples(str(folder / "in" / "s-{SPAN}*.parquet"), str(folder / "ex"), spans="all")


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        ingest(folder)
    assert str(caught.value).isprintable()
    assert not (folder / "ex").exists()
    return str(caught.value)


@pytest.mark.parametrize("other", IN_ANOTHER)
@pytest.mark.parametrize("value", ["20200101", "'1 May'", "2020.5"])
def test_a_date_in_one_file_and_something_else_in_another_is_text_and_said(
    tmp_path: Path, other: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file(tmp_path / "in" / "s-1a.parquet", "SELECT i, DATE '2020-01-01' AS d FROM range(60) t(i)")
    write_file(tmp_path / "in" / other, f"SELECT i, {value} AS d FROM range(60) t(i)")
    ingest(tmp_path)
    assert set(read_split(tmp_path / "ex", "train", "d")) == {("2020-01-01",), (value.strip("'"),)}
    assert "it is read as text; types: {d: …} says otherwise" in capsys.readouterr().out


@pytest.mark.parametrize("other", IN_ANOTHER)
@pytest.mark.parametrize("value", ["TIMESTAMP '2020-01-01'", "TIMESTAMPTZ '2020-01-01 00:00:00+00'"])
def test_dates_and_moments_are_alike(tmp_path: Path, other: str, value: str) -> None:
    write_file(tmp_path / "in" / "s-1a.parquet", "SELECT i, DATE '2020-01-01' AS d FROM range(60) t(i)")
    write_file(tmp_path / "in" / other, f"SELECT i, {value} AS d FROM range(60) t(i)")
    ingest(tmp_path)
    assert set(read_split(tmp_path / "ex", "train", "d")) == {(1_577_836_800,)}


@pytest.mark.parametrize("other", IN_ANOTHER)
def test_a_column_nested_in_one_file_only_is_refused(tmp_path: Path, other: str) -> None:
    write_file(tmp_path / "in" / "s-1a.parquet", "SELECT i, 7 AS odd FROM range(60) t(i)")
    write_file(tmp_path / "in" / other, "SELECT i, [7] AS odd FROM range(60) t(i)")
    assert "column odd is INTEGER[]" in refusal(tmp_path)


def test_control_characters_stay_in_values(tmp_path: Path) -> None:
    values = ["a\0b", "a\x1b[2Jb", "a\nb", "a\u202eb"]
    write_values(tmp_path / "in" / "s-1.parquet", ["v"], [(value,) for value in values], ["VARCHAR"])
    ingest(tmp_path)
    found = read_split(tmp_path / "ex", "train") + read_split(tmp_path / "ex", "eval")
    assert sorted(found) == sorted((value,) for value in values)


def test_control_characters_of_names_reach_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "in" / "s-1.parquet"
    write_values(path, ["n\x1b[2J\n"], [(1.0 / 3,), (float("inf"),)], ["DOUBLE"])
    assert r"column n\x1b[2J holds infinity" in refusal(tmp_path)
    shutil.rmtree(tmp_path / "in")
    write_values(path, ["n\0"], [(1,)], ["BIGINT"])
    assert "holds a NUL character" in refusal(tmp_path)


@pytest.mark.parametrize("other", ["a", "A"])
def test_two_parquet_columns_of_one_name_are_refused(tmp_path: Path, other: str) -> None:
    (tmp_path / "in").mkdir()
    table = pa.Table.from_arrays([pa.array([1] * 60), pa.array([2] * 60)], ["a", other])
    pq.write_table(table, tmp_path / "in" / "s-1.parquet")
    assert f"has both a column a and a column {other}" in refusal(tmp_path)


def test_text_that_is_not_utf_8_inside_parquet_is_refused(tmp_path: Path) -> None:
    not_text = pa.array([b"\xff\xfe"] * 60, pa.binary())
    table = pa.table({"t": pa.Array.from_buffers(pa.string(), 60, not_text.buffers())})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "s-1.parquet")
    assert "s-1.parquet" in refusal(tmp_path)
