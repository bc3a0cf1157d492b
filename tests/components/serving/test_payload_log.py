"""The front's payload log: KServe's records, off the requests' path, bounded in memory and on disk."""

from __future__ import annotations

import base64
import csv
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mainspring.components.common.payloads import payload_log
from mainspring.components.common.payloads.payload_log import Limits, PayloadLog, folder_store
from mainspring.components.common.payloads.payload_records import REQUEST, RESPONSE, PayloadRecord


class _Echo(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(400 if b"bad" in body else 200)
        self.send_header("Content-Length", "18")
        self.end_headers()
        self.wfile.write(b'{"predictions":[]}')

    def log_message(self, *_):
        pass


@pytest.fixture
def backend():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def records(folder):
    found = []
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text())
        found += content if isinstance(content, list) else [content]
    return found


def logged(number, body=b"{}", kind=REQUEST):
    return PayloadRecord(body=body, req_type=kind, id=str(number), occurred=1.5e9 + number, inference_service="flights")


def test_the_front_logs_requests_and_answers_in_kserves_form(launch, until, ask, backend, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    report, payloads = tmp_path / "front.json", tmp_path / "payloads"
    arguments = ("--name", "flights", "--port", str(port), "--report", str(report), "--payload-log", str(payloads))
    process = launch("front", *arguments)
    until(report.exists)
    said = json.loads(report.read_text())
    token = {"Authorization": f"Bearer {said['token']}"}
    ask(said["control_port"], "PUT", "/routes", [{"version": 7, "port": backend, "percent": 100}], token)
    for body, ce_id in (('{"instances": [1]}', "first"), ("bad", "../../second")):
        ask(port, "POST", "/v1/models/flights:predict", body.encode(), {"Ce-Id": ce_id})
    ask(port, "GET", "/v2/models/flights/ready")
    process.terminate()
    process.wait()

    found = {(record["id"], record["reqType"]): record for record in records(payloads)}
    assert set(found) == {("first", REQUEST), ("first", RESPONSE), ("../../second", REQUEST)}
    first = found["first", REQUEST]
    assert base64.b64decode(first["bytes"]) == b'{"instances": [1]}'
    assert first["annotations"] == {"mainspring.dev/version": "7"}
    assert (first["inferenceService"], first["component"], first["endpoint"]) == ("flights", "predictor", "default")
    assert first["sourceUri"]["Host"] == "flights"
    assert first["occurrenceTime"].endswith("Z")
    assert [path.name for path in (payloads / "flights" / "predictor").iterdir()] == ["first-request.json"]


def by_csv(folder):
    """Rows by id and kind, from KServe's CSV form."""
    rows = [row for path in folder.rglob("*.csv") for row in csv.DictReader(path.open(newline=""))]
    return {(row["id"], row["reqType"]): base64.b64decode(row["bytes"]) for row in rows}


def test_a_log_in_csv_is_kserves_and_counts_among_what_rotates(tmp_path):
    log = PayloadLog(folder_store(tmp_path, 1 << 20), form="csv")
    log.add(logged(1, b'{"a": "\n,"}'), logged(1, b"[]", RESPONSE))
    log.close()
    assert by_csv(tmp_path) == {("1", REQUEST): b'{"a": "\n,"}', ("1", RESPONSE): b"[]"}
    folder_store(tmp_path, keep_bytes=10)("2-request.csv", b"x" * 20)
    assert [path.name for path in tmp_path.rglob("*.csv")] == ["2-request.csv"]


@pytest.mark.parametrize(("form", "files"), [("off", 0), ("csv", 1)])
def test_the_log_of_an_endpoint_can_be_csv_or_off(monkeypatch, launch, until, ask, tmp_path, form, files):
    monkeypatch.setenv("MAINSPRING_PAYLOAD_LOG", form)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    report, payloads = tmp_path / "front.json", tmp_path / "payloads"
    arguments = ("--name", "x", "--port", str(port), "--report", str(report), "--payload-log", str(payloads))
    process = launch("front", *arguments)
    until(report.exists)
    ask(port, "POST", "/v1/models/x:predict", b"{}")
    process.terminate()
    process.wait()
    assert len(list(payloads.rglob("*.csv"))) == files
    assert not list(payloads.rglob("*.json"))


def test_an_unknown_form_of_log_is_one_line(monkeypatch, launch, tmp_path):
    monkeypatch.setenv("MAINSPRING_PAYLOAD_LOG", "parquet")
    process = launch("front", "--name", "x", "--port", "1", "--report", str(tmp_path / "r"))
    assert process.wait() == 1
    assert process.stderr.read().decode().count("\n") == 1


def test_a_full_queue_drops_records_at_once_and_counts_them(tmp_path):
    stuck = threading.Event()
    log = PayloadLog(lambda name, content: stuck.wait(), Limits(batch_records=1, waiting_bytes=10_000))
    taken = sum(log.add(logged(number, b"x" * 1000)) for number in range(1000))
    assert 0 < taken < 10
    assert log.dropped == 1000 - taken
    stuck.set()
    log.close()
    assert log.written == taken


def test_a_store_that_fails_costs_its_records_and_nothing_else(tmp_path, capsys):
    stored = []

    def store(name, content):
        if not stored:
            stored.append(None)
            raise OSError(28, "No space left on device")
        stored.append(json.loads(content))

    log = PayloadLog(store, Limits(batch_records=1))
    log.add(logged(1))
    log.add(logged(2))
    log.close()
    assert (log.dropped, log.written) == (1, 1)
    assert stored[1]["id"] == "2"
    assert "1 records are lost" in capsys.readouterr().err


def test_the_oldest_files_go_when_the_log_is_larger_than_allowed(tmp_path):
    store = folder_store(tmp_path, keep_bytes=3000)
    for number in range(10):
        store(f"{number}-request.json", b"x" * 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}-request.json" for n in (7, 8, 9)]


def test_an_id_that_comes_twice_keeps_both_batches(tmp_path):
    store = folder_store(tmp_path, keep_bytes=1 << 20)
    store("1-request.json", b"[]")
    store("1-request.json", b"{}")
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"[]", b"{}"]


def test_nothing_half_written_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(payload_log.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed here")))
    with pytest.raises(OSError):
        folder_store(tmp_path, 1 << 20)("1-request.json", b"[]")
    assert list(tmp_path.iterdir()) == []
