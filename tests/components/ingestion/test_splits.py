from __future__ import annotations

import json
from pathlib import Path

import pytest
from tables import read_split, write_file

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples


@pytest.fixture
def days(tmp_path: Path) -> str:
    for span in (1, 2, 3):
        write_file(
            tmp_path / "in" / f"s-{span}.parquet",
            f"SELECT TIMESTAMP '2026-01-01' + INTERVAL (i + {span} * 100) HOUR AS at, i FROM range(100) t(i)",
        )
    return str(tmp_path / "in" / "s-{SPAN}.parquet")


def test_a_split_by_time_trains_on_older_and_evaluates_on_newest(days: str, tmp_path: Path) -> None:
    done = ingest_examples(days, str(tmp_path / "ex"), spans="all", time_column="at", eval_fraction=0.25)
    train, evaluate = (read_split(tmp_path / "ex", split, '"at"') for split in ("train", "eval"))
    assert max(train) < min(evaluate)
    assert (done.train_rows, done.eval_rows) == (225, 75)


def test_rows_of_one_time_stay_together(tmp_path: Path) -> None:
    write_file(tmp_path / "a.parquet", "SELECT i // 40 AS day, i FROM range(100) t(i)")
    done = ingest_examples(str(tmp_path / "a.parquet"), str(tmp_path / "ex"), time_column="day", eval_fraction=0.3)
    assert (done.train_rows, done.eval_rows) == (40, 60)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ('SELECT 1 AS "at" FROM source', "none would be left for train"),
        ('SELECT CASE WHEN i > 3 THEN i END AS "at" FROM source', "rows have no time"),
        ("SELECT i FROM source", "time_column: at is no column; there are i"),
    ],
)
def test_a_time_that_cannot_split_is_refused(days: str, tmp_path: Path, query: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        ingest_examples(days, str(tmp_path / "ex"), spans="all", time_column="at", query=query)
    assert not (tmp_path / "ex").exists()


def test_the_sources_own_split_is_kept(tmp_path: Path) -> None:
    for span in (1, 2):
        write_file(tmp_path / "in" / f"{span}" / "train" / "a.parquet", f"SELECT {span} AS n FROM range(30)")
        write_file(tmp_path / "in" / f"{span}" / "eval" / "a.parquet", f"SELECT {span} + 10 AS n FROM range(20)")
    pattern = str(tmp_path / "in" / "{SPAN}" / "{SPLIT}" / "*.parquet")
    done = ingest_examples(pattern, str(tmp_path / "ex"), spans="all")
    assert (done.train_rows, done.eval_rows) == (60, 40)
    assert set(read_split(tmp_path / "ex", "train")) == {(1,), (2,)}
    assert set(read_split(tmp_path / "ex", "eval")) == {(11,), (12,)}


def test_a_source_that_lacks_one_side_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "in" / "train" / "a.parquet", "SELECT 1 AS n")
    with pytest.raises(UserError, match="no files for eval"):
        ingest_examples(str(tmp_path / "in" / "{SPLIT}" / "*.parquet"), str(tmp_path / "ex"))


def test_two_ways_to_split_are_refused(days: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="each decides the split"):
        ingest_examples(days, str(tmp_path / "ex"), time_column="at", split_columns=["i"])


def test_a_second_source_is_joined_by_the_query_and_named_in_the_manifest(days: str, tmp_path: Path) -> None:
    (tmp_path / "weather.csv").write_text("i,rain\n" + "".join(f"{i},{i / 4}\n" for i in range(100)))
    ingest_examples(
        days,
        str(tmp_path / "ex"),
        spans="all",
        query="SELECT s.i, w.rain FROM source s JOIN weather w USING (i)",
        tables=[f"weather={tmp_path / 'weather.csv'}"],
        file_format="auto",
    )
    assert {rain == i / 4 for i, rain in read_split(tmp_path / "ex", "train")} == {True}
    manifest = json.loads((tmp_path / "ex" / "manifest.json").read_text())
    assert [Path(file["uri"]).name for file in manifest["source"]["tables"]] == ["weather.csv"]


@pytest.mark.parametrize(
    "item", ["weather", "source=x.csv", "shaped=x.csv", "a b=x.csv", "=x.csv", "shaped; DROP=x.csv"]
)
def test_a_malformed_table_is_refused(days: str, tmp_path: Path, item: str) -> None:
    with pytest.raises(UserError, match="is not understood"):
        ingest_examples(days, str(tmp_path / "ex"), tables=[item])


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT *, random() AS r FROM source", "random() gives other values"),
        ("SELECT *, now() AS t FROM source", "now is another time"),
        ("SELECT * FROM source USING SAMPLE 20%", "a sample without a seed"),
    ],
)
def test_queries_that_give_other_rows_each_time_are_refused(days: str, tmp_path: Path, query: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        ingest_examples(days, str(tmp_path / "ex"), spans="all", query=query)
    assert says in str(caught.value)
