"""An object that arrives starts a run of its span, once, whoever tells of it and however often."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster.rest import Unreachable
from mainspring.pipelines.events.arrivals import Arrival, arrivals
from mainspring.pipelines.events.matching import span_of
from mainspring.pipelines.events.queue import Queue, Started
from mainspring.pipelines.events.receiver import receiver
from mainspring.pipelines.history import records
from tests.pipelines.conftest import MAINSPRING
from tests.pipelines.events import bodies
from tests.until import until

PIPELINES = Path(__file__).parents[1]
GOOGLE = Arrival("gs://team/raw/2026-11-30.csv", "r0B2lIQtUzlzTkHNcPxMzw==")
S3 = Arrival("s3://team/raw/2026-11-30 a+b.csv", "af407694842d5339")
PATTERN = "gs://team/raw/{YYYY}-{MM}-{DD}.csv"


@pytest.mark.parametrize(
    ("headers", "body", "arrived"),
    [
        (bodies.EVENTARC, bodies.GOOGLE_OBJECT, [GOOGLE]),
        ({}, bodies.PUBSUB_PUSH, [GOOGLE]),
        ({}, bodies.STRUCTURED, [GOOGLE]),
        ({}, [bodies.STRUCTURED, bodies.STRUCTURED], [GOOGLE]),
        ({}, bodies.MINIO, [S3]),
        ({}, bodies.SNS, [S3]),
        (bodies.KAFKA, bodies.MINIO, [S3]),
        (bodies.KAFKA, bodies.PUBSUB_PUSH, [GOOGLE]),
        ({"ce-type": "com.amazonaws.s3.objectcreated"}, bodies.S3_RECORD, [S3]),
        ({}, bodies.EVENTBRIDGE, [Arrival("s3://team/raw/2026-11-30.csv", "b1946ac92492d2347c6235b4d2611184")]),
        ({}, bodies.without("md5Hash", bodies.GOOGLE_OBJECT) | {"specversion": "1.0"}, []),
        ({"ce-type": "google.cloud.storage.object.v1.deleted"}, bodies.GOOGLE_OBJECT, []),
        ({}, {"Records": [bodies.S3_RECORD | {"eventName": "s3:ObjectRemoved:Delete"}]}, []),
        ({}, bodies.EVENTBRIDGE | {"detail-type": "Object Deleted"}, []),
        ({}, {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "team"}, []),
        ({}, {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.example.com/"}, []),
    ],
)
def test_every_senders_event_names_the_same_object(headers: dict[str, str], body: Any, arrived: list[Arrival]) -> None:
    assert arrivals(headers, json.dumps(body).encode()) == arrived


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"not json"),
        ({"ce-type": "google.cloud.storage.object.v1.finalized"}, b"{}"),
        ({}, json.dumps({"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {}}}]}).encode()),
        ({}, json.dumps({"specversion": "1.0", "type": "x", "data_base64": "?"}).encode()),
        ({}, json.dumps([[[[[[[bodies.MINIO]]]]]]]).encode()),
        ({}, b"[" * 100_000),
    ],
)
def test_what_cannot_be_read_is_one_line(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(UserError, match=r"^event: "):
        arrivals(headers, body)


@pytest.mark.parametrize(
    ("uri", "pattern", "span"),
    [
        ("gs://team/raw/2026-11-30.csv", PATTERN, "2026-11-30"),
        ("gs://team/raw/2026-11-31.csv", PATTERN, ""),
        ("gs://team/raw/2026-11-30.csv.tmp", PATTERN + "*", ""),
        ("gs://other/raw/2026-11-30.csv", PATTERN, ""),
        ("s3://team/raw/2026/11/30/05/part-0.csv", "s3://team/raw/{YYYY}/{MM}/{DD}/{HH}/*.csv", "2026-11-30T05"),
        ("gs://team/raw/2026/11/30/_SUCCESS", "gs://team/raw/{YYYY}/{MM}/{DD}/_SUCCESS", "2026-11-30"),
        ("gs://team/raw/flights-007.parquet", "gs://team/raw/flights-{SPAN}.parquet", "7"),
        ("gs://team/raw/anything.csv", "gs://team/raw", "all"),
        ("gs://team/raw/", "gs://team/raw", ""),
    ],
)
def test_an_object_belongs_to_the_span_that_ingestion_would_read_it_for(uri: str, pattern: str, span: str) -> None:
    assert span_of(uri, pattern) == span


class Runs:
    """Runs of spans, each of which waits until it may end."""

    def __init__(self) -> None:
        self.spans: list[str] = []
        self.fail = False
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def __call__(self, span: str) -> Started:
        self.spans.append(span)
        self.begun.release()
        self.may_end.acquire()
        return Started(f"run-{len(self.spans)}", not self.fail, "no such file" if self.fail else "")


@contextmanager
def receiving(place: str, runs: Any, token: str = "") -> Iterator[tuple[str, Queue]]:
    queue = Queue(place, runs, lambda line: None)
    with receiver(("127.0.0.1", 0), queue, PATTERN, token, lambda line: None) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", queue
        server.shutdown()
    queue.close()


def send(url: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def named(name: str, md5: str) -> dict[str, Any]:
    return bodies.STRUCTURED | {"data": bodies.GOOGLE_OBJECT | {"name": f"raw/{name}.csv", "md5Hash": md5}}


def test_an_arrival_starts_one_run_of_its_span_and_its_repetition_none(tmp_path: Path) -> None:
    runs = Runs()
    with receiving(str(tmp_path / "events"), runs) as (url, queue):
        status, said = send(url, bodies.PUBSUB_PUSH)
        assert (status, said["accepted"]) == (202, [{"uri": GOOGLE.uri, "span": "2026-11-30"}])
        runs.begun.acquire()
        assert send(url, bodies.STRUCTURED)[1] == {"accepted": [], "known": 1, "of_others": 0}, "told by another sender"
        # Two that arrive meanwhile for one other span are one run.
        assert send(url, named("2026-12-01", "a"))[0] == send(url, named("2026-12-01", "b"))[0] == 202
        assert send(url, bodies.MINIO)[1]["of_others"] == 1
        for _ in range(2):
            runs.may_end.release()
        queue.wait_until_idle()
        assert runs.spans == ["2026-11-30", "2026-12-01"]
        assert send(url, bodies.PUBSUB_PUSH)[0] == 200, "after the run, too"
        runs.may_end.release()
        assert send(url, named("2026-11-30", "rewritten"))[0] == 202, "a late file is other content"
        queue.wait_until_idle()
    assert runs.spans[2:] == ["2026-11-30"]


def test_what_was_acknowledged_is_run_though_the_receiver_is_killed(bucket: str) -> None:
    place, runs = f"{bucket}/events", Runs()
    first = Queue(place, runs, lambda line: None)
    assert first.accept(GOOGLE, "2026-11-30")
    runs.begun.acquire()
    # As a killed one leaves it: nothing is said of how the run ended.
    second = Runs()
    second.may_end.release()
    again = Queue(place, second, lambda line: None)
    again.wait_until_idle()
    assert second.spans == ["2026-11-30"]
    assert not again.accept(GOOGLE, "2026-11-30")
    again.close()
    runs.may_end.release()
    first.close()


def test_a_run_that_failed_is_tried_again_when_the_event_comes_again(tmp_path: Path) -> None:
    runs = Runs()
    runs.fail = True
    with receiving(str(tmp_path / "events"), runs) as (url, queue):
        runs.may_end.release()
        assert send(url, bodies.STRUCTURED)[0] == 202
        queue.wait_until_idle()
        [entry] = (tmp_path / "events").glob("*.json")
        kept = json.loads(entry.read_text())
        assert (kept["state"], kept["says"]) == ("failed", "no such file")
        runs.fail = False
        runs.may_end.release()
        assert send(url, bodies.STRUCTURED)[0] == 202
        queue.wait_until_idle()
        assert json.loads(entry.read_text())["state"] == "done"


def test_a_cluster_that_does_not_answer_loses_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainspring.pipelines.events.queue.AGAIN_SECONDS", 0.01)
    tried: list[str] = []

    def run(span: str) -> Started:
        tried.append(span)
        if len(tried) < 3:
            raise Unreachable("http://kfp: cannot be reached")
        return Started("run-1", True)

    queue = Queue(str(tmp_path), run, lambda line: None)
    assert queue.accept(GOOGLE, "2026-11-30")
    queue.wait_until_idle()
    queue.close()
    assert tried == ["2026-11-30"] * 3
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["state"] == "done"


def test_a_stranger_and_a_flood_are_turned_away(tmp_path: Path) -> None:
    runs = Runs()
    with receiving(str(tmp_path / "events"), runs, token="secret") as (url, _):
        assert send(url, bodies.STRUCTURED)[0] == 401
        assert send(url, bodies.STRUCTURED, {"Authorization": "Bearer other"})[0] == 401
        assert send(url, b"not json", {"Authorization": "Bearer secret"})[0] == 400
        assert send(url, b"x", {"Authorization": "Bearer secret", "Content-Length": str(10**9)})[0] == 413
        with urllib.request.urlopen(f"{url}/healthz") as answer:
            assert answer.status == 200
    assert runs.spans == []


def test_an_arrival_that_cannot_be_written_down_is_to_be_sent_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with receiving(str(tmp_path / "events"), Runs()) as (url, queue):
        queue._place = "gs://there-is-no-such-bucket/events"
        assert send(url, bodies.STRUCTURED)[0] == 503


def test_the_command_runs_the_pipeline_for_the_span_that_arrived(tmp_path: Path) -> None:
    command = [MAINSPRING, "receive", "small_pipelines:by_span", "--on", "gs://team/raw/flights-{SPAN}.csv"]
    given = [
        "-p",
        "source=unused",
        "-p",
        f"stop={tmp_path}",
        "--listen",
        "127.0.0.1:0",
        "--root",
        str(tmp_path / "root"),
    ]
    with subprocess.Popen([*command, *given], cwd=PIPELINES, stdout=subprocess.PIPE, text=True) as receiving_process:
        assert receiving_process.stdout
        address = receiving_process.stdout.readline().split()[2]
        assert send(f"http://{address}", named("flights-007", "a"))[0] == 202
        until(lambda: [run.status for run in records.all_runs(tmp_path / "root")] == ["succeeded"])
        receiving_process.send_signal(signal.SIGINT)
    [run] = records.all_runs(tmp_path / "root")
    assert (run.arguments["span"], run.outcome.version) == ("7", 7)
