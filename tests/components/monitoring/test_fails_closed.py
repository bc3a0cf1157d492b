"""A window that could not be seen is not healthy, and the verdict says why: traffic, answers, ids and namespaces."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import pytest
from logs import exchange, record, row, write

from mainspring.components.monitoring.decide_retraining import decide
from mainspring.components.monitoring.monitor_endpoint import monitor_endpoint
from mainspring.components.monitoring.policy import Retrain

COUNT = 600


@pytest.fixture
def judge(tmp_path, version):
    """Judges records, in a folder of their own, and returns the verdict and what was found."""
    done = []

    def run(records, **arguments):
        done.append(records)
        folder = tmp_path / str(len(done))
        (folder / "logs").mkdir(parents=True)
        if records:
            (folder / "logs" / "a.json").write_text(json.dumps(records))
        places = {"monitoring": str(folder / "out"), "report": str(folder / "report.html")}
        arguments = {"journal": str(folder / "journal"), "as_of": "2026-11-01T12:00:00"} | arguments
        verdict = monitor_endpoint(str(folder / "logs"), str(version), **places, **arguments)
        assert Path(places["report"]).stat().st_size > 1000
        found = json.loads((folder / "out" / "monitoring.json").read_text())
        told = found["records"]
        assert told.pop("given") == sum(told.values())
        return verdict, found

    run.page = lambda: (tmp_path / str(len(done)) / "report.html").read_text()
    return run


def pairs(count=COUNT, answer=None, **fields):
    """Requests of one row; `answer` gives a response's body for a number, or None for none."""
    for number in range(count):
        asked, given = exchange(number)
        yield asked | fields
        if answer is None:
            yield given | fields
        elif (body := answer(number)) is not None:
            yield record(given["id"], "response", body) | fields


def binary(kind, name, value):
    tensor = {"name": name, "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}
    return json.dumps({kind: [tensor]}).encode() + struct.pack("<d", value)


UNREADABLE = {
    "nothing logged": ([], "the logs hold no record"),
    "only responses": ([one for one in pairs() if "response" in one["reqType"]], "none is a request"),
    "another service": (list(pairs(inferenceService="other")), "foreign records"),
    "another version": (
        [one for number in range(COUNT) for one in exchange(number, version="2")],
        "only 0 readable rows of the champion",
    ),
    "gzip that no header announces": (
        [record(f"g{n}", "request", gzip.compress(b'{"instances": [{}]}')) for n in range(COUNT)],
        "compressed by gzip",
    ),
    "no protocol": ([record(f"g{n}", "request", b"hello") for n in range(COUNT)], "malformed requests"),
    "binary bodies that are cut off": (
        [record(f"g{n}", "request", binary("inputs", "hour", 1.0)[:-1]) for n in range(COUNT)],
        "binary tensor 'hour'",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_window_without_a_readable_row_says_why_and_is_not_healthy(judge, name):
    records, words = UNREADABLE[name]
    verdict, found = judge(records)
    assert not verdict.healthy
    assert words in verdict.reasons
    allowed, _ = judge(records, policy="limits: {min_requests: 0, min_rows: 0}")
    # A policy may allow silence, nothing else.
    assert allowed.healthy == (not records)
    retrain, _, causes = decide(found, [], Retrain(min_requests=0))
    assert (retrain, causes) == (False, [])


def test_a_day_without_traffic_is_told_from_one_of_another_time(judge):
    verdict, found = judge(list(pairs()), hours=24.0, as_of="2026-11-20")
    assert found["records"]["requests"] == 0
    assert "only 0 requests" in verdict.reasons


def test_bodies_are_read_where_a_standard_says_how(judge):
    packed = []
    for number in range(COUNT):
        asked = row(number)
        tensors = [
            {"name": "origin", "datatype": "BYTES", "shape": [1], "data": [asked["origin"]]},
            {"name": "hour", "datatype": "INT32", "shape": [1], "parameters": {"binary_data_size": 4}},
            {"name": "distance", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}},
        ]
        body = json.dumps({"inputs": tensors}).encode() + struct.pack("<id", asked["hour"], asked["distance"])
        headers = json.dumps({"Content-Encoding": ["gzip"]})
        packed.append(record(f"b{number}", "request", gzip.compress(body)) | {"metadata": headers})
        packed.append(record(f"b{number}", "response", binary("outputs", "prediction", asked["hour"] / 24)))
    verdict, found = judge(packed)
    assert verdict.healthy, verdict.reasons
    assert (found["rows"], found["volume"]["predicted"], found["faults"]) == (COUNT, COUNT, {})


@pytest.mark.parametrize(
    "body",
    [
        {"predictions": [{"prediction": None, "label": "1"}]},
        {"predictions": [{"label": "1"}]},
        {"predictions": ["high"]},
        b'{"predictions": [NaN]}',
        b'{"outputs": [{"name": "prediction", "data": [1e999]}]}',
        binary("outputs", "prediction", float("nan")),
    ],
    ids=["null", "absent", "text", "NaN", "infinite", "binary NaN"],
)
def test_predictions_that_are_none_are_counted_and_cost_no_neighbour(judge, body):
    verdict, found = judge(
        list(pairs(answer=lambda n: body if n % 20 == 0 else {"predictions": [row(n)["hour"] / 24]}))
    )
    assert "30 of 600 predictions are null, absent or no number (5.00%" in verdict.reasons
    assert (found["volume"]["predicted"], found["volume"]["unusable"]) == (600, 30)
    assert sum(found["predictions"]["counts"]) == 570
    assert found["volume"]["answered"] == 600


def test_one_bad_row_of_a_request_does_not_cost_its_neighbours(judge):
    records = []
    for number in range(300):
        rows = [row(3 * number), None if number == 7 else row(3 * number + 1), row(3 * number + 2)]
        scores = [0.2, None if number == 7 else 0.4, 0.6]
        records += [record(f"m{number}", "request", {"instances": rows})]
        records += [record(f"m{number}", "response", {"predictions": scores})]
    verdict, found = judge(records)
    assert verdict.healthy, verdict.reasons
    assert (found["rows"], found["volume"]["unusable"], found["faults"]["rows that are no objects"]) == (899, 1, 1)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (None, {}),
        ({"error": "boom"}, {}),
        ({"detail": "no such model"}, {}),
        (b"upstream connect error", {}),
        (b"<html>502 Bad Gateway</html>", {}),
        ({"error": "boom"}, {"statuscode": "500"}),
        ({"predictions": [0.5]}, {"statusCode": 503}),
        (b"", {"metadata": '{"status": ["429"]}'}),
    ],
)
def test_an_error_counts_once_whoever_logged_it_and_with_whatever_body(judge, body, fields):
    records = [one for one in pairs(1000) if "request" in one["reqType"] or int(one["id"][3:]) % 50]
    if body is not None:
        records += [record(f"id-{number}", "response", body) | fields for number in range(0, 1000, 50)]
    verdict, found = judge(records)
    assert "2.00% of 1,000 requests have no logged answer of status 200 that can be used" in verdict.reasons
    volume = found["volume"]
    assert volume["unanswered"] + volume["errors"] + volume["unreadable"] == 20
    assert volume["answered"] == 980


