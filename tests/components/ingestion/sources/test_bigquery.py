"""BigQuery through Google's own clients, against a server on loopback that stands for it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from bigquery_server import Server
from tables import left_over, read_split, types_of

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples
from mainspring.components.ingestion.resolve_spans import resolve_spans
from mainspring.components.ingestion.sources import bigquery
from mainspring.components.ingestion.spans.found import find_spans


def events(day: int, rows: int = 100) -> pa.Table:
    return pa.table({"i": range(rows), "day": [day] * rows, "word": ["ä"] * rows})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        for day in (1, 2, 3):
            running.put(f"shop.events_2026110{day}", events(day))
        running.put("shop.weather", pa.table({"i": range(100), "rain": [index / 4 for index in range(100)]}))
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{running.port}")
        monkeypatch.setenv(bigquery.STORAGE_EMULATOR, f"127.0.0.1:{running.storage_port}")
        yield running


SOURCE = "bq://acme.shop.events_{YYYY}{MM}{DD}"


def test_dated_tables_are_spans(server: Server, tmp_path: Path) -> None:
    spans, fingerprint, *_ = resolve_spans(SOURCE, "latest", 2)
    assert spans == "2026-11-02,2026-11-03"
    done = ingest_examples(SOURCE, str(tmp_path / "ex"), spans=spans, source_fingerprint=fingerprint)
    rows = [row for split in ("train", "eval") for row in read_split(tmp_path / "ex", split)]
    assert sorted(rows) == sorted((i, day, "ä") for day in (2, 3) for i in range(100))
    assert done.train_rows + done.eval_rows == 200
    assert left_over(tmp_path / "ex") == ["eval", "manifest.json", "train"]
    files = json.loads((tmp_path / "ex" / "manifest.json").read_text())["source"]["files"]
    assert [file["uri"] for file in files] == [f"bq://acme.shop.events_2026110{day}" for day in (2, 3)]
    assert {file["generation"] for file in files} == {"1700000001000"}


def test_a_table_that_changed_is_another_source(server: Server, tmp_path: Path) -> None:
    spans, fingerprint, *_ = resolve_spans(SOURCE, "latest", 1)
    (found,) = find_spans("bq://acme.shop.events_20261103")
    server.put("shop.events_20261103", events(3, 50))
    with pytest.raises(UserError, match="have changed"):
        ingest_examples(SOURCE, str(tmp_path / "ex"), spans=spans, source_fingerprint=fingerprint)
    with pytest.raises(UserError, match="has changed since it was found"):
        bigquery.read(found.files[0], tmp_path / "copy")


def test_the_result_of_a_query_is_read_and_changes_with_its_tables(server: Server, tmp_path: Path) -> None:
    source = "bq://acme?SELECT i, rain FROM `shop.weather`"
    spans, fingerprint, *_ = resolve_spans(source, "latest", 1)
    assert (spans, server.queried) == ("all", [])
    ingest_examples(source, str(tmp_path / "ex"), spans=spans, source_fingerprint=fingerprint)
    assert server.queried == ["SELECT i, rain FROM `shop.weather`"]
    assert {rain == i / 4 for i, rain in read_split(tmp_path / "ex", "train", "i, rain")} == {True}
    server.put("shop.weather", server.tables["shop.weather"])
    assert resolve_spans(source, "latest", 1).fingerprint != fingerprint


def test_a_table_is_joined_to_files(server: Server, tmp_path: Path) -> None:
    ingest_examples(
        "bq://acme.shop.events_20261101",
        str(tmp_path / "ex"),
        query="FROM source JOIN weather USING (i)",
        tables=["weather=bq://acme.shop.weather"],
    )
    assert types_of(tmp_path / "ex")["rain"] == "DOUBLE"


def test_bigquerys_types_become_the_examples(server: Server, tmp_path: Path) -> None:
    moment = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
    table = pa.table(
        {
            "number": pa.array([Decimal("1.5")] * 90, pa.decimal128(38, 9)),
            "moment": pa.array([moment] * 90, pa.timestamp("us", "UTC")),
            "flag": [True, False, None] * 30,
        }
    )
    server.put("shop.typed", table)
    ingest_examples("bq://acme.shop.typed", str(tmp_path / "ex"))
    assert types_of(tmp_path / "ex") == {"number": "DOUBLE", "moment": "BIGINT", "flag": "BIGINT"}
    server.put("shop.nested", pa.table({"many": [[1, 2]] * 90}))
    with pytest.raises(UserError, match="column many is"):
        ingest_examples("bq://acme.shop.nested", str(tmp_path / "nested"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("bq://acme.shop.nothing", "cannot be read: .*nothing at"),
        ("bq://acme.shop.visits_{YYYY}", "no file matches"),
        ("bq://acme", "say bq://project.dataset.table"),
        ("bq://acme?DELETE FROM `shop.weather`", "must be one SELECT, not DELETE"),
        ("bq://acme.shop.view", "is a view; read it by a query"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(server: Server, source: str, says: str) -> None:
    server.put("shop.view", events(1), "VIEW")
    with pytest.raises(UserError, match=says) as caught:
        find_spans(source)
    assert "\n" not in str(caught.value)


def test_a_server_that_refuses_is_named(server: Server) -> None:
    server.status = 403
    with pytest.raises(UserError, match=r"bq://acme.shop.weather: cannot be read: "):
        find_spans("bq://acme.shop.weather")


def test_a_server_that_fails_is_given_up_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigquery, "SECONDS", 1.0)
    server.status = 503
    with pytest.raises(UserError, match="cannot be read"):
        find_spans("bq://acme.shop.weather")
