"""Windows of live traffic, judged: what is healthy, what is not, hostile records, late labels."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from logs import exchange, publish, record, write, write_labels

from mainspring.components.common.errors import UserError
from mainspring.components.monitoring.decide_retraining import decide_retraining
from mainspring.components.monitoring.monitor_endpoint import monitor_endpoint

FILES = ("FeatureStats.pb", "monitoring.json", "served.parquet")
"""What the journal keeps of a window."""


class Run:
    """Judges windows, one after the other, with one journal."""

    def __init__(self, folder: Path, version: Path) -> None:
        self.folder, self.version, self.count = folder, version, 0

    def __call__(self, logs, as_of="2026-11-01T12:00:00", **arguments):
        self.count += 1
        out, report = self.folder / f"out-{self.count}", self.folder / "report.html"
        arguments = {"version_uri": str(self.version), "journal": str(self.folder / "journal")} | arguments
        verdict = monitor_endpoint(str(logs), monitoring=str(out), report=str(report), as_of=as_of, **arguments)
        self.report = report.read_text()
        return verdict, json.loads((out / "monitoring.json").read_text())


@pytest.fixture
def run(tmp_path, version):
    return Run(tmp_path, version)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Two thousand requests like the training rows, shuffled over three files of three formats."""
    folder = tmp_path_factory.mktemp("healthy")
    written = [one for number in range(2000) for one in exchange(number)]
    random.Random(0).shuffle(written)
    for index, ending in enumerate(("parquet", "csv", "json")):
        write(folder, f"batch.{ending}", written[index::3])
    return folder


def alarms(found):
    return {finding["kind"] for finding in found["findings"] if finding["alarm"]}


def test_traffic_like_training_is_healthy(run, healthy):
    verdict, found = run(healthy)
    assert (verdict.healthy, verdict.reasons, verdict.requests) == (True, "", 2000)
    counts = {
        name: count for name, count in found["volume"].items() if name not in ("steps", "first", "last") and count
    }
    assert counts == dict.fromkeys(("requests", "answered", "responses", "rows", "predicted"), 2000)
    assert {name: count for name, count in found["records"].items() if count} == {
        "given": 4000,
        "requests": 2000,
        "responses": 2000,
    }
    assert {one["feature"] for one in found["skew"]} == {"hour", "distance", "origin"}
    assert "Nothing is wrong" in run.report
    assert (run.folder / "out-1" / "FeatureStats.pb").stat().st_size > 100


def test_a_shifted_feature_is_skew_and_later_drift(run, healthy, tmp_path):
    run(healthy)
    shifted = [one for number in range(1000) for one in exchange(number, shift=800)]
    verdict, found = run(write(tmp_path, "shifted.json", shifted), as_of="2026-11-02")
    assert not verdict.healthy
    assert alarms(found) == {"skew", "drift"}
    assert verdict.reasons.startswith("skew: distance is served")
    assert {one["about"] for one in found["findings"] if one["alarm"]} == {"distance"}
    relaxed, _ = run(tmp_path / "shifted.json", as_of="2026-11-02", policy="thresholds: {distance: 1.0}")
    assert relaxed.healthy


def test_other_predictions_than_in_the_versions_first_window_are_drift(run, healthy, tmp_path):
    run(healthy)
    moved = [one for number in range(1000) for one in exchange(number, score=0.97)]
    verdict, found = run(write(tmp_path, "moved.json", moved), as_of="2026-11-02")
    assert alarms(found) == {"prediction_drift"}
    assert "predictions are" in verdict.reasons


def test_requests_without_an_answer_are_errors(run, tmp_path):
    written = [one for number in range(600) for one in exchange(number)][: 1200 - 60]
    written += [record(f"failed-{number}", "request", {"instances": [{}]}) for number in range(60)]
    verdict, found = run(write(tmp_path, "a.json", written))
    assert found["volume"]["unanswered"] == 60
    assert alarms(found) == {"errors"}
    assert "9.52% of 630 requests have no logged answer" in verdict.reasons


def test_hostile_records_are_counted_reported_and_change_nothing_else(run, tmp_path):
    good = [one for number in range(1000) for one in exchange(number)]
    bad = [
        good[0],  # Again.
        record("gone", "response", {"predictions": [0.5]}),
        record("short", "request", {"instances": [{"hour": 1}, {"hour": 2}]}),
        record("short", "response", {"predictions": [0.5]}),
        record("broken", "request", b'{"instances": ['),
        record("text", "request", {"instances": [{"hour": "noon", "origin": 7, "colour": "red"}]}),
        record("gzip", "request", b"\x1f\x8b\x08\x00\x00\x00"),
        record("vector", "response", {"predictions": ["high"]}),
        record("raw", "request", {}) | {"bytes": "%%% no base64 %%%"},
        record("other", "request", {}) | {"inferenceService": "another"},
    ]
    verdict, found = run(write(tmp_path, "a.json", good + bad))
    assert found["faults"] == {
        "duplicated records": 1,
        "foreign records": 1,
        "malformed requests": 2,
        "malformed responses": 1,
        "records that are not base64": 1,
        "responses without a request": 2,
        "rows with unknown features": 1,
        "values of the wrong type": 2,
    }
    assert found["rows"] == 1003
    assert verdict.healthy, verdict.reasons
    strict, _ = run(tmp_path / "a.json", policy="limits: {max_bad_record_share: 0.0001}")
    assert not strict.healthy
    assert "malformed requests" in run.report


