"""The collector as a real process: what KServe's logger sends over HTTP, and what nobody should."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from logs import exchange

from mainspring.components.common import found_files
from mainspring.components.common.errors import UserError
from mainspring.components.common.payloads import payload_log
from mainspring.components.common.payloads.payload_log import Limits, PayloadLog
from mainspring.components.monitoring import collector, event_bodies
from mainspring.components.monitoring.logs import log_files, records
from mainspring.components.monitoring.logs.record_faults import Faults
from mainspring.components.monitoring.logs.records import Reading

REQUEST = "org.kubeflow.serving.inference.request"


@pytest.fixture
def start(tmp_path):
    started = []

    def run(**settings):
        environment = os.environ | {"MAINSPRING_SINK": str(tmp_path / "sink"), "MAINSPRING_PORT": "0"} | settings
        command = [sys.executable, "-m", "mainspring.components.monitoring.collector"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stdout.readline()
        return process, int(line.split()[3]) if line else 0

    yield run
    for process in started:
        process.kill()
        process.communicate()


def post(port, body=b"{}", path="/", method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    found = response.status, response.read().decode()
    connection.close()
    return found


def binary(identity, kind=REQUEST, **more):
    """The headers that KServe's logger (cloudevents/sdk-go, binary mode) sends."""
    return {
        "Ce-Id": identity,
        "Ce-Type": kind,
        "Ce-Specversion": "1.0",
        "Ce-Source": "http://localhost:8080/",
        "Ce-Time": "2026-11-01T10:00:00.123456789Z",
        "Ce-Inferenceservicename": "flights",
        "Ce-Namespace": "team",
        "Ce-Component": "predictor",
        "Ce-Endpoint": "default",
        "Ce-Metadata": "{}",
        "Ce-Annotations": '{"mainspring.dev/version":"4"}',
        "Content-Type": "application/json",
    } | more


def collected(folder):
    found = []
    counted = Faults()
    for file in log_files.find(str(folder), 0.0):
        with found_files.local(file) as path:
            for batch in records.read(path, file.uri, file.modified, Reading(counted, "flights")):
                found += zip(
                    batch.ids,
                    batch.kinds,
                    map(base64.b64decode, batch.bodies),
                    batch.times,
                    batch.versions,
                    strict=True,
                )
    assert not counted.counts
    return found


def test_events_of_every_mode_are_written_when_it_is_told_to_end(start, tmp_path):
    process, port = start()
    assert post(port, b'{"instances": [1]}', **binary("a"))[0] == 200
    event = {"id": "b", "type": REQUEST, "source": "x", "specversion": "1.0", "data": {"instances": [2]}}
    structured = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    assert post(port, json.dumps(event), **structured)[0] == 200
    coded = event | {"id": "c", "data_base64": base64.b64encode(b"\x00\xff").decode()}
    batched = {"Content-Type": "application/cloudevents-batch+json"}
    assert post(port, json.dumps([event | {"id": "d"}, coded]), **batched)[0] == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    found = {one[0]: one for one in collected(tmp_path / "sink")}
    assert {identity: one[2] for identity, one in found.items()} == {
        "a": b'{"instances": [1]}', "b": b'{"instances": [2]}', "c": b"\x00\xff", "d": b'{"instances": [2]}'
    }  # fmt: skip
    assert found["a"][3:] == (1793527200.123456, "4")
    assert "4 records written, 0 lost" in process.stdout.read()


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({}, b"{}", "the event has no id"),
        (binary("a") | {"Ce-Type": "com.example"}, b"{}", "does not send"),
        ({"Content-Type": "application/cloudevents+json"}, b"{", "no JSON"),
        ({"Content-Type": "application/cloudevents+json"}, b"[" * 50_000, "no JSON"),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[1]", "no event"),
        ({"Content-Type": "application/cloudevents+json"}, b'{"id": "a", "data_base64": "%"}', "no base64"),
    ],
)
def test_what_is_no_event_is_refused_in_one_line(start, headers, body, words):
    _, port = start()
    status, text = post(port, body, **headers)
    assert status == 400
    assert words in json.loads(text)["error"]
    assert post(port, method="GET", path="/healthz") == (200, "ok\n")


