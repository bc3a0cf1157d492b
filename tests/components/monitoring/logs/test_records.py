"""KServe's records out of its files: each of its formats, and whatever else may lie there."""

from __future__ import annotations

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.peak_memory import peak_mebibytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import as_go, exchange, record, write

from mainspring.components.monitoring.logs import record_faults, records
from mainspring.components.monitoring.logs.record_faults import Faults
from mainspring.components.monitoring.logs.records import Reading

OF_HYPOTHESIS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path, service="flights", modified=7.0):
    counted = Faults()
    found = []
    for batch in records.read(path, path.name, modified, Reading(counted, service)):
        found += zip(batch.ids, batch.kinds, batch.bodies, batch.times, batch.versions, strict=True)
    return found, counted


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.json"])
def test_every_format_of_kserve_gives_the_same_records(tmp_path, name):
    written = [one for number in range(20) for one in exchange(number)]
    found, counted = read(write(tmp_path, name, written))
    assert [(one[0], one[1], one[2], one[4]) for one in found] == [
        (one["id"], one["reqType"].rpartition(".")[2], one["bytes"], "1") for one in written
    ]
    # Only JSON says when; KServe's CSV and Parquet do not.
    assert {one[3] for one in found} == ({1793527200.5} if name == "a.json" else {7.0})
    assert not counted.counts


def test_a_lone_record_is_an_object_and_lines_of_objects_are_read_too(tmp_path):
    assert len(read(write(tmp_path, "one.json", exchange(1)[:1]))[0]) == 1
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(json.dumps(as_go(one)) for one in exchange(2)))
    assert len(read(lines)[0]) == 2


@pytest.mark.parametrize("text", ["2026-11-01T10:00:00Z", "2026-11-01T11:00:00.000000000+01:00"])
def test_gos_times_are_understood(tmp_path, text):
    assert read(write(tmp_path, "a.json", [record("1", "request", {}, time=text)]))[0][0][3] == 1793527200.0


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T10:00:00Z", "9" * 400, ""])
def test_a_time_that_is_none_is_the_files(tmp_path, text):
    assert read(write(tmp_path, "a.json", [record("1", "request", {}, time=text)]))[0][0][3] == 7.0


def test_what_stands_before_a_truncation_is_read(tmp_path):
    written = [one for number in range(50) for one in exchange(number)]
    path = write(tmp_path, "a.json", written)
    path.write_bytes(path.read_bytes()[:-200])
    found, counted = read(path)
    assert len(found) == 99
    assert counted.counts[record_faults.TRUNCATED] == 1


def test_a_damaged_record_in_the_middle_costs_itself_only(tmp_path):
    texts = [json.dumps(as_go(one)) for number in range(10) for one in exchange(number)]
    texts[7] = texts[7][:60]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(texts))
    found, counted = read(path)
    assert len(found) == 19
    assert counted.counts[record_faults.TRUNCATED] >= 1


def test_a_large_file_is_read_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LARGEST_WHOLE_JSON", 1000)
    monkeypatch.setattr(records, "PIECE", 1000)
    written = [one for number in range(300) for one in exchange(number)]
    found, counted = read(write(tmp_path, "a.json", written))
    assert [one[0] for one in found] == [one["id"] for one in written]
    assert not counted.counts


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"id": ""}, record_faults.FOREIGN),
        ({"id": 7}, record_faults.FOREIGN),
        ({"reqType": "com.example.order.created"}, record_faults.FOREIGN),
        ({"reqType": None}, record_faults.FOREIGN),
        ({"inferenceService": "another"}, record_faults.FOREIGN),
    ],
)
def test_foreign_and_hostile_records_are_counted_and_left_out(tmp_path, change, kind):
    good = exchange(1)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([as_go(good[0]) | change, as_go(good[1]), 17, "text", None, [1]]))
    found, counted = read(path)
    assert [one[1] for one in found] == ["response"]
    assert counted.counts[kind] >= 1
    assert counted.counts[record_faults.FOREIGN] >= 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 is how it begins"),
        ("a.parquet", b""),
        ("a.csv", b"what,else\n1,2\n"),
        ("a.csv", b""),
        ("a.json.gz", gzip.compress(b"{}")),
        ("a.txt", b"hello"),
    ],
)
def test_files_that_are_no_logs_are_counted(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    found, counted = read(path)
    assert not found
    assert counted.counts[record_faults.UNREADABLE_FILE] == 1


def test_a_small_file_that_unpacks_to_terabytes_is_read_without_unpacking_it(tmp_path):
    huge = pa.array(["A" * (8 << 20)])
    bodies = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), huge)
    kinds = pa.array(["org.kubeflow.serving.inference.request"] * 100_000)
    table = pa.table({"id": [str(number) for number in range(100_000)], "reqType": kinds, "bytes": bodies})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100_000)
    counted = Faults()
    rows = sum(map(len, records.read(tmp_path / "a.parquet", "a.parquet", 0.0, Reading(counted))))
    assert rows == 100_000
    assert peak_mebibytes() < 4096


def test_control_characters_do_not_reach_what_is_printed(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"id": "\x1b[2J\x00", "reqType": "x"}))
    (sample,) = read(path)[1].samples[record_faults.FOREIGN]
    assert sample.isprintable()


def test_deep_nesting_is_a_damaged_record(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"id":' + "[" * 100_000)
    found, counted = read(path)
    assert not found
    assert counted.counts[record_faults.TRUNCATED] >= 1


@OF_HYPOTHESIS
@given(st.binary(max_size=600), st.sampled_from(["a.json", "a.csv", "a.parquet", "a.jsonl"]))
def test_no_bytes_at_all_end_the_reading(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    read(path)


@OF_HYPOTHESIS
@given(st.data())
def test_whole_records_before_a_cut_survive_it(tmp_path, data):
    written = [one for number in range(4) for one in exchange(number)]
    path = write(tmp_path, "a.json", written)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b'"occurrenceTime": "2026-11-01T10:00:00.5Z"}')
    assert len(read(path)[0]) == whole


@OF_HYPOTHESIS
@given(st.lists(st.dictionaries(st.sampled_from([*as_go(exchange(1)[0])]), st.text() | st.integers() | st.none())))
def test_objects_of_any_values_are_read_or_counted(tmp_path, objects):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(objects))
    found, counted = read(path)
    assert len(found) + sum(counted.counts.values()) == len(objects)


@OF_HYPOTHESIS
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=5))
def test_csv_bodies_of_any_text_come_through(tmp_path, bodies):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["id", "reqType", "bytes"])
        writer.writerows([str(number), "request", body] for number, body in enumerate(bodies))
    found, _ = read(path)
    assert [one[2] for one in found] == bodies
