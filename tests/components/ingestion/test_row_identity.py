"""Another query, another feature, another type leave every row on its side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tables import read_split, write_file

from mainspring.components.ingestion.ingest_examples import ingest_examples

ROWS = (
    "SELECT i, i % 7 AS kind, 'c' || i % 11 AS carrier, DATE '2020-01-01' + (i % 300)::INT AS day FROM range(3000) t(i)"
)


def split_of(folder: Path, source: Path, query: str = "", **more: object) -> tuple[set[int], dict]:
    """Returns the keys of the eval rows, and what the manifest says of the split."""
    ingest_examples(str(source), str(folder), query=query, **more)
    return {key for (key,) in read_split(folder, "eval", "i")}, json.loads((folder / "manifest.json").read_text())[
        "split"
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_file(tmp_path_factory.mktemp("source") / "rows.parquet", ROWS)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT i, kind FROM source",
        "SELECT *, kind * 2 AS twice, length(carrier) AS letters FROM source",
        "SELECT s.* EXCLUDE (day), day::VARCHAR AS day FROM source s ORDER BY carrier",
        "SELECT source.*, z FROM source LEFT JOIN (SELECT 1 AS kind, 'x' AS z) USING (kind)",
        "SELECT i, row_number() OVER (PARTITION BY kind ORDER BY i) AS nth FROM source",
    ],
)
def test_another_query_deals_no_row_anew(query: str, source: Path, tmp_path: Path) -> None:
    before, told = split_of(tmp_path / "before", source)
    assert split_of(tmp_path / "after", source, query) == (before, told)
    assert told["by"] == "source rows"
    assert 0.17 < len(before) / 3000 < 0.23


def test_a_filter_keeps_the_other_rows_where_they_are(source: Path, tmp_path: Path) -> None:
    before, _ = split_of(tmp_path / "before", source)
    after, _ = split_of(tmp_path / "after", source, "SELECT i, carrier FROM source WHERE kind <> 3")
    assert after == {key for key in before if key % 7 != 3}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rows.csv", ROWS),
        ("more.parquet", f"SELECT *, NULL::VARCHAR AS fresh FROM ({ROWS})"),
        ("wider.parquet", f"SELECT * REPLACE (kind::DOUBLE AS kind, i::INTEGER AS i) FROM ({ROWS})"),
        ("shuffled.parquet", f"SELECT day, carrier, kind, i FROM ({ROWS}) ORDER BY hash(i)"),
    ],
)
def test_another_file_of_the_same_rows_deals_no_row_anew(name: str, rows: str, source: Path, tmp_path: Path) -> None:
    before, told = split_of(tmp_path / "before", source)
    after, told_after = split_of(tmp_path / "after", write_file(tmp_path / name, rows))
    assert after == before
    assert {*told_after["columns"]} >= {*told["columns"]}


def test_a_column_that_is_new_in_the_source_deals_no_row_anew(source: Path, tmp_path: Path) -> None:
    before, told = split_of(tmp_path / "before", source)
    version = tmp_path / "version"
    version.mkdir()
    shutil.copy(tmp_path / "before" / "manifest.json", version / "examples.json")
    more = write_file(tmp_path / "more.parquet", f"SELECT *, i * 7 % 13 AS fresh FROM ({ROWS})")
    assert split_of(tmp_path / "after", more, baseline_uri=str(version)) == (before, told)
    assert split_of(tmp_path / "alone", more)[1] != told  # So that evaluation knows of it.


@pytest.mark.parametrize(
    "query",
    [
        "SELECT i, count(*) AS n FROM source GROUP BY i",
        "SELECT DISTINCT i, kind FROM source",
        "SELECT i FROM (SELECT i FROM source)",
        "WITH part AS (FROM source) SELECT i FROM part",
    ],
)
def test_rows_that_are_no_rows_of_the_source_are_dealt_by_themselves(query: str, source: Path, tmp_path: Path) -> None:
    _, told = split_of(tmp_path / "examples", source, query)
    assert (told["by"], told["query"]) == ("rows", query)


def test_equal_rows_lie_on_one_side_and_an_odd_share_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = write_file(tmp_path / "few.csv", "SELECT i % 3 AS i, i % 3 AS twin FROM range(900) t(i)")
    split_of(tmp_path / "examples", few, split_columns=["i"])
    assert "where 20.0% was asked for: rows of equal values" in capsys.readouterr().out