def test_records_out_of_order_over_files_are_paired(run, tmp_path):
    written = [one for number in range(400) for one in exchange(number)]
    write(tmp_path / "logs", "b.json", written[0::2])
    write(tmp_path / "logs", "a.json", written[1::2][::-1])
    assert run(tmp_path / "logs", policy="limits: {min_rows: 100}")[0].healthy


def test_only_the_windows_records_are_judged(run, tmp_path):
    early = [one for number in range(300) for one in exchange(number, time="2026-11-01T09:00:00Z")]
    late = [one for number in range(300, 900) for one in exchange(number, time="2026-11-01T11:30:00Z")]
    write(tmp_path, "a.json", early + late)
    verdict, found = run(tmp_path / "a.json", hours=1)
    assert verdict.requests == 600
    assert found["records_outside"] == 600


def test_too_little_traffic_is_not_called_healthy(run, tmp_path):
    verdict, found = run(write(tmp_path, "a.json", exchange(1)))
    assert (verdict.healthy, alarms(found)) == (False, {"traffic"})
    assert verdict.reasons == "only 1 requests; 200 are needed to judge"


def test_rows_that_another_version_answered_are_not_judged(run, tmp_path):
    ours = [one for number in range(700) for one in exchange(number)]
    canary = [one for number in range(700, 900) for one in exchange(number, shift=5000, version="2")]
    verdict, found = run(write(tmp_path, "a.json", ours + canary))
    assert found["volume"]["other_versions"] == 200
    assert verdict.healthy, verdict.reasons


def test_quality_that_keeps_its_promise_is_healthy_and_one_that_does_not_is_said(run, healthy, tmp_path):
    labels = str(write_labels(tmp_path / "labels.parquet", range(2000)))
    kept, found = run(healthy, labels=labels)
    assert kept.healthy, kept.reasons
    assert found["quality"]["overall"]["live"] == pytest.approx(0.83, abs=0.03)
    promised = publish(tmp_path / "better", auc=0.95)
    broken, found = run(healthy, labels=labels, version_uri=str(promised), journal=str(tmp_path / "other"))
    assert alarms(found) == {"quality"}
    assert "evaluation promised 0.9500" in broken.reasons


def test_a_bad_slice_and_a_business_metric_are_named(run, tmp_path):
    written = []
    for number in range(2400):
        pair = exchange(number, score=0.5 if number % 3 == 0 else None)
        written += pair
    labels = str(write_labels(tmp_path / "labels.parquet", range(2400)))
    policy = """
limits: {max_prediction_drift: 1}
quality: {slices: [origin], max_loss: 0.3, max_slice_loss: 0.1}
business: {name: cost of late rows, sql: "SELECT sum(label::DOUBLE * (prediction < 0.5)::INT) FROM labelled", max: 1}
"""
    verdict, found = run(write(tmp_path, "a.json", written), labels=labels, policy=policy)
    assert "0.5000 for origin EWR" in verdict.reasons
    assert "JFK" not in verdict.reasons
    assert "cost of late rows is" in verdict.reasons
    assert alarms(found) == {"quality", "business"}
    assert found["quality"]["business"] > 1


def test_labels_that_come_late_give_earlier_windows_their_quality(run, healthy, tmp_path):
    labels = tmp_path / "labels.parquet"
    first, found = run(healthy, labels=str(write_labels(labels, range(10))))
    assert found["quality"] is None
    assert first.healthy
    later = write(tmp_path, "later.json", [one for number in range(3000, 4000) for one in exchange(number)])
    write_labels(labels, range(2000))
    _, found = run(later, as_of="2026-11-02", labels=str(labels))
    assert found["quality"] is None
    assert found["quality_window"] == "20261101T120000Z"
    kept = json.loads((run.folder / "journal/windows/20261101T120000Z/monitoring.json").read_text())
    assert kept["quality"]["labelled"] == 2000


@pytest.mark.parametrize("policy", ["", "limits: {min_labelled: 0}"])
def test_labels_that_never_come_are_no_alarm_and_are_said(run, healthy, tmp_path, policy):
    verdict, found = run(healthy, labels=str(write_labels(tmp_path / "none.parquet", range(0))), policy=policy)
    assert verdict.healthy
    assert any("quality is not judged" in finding["sentence"] for finding in found["findings"])