def test_shares_are_of_what_they_say(judge):
    records = list(pairs(1000, answer=lambda n: {"predictions": [0.5]} if n % 2 else b"oops"))
    records += [{"id": ""}] * 1000
    _, found = judge(records)
    shares = {one["about"]: one["value"] for one in found["findings"] if one["kind"] == "records"}
    assert shares == {"malformed responses": pytest.approx(500 / 3000), "foreign records": pytest.approx(1000 / 3000)}
    mistyped = [exchange(n) for n in range(COUNT)]
    for number in range(0, COUNT, 10):
        mistyped[number][0] = record(f"id-{number}", "request", {"instances": [row(number) | {"distance": "far"}]})
    _, found = judge([one for pair in mistyped for one in pair])
    (share,) = [one for one in found["findings"] if one["about"] == "values of the wrong type"]
    assert (share["value"], "of 600 rows, of distance" in share["sentence"]) == (pytest.approx(0.1), True)


def test_an_id_that_was_used_twice_gets_no_answer_and_a_record_that_came_twice_does(judge):
    records = [one for number in range(1000) for one in exchange(number)]
    records += records[:4]  # The logger sent these again.
    for number in range(5):
        records += [exchange(2000 + number)[0] | {"id": f"again-{number}"}]  # Its answer was not logged.
        records += [one | {"id": f"again-{number}"} for one in exchange(2050 + number)]
    verdict, found = judge(records)
    assert verdict.healthy, verdict.reasons
    assert found["faults"] == {"duplicated records": 4, "ids used more than once": 5}
    assert (found["volume"]["unclear"], found["volume"]["predicted"]) == (5, 1000)


def test_namespaces_are_told_apart(judge):
    records = [*pairs(800), *(one | {"id": "s" + one["id"]} for one in pairs(800, namespace="staging"))]
    verdict, found = judge(records)
    assert "records of 2 namespaces, team (1,600), staging (1,600)" in verdict.reasons
    assert "skew" not in found
    assert f"Not healthy: {verdict.reasons.splitlines()[0][:40]}" in judge.page()
    assert "What to do next" in judge.page()
    verdict, found = judge(records, target="kserve://team/flights", policy="limits: {max_bad_record_share: 0.5}")
    assert (verdict.healthy, verdict.requests, found["faults"]) == (True, 800, {"foreign records": 1600})
    assert judge(list(pairs(800)), target="local://flights")[0].healthy


def test_logs_that_are_all_damaged_files_are_not_silence(judge, tmp_path, version):
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(b"PAR1 and no more")
    places = {"monitoring": str(tmp_path / "o"), "report": str(tmp_path / "r"), "journal": str(tmp_path / "j")}
    verdict = monitor_endpoint(str(folder), str(version), **places, policy="limits: {min_requests: 0}")
    assert not verdict.healthy
    assert "1 unreadable files (100.00% of 1 files" in verdict.reasons


def test_csv_and_parquet_fail_closed_as_json_does(version, tmp_path):
    records = list(pairs(300, answer=lambda n: {"error": "boom"}))
    for ending in ("csv", "parquet"):
        places = {name: str(tmp_path / f"{name}-{ending}") for name in ("monitoring", "report", "journal")}
        logged = write(tmp_path / ending, f"a.{ending}", records)
        verdict = monitor_endpoint(str(logged), str(version), **places)
        assert "(300 answered with an error)" in verdict.reasons