def test_too_large_an_event_is_refused_and_the_next_one_is_taken(start):
    _, port = start()
    # It need not read to the end what it refuses.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert post(port, b"x" * (event_bodies.LARGEST_EVENT + 1), **binary("a"))[0] == 413
    assert post(port, b"{}", **binary("b"))[0] == 200


def test_a_sink_that_is_stuck_means_503_and_bounded_memory(tmp_path):
    import asyncio

    from aiohttp.test_utils import TestClient, TestServer

    stuck = threading.Event()
    log = PayloadLog(lambda name, content: stuck.wait(), Limits(batch_records=1, waiting_bytes=20_000))

    async def play():
        async with TestClient(TestServer(collector.application(log, "x"))) as client:
            statuses = [(await client.post("/", data=b"x" * 5000, headers=binary(str(n)))).status for n in range(10)]
            return statuses, await (await client.get("/metrics")).text()

    statuses, metrics = asyncio.run(play())
    assert statuses[0] == 200
    assert statuses[-1] == 503
    assert f"records_lost_total {statuses.count(503)}" in metrics
    stuck.set()
    log.close()


def test_a_sink_that_fails_for_a_moment_loses_nothing(monkeypatch):
    monkeypatch.setattr(collector, "RETRY_DELAYS", (0.01, 0.01))
    tried = []

    def store(name, content):
        tried.append(name)
        if len(tried) < 3:
            raise OSError(28, "No space left on device")

    collector.patient(store)("a", b"")
    assert len(tried) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "MAINSPRING_SINK is not set"),
        ({"MAINSPRING_SINK": "x", "MAINSPRING_PORT": "http"}, "MAINSPRING_PORT='http'"),
        ({"MAINSPRING_SINK": "x", "MAINSPRING_BATCH_RECORDS": "0"}, "expected a number of 1 or more"),
        ({"MAINSPRING_SINK": "x", "MAINSPRING_BATCH_SECONDS": "nan"}, "expected a number of 0 or more"),
    ],
)
def test_wrong_settings_are_one_line(settings, words):
    with pytest.raises(UserError, match=words):
        collector.settings_of(settings)


def test_a_folder_that_cannot_be_written_is_said_at_the_start(start, tmp_path):
    (tmp_path / "file").write_text("")
    process, port = start(MAINSPRING_SINK=str(tmp_path / "file" / "sink"))
    assert port == 0
    assert process.wait() == 1
    error = process.stderr.read().strip().splitlines()[-1]
    assert error.startswith("mainspring: error: MAINSPRING_SINK=")


def test_what_the_collector_keeps_is_bounded(tmp_path):
    store = payload_log.folder_store(tmp_path, keep_bytes=10_000)
    for number in range(50):
        store(f"{number}.json", b"x" * 1000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000


def test_logs_are_read_from_buckets_as_the_collector_writes_them(bucket):
    from mainspring.components.common import buckets

    sent = [one for number in range(3) for one in exchange(number)]
    store = collector.store_of(collector.Settings(f"{bucket}/logs", 0, Limits(), 0))
    text = json.dumps([one | {"url": None, "sourceUri": None, "metadata": {}, "annotations": {}} for one in sent])
    store("flights/a-request.json", text.encode())
    store("flights/a-request.json", text.encode())
    assert len(collected(f"{bucket}/logs")) == 12
    assert len(collected(f"{bucket}/logs/*/a-request.json")) == 6
    assert len(buckets.list_objects(f"{bucket}/logs")) == 2
    with pytest.raises(UserError, match="holds no"):
        log_files.find(f"{bucket}/nothing", 0.0)