def test_contradicting_labels_are_left_out_and_features_can_be_keys(run, healthy, tmp_path):
    from logs import label, row

    rows = [row(number) | {"late": bool(label(number))} for number in range(2000)]
    rows += [rows[0] | {"late": not rows[0]["late"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "labels.parquet")
    arguments = {"labels_query": "SELECT *, late AS label FROM source", "label_key": ["hour", "distance", "origin"]}
    _, found = run(healthy, labels=str(tmp_path / "labels.parquet"), **arguments)
    assert found["quality"]["labelled"] == 1999
    assert any("contradict" in finding["sentence"] for finding in found["findings"])


@pytest.mark.parametrize("written", [("false", "true"), ("False", "TRUE"), ("0.0", "1.0"), ("0", "1")])
def test_labels_are_the_classes_however_they_are_written_and_others_are_left_out(run, healthy, tmp_path, written):
    from logs import label

    texts = [written[label(number)] for number in range(1500)] + ["late", ""] * 250
    labels = {"id": [f"id-{number}" for number in range(2000)], "row": [0] * 2000, "label": texts}
    pq.write_table(pa.table(labels), tmp_path / "texts.parquet")
    _, found = run(healthy, labels=str(tmp_path / "texts.parquet"))
    _, expected = run(healthy, labels=str(write_labels(tmp_path / "labels.parquet", range(1500))))
    assert found["quality"]["labelled"] == 1500
    assert found["quality"]["overall"]["live"] == pytest.approx(expected["quality"]["overall"]["live"])


def test_a_first_window_can_be_the_baseline(run, healthy, tmp_path):
    labels = str(write_labels(tmp_path / "labels.parquet", range(5000)))
    policy = "quality: {baseline: first_window}\nlimits: {max_prediction_drift: 1}"
    assert run(healthy, labels=labels, policy=policy)[0].healthy
    worse = write(
        tmp_path, "w.json", [one for n in range(3000, 5000) for one in exchange(n, score=random.Random(n).random())]
    )
    verdict, _ = run(worse, as_of="2026-11-02", labels=labels, policy=policy)
    assert "the version's first window had 0.8" in verdict.reasons


def test_a_window_judged_twice_is_kept_once(run, healthy):
    assert run(healthy)[1]["rows"] == run(healthy)[1]["rows"]
    assert len(list((run.folder / "journal" / "windows").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"logs": "nowhere"}, "logs='nowhere': holds no .parquet"),
        ({"version_uri": ""}, "nothing is served yet"),
        ({"version_uri": "/nowhere"}, "/nowhere/version.json: no such file"),
        ({"hours": -1.0}, "hours=-1.0"),
        ({"as_of": "noon"}, "as_of='noon'"),
        ({"policy": "limitz: {}"}, "unknown key 'limitz'; did you mean limits?"),
        ({"policy": "quality: {metric: recal}"}, "metric 'recal'"),
        ({"policy": "quality: {slices: [colour]}"}, "'colour' is no feature"),
        ({"policy": "business: {sql: SELEKT}"}, "policy: business: sql: "),
        ({"policy": "business: {sql: \"SELECT count(*) FROM read_csv('/etc/passwd')\"}"}, "policy: business: sql: "),
        ({"labels": "/nowhere.parquet"}, "labels='/nowhere.parquet': cannot be read"),
        ({"labels_query": "SELECT 1"}, "labels_query: gives no table with id, row and label"),
        ({"label_key": ["colour"]}, "colour"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_published(run, healthy, tmp_path, arguments, words):
    arguments = {"logs": healthy, "labels": str(write_labels(tmp_path / "labels.parquet", range(2000)))} | arguments
    with pytest.raises(UserError) as error:
        run(**arguments)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not (run.folder / "out-1").exists()


def test_logs_labels_version_and_journal_may_lie_in_a_bucket(run, version, healthy, tmp_path, bucket):
    from mainspring.components.common import buckets

    buckets.upload_tree(version, f"{bucket}/models/flights/1")
    buckets.upload_tree(healthy, f"{bucket}/logs/")
    buckets.upload(write_labels(tmp_path / "labels.parquet", range(2000)), f"{bucket}/labels.parquet")
    journal = f"{bucket}/journal"
    places = {"version_uri": f"{bucket}/models/flights/1", "labels": f"{bucket}/labels.parquet", "journal": journal}
    verdict, found = run(f"{bucket}/logs", **places)
    assert (verdict.healthy, found["quality"]["labelled"]) == (True, 2000)
    assert decide_retraining(str(run.folder / "out-1"), journal).retrain is False
    _, found = run(f"{bucket}/logs", as_of="2026-11-02", **places)
    assert found["drift"]
    assert decide_retraining(str(run.folder / "out-2"), journal).retrain is False
    kept = [one.uri.removeprefix(f"{journal}/") for one in buckets.list_objects(journal)]
    windows = [f"windows/{key}/{name}" for key in ("20261101T120000Z", "20261102T000000Z") for name in FILES]
    assert kept == ["decisions/20261101T120000Z.json", "decisions/20261102T000000Z.json", *windows]
    # Judged again, a window replaces itself.
    run(f"{bucket}/logs", as_of="2026-11-02", **places)
    assert len(buckets.list_objects(journal)) == len(kept)
