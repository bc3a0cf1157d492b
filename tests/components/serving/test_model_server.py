"""The real process over HTTP: what it answers, what it refuses, when it ends."""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from pathlib import Path

import pytest
import saved_models
import tensorflow as tf

PREDICT = "/v1/models/flights:predict"
INFER = "/v2/models/flights/infer"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_models.save(saved_models.Binary(0.25), tmp_path_factory.mktemp("models") / "7")


@pytest.fixture(scope="module")
def server(model, launch, ask, until, tmp_path_factory):
    folder = tmp_path_factory.mktemp("endpoint")
    process = launch("model_server")
    order = {"name": "flights", "version": 7, "path": str(model)}
    order |= {"report": str(folder / "report.json"), "log": str(folder / "log")}
    process.stdin.write(f"{json.dumps(order)}\nkeep\n".encode())
    process.stdin.flush()
    until((folder / "report.json").exists)
    port = json.loads((folder / "report.json").read_text())["port"]
    until(lambda: _ready(ask, port))
    return process, port, folder / "log"


def _ready(ask, port):
    try:
        return ask(port, "GET", "/v2/models/flights/ready").status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def port(server):
    return server[1]


def own_answers(model, distances, carriers):
    signature = tf.saved_model.load(str(model)).signatures["serving_default"]
    answers = signature(distance=tf.constant(distances, tf.float32), carrier=tf.constant(carriers))
    return answers["prediction"].numpy().tolist(), [label.decode() for label in answers["label"].numpy()]


def test_v1_gives_the_models_own_predictions_with_null_and_absent_as_missing(port, ask, model):
    rows = [
        {"distance": 120, "carrier": "AA"},
        {"distance": None, "carrier": None},
        {},
        {"distance": -80.5, "carrier": "é"},
    ]
    answer = ask(port, "POST", PREDICT, {"instances": rows})
    predictions, labels = own_answers(model, [120, math.nan, math.nan, -80.5], ["AA", "", "", "é"])
    assert answer.status == 200
    assert [row["prediction"] for row in answer.content["predictions"]] == pytest.approx(predictions)
    assert [row["label"] for row in answer.content["predictions"]] == labels


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows niceness by thread")
def test_the_threads_that_serve_are_not_the_nice_ones_that_loaded(server):
    threads = [path.read_text().rpartition(")") for path in Path(f"/proc/{server[0].pid}/task").glob("*/stat")]
    nice = {int(fields.split()[16]) for name, _, fields in threads if "tf_" in name}
    main = os.getpriority(os.PRIO_PROCESS, server[0].pid)
    assert (nice, main) == ({0}, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says what a process has mapped")
def test_a_small_models_server_takes_less_than_400_megabytes(port, server, ask):
    assert ask(port, "GET", "/v2/models/flights/ready").status == 200
    said = Path(f"/proc/{server[0].pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in said.splitlines() if line.startswith("VmRSS:"))
    assert resident < 400_000  # Kilobytes; 203,000 in December 2026.
    libraries = Path(f"/proc/{server[0].pid}/maps").read_text()
    assert "_pywrap_tf_session" in libraries
    # What only the whole of TensorFlow's and KServe's packages import.
    assert not [name for name in ("pandas", "h5py", "tflite") if name in libraries]


def test_v1_takes_what_curl_sends_without_a_content_type(port, ask):
    body = json.dumps({"instances": [{"distance": 1}]}).encode()
    assert ask(port, "POST", PREDICT, body, {"Content-Type": "application/x-www-form-urlencoded"}).status == 200


def test_a_thousand_rows_are_answered_like_one(port, ask):
    rows = [{"distance": index, "carrier": "AA"} for index in range(1000)]
    many = ask(port, "POST", PREDICT, {"instances": rows}).content["predictions"]
    one = ask(port, "POST", PREDICT, {"instances": [rows[517]]}).content["predictions"]
    assert len(many) == 1000
    assert many[517]["prediction"] == pytest.approx(one[0]["prediction"])


def test_v2_gives_the_models_own_predictions(port, ask, model):
    inputs = [
        {"name": "distance", "shape": [3], "datatype": "FP32", "data": [120, None, 5]},
        {"name": "carrier", "shape": [3, 1], "datatype": "BYTES", "data": ["AA", "AA", "UA"]},
    ]
    answer = ask(port, "POST", INFER, {"id": "42", "inputs": inputs})
    outputs = {output["name"]: output for output in answer.content["outputs"]}
    predictions, labels = own_answers(model, [120, math.nan, 5], ["AA", "AA", "UA"])
    assert (answer.content["id"], answer.content["model_version"]) == ("42", "7")
    assert outputs["prediction"]["datatype"] == "FP32"
    assert outputs["prediction"]["shape"] == [3]
    assert outputs["prediction"]["data"] == pytest.approx(predictions)
    assert outputs["label"]["data"] == labels


def test_v2_takes_and_gives_binary_tensors(port, ask, model):
    tensor = struct.pack("<2f", 120, 5)
    head = {
        "inputs": [
            {"name": "distance", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": len(tensor)}}
        ],
        "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}
    answer = ask(port, "POST", INFER, text + tensor, headers)
    assert answer.status == 200
    given = answer.content[int(answer.headers["inference-header-content-length"]) :]
    assert struct.unpack("<2f", given) == pytest.approx(own_answers(model, [120, 5], ["", ""])[0])


def test_v2_answers_only_the_outputs_asked_for(port, ask):
    inputs = [{"name": "distance", "shape": [1], "datatype": "FP32", "data": [1]}]
    answer = ask(port, "POST", INFER, {"inputs": inputs, "outputs": [{"name": "label"}]})
    assert [output["name"] for output in answer.content["outputs"]] == ["label"]


def test_metadata_and_readiness(port, ask):
    metadata = ask(port, "GET", "/v2/models/flights").content
    assert {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]} == {
        "distance": "FP32",
        "carrier": "BYTES",
    }
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["prediction", "label"]
    assert ask(port, "GET", "/v1/models/flights").content == {"name": "flights", "ready": True}
    assert ask(port, "GET", "/v2/health/ready").status == 200


DISTANCE = {"name": "distance", "shape": [1], "datatype": "FP32", "data": [1]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"instances": [{"distnce": 5}]}, "instance 0: unknown feature 'distnce'; the model takes carrier, distance"),
        ({"instances": [{}, {"distance": "far"}]}, "instance 1: feature 'distance' takes a number, got \"far\""),
        ({"instances": [{"distance": True}]}, "takes a number, got true"),
        ({"instances": [{"distance": [1]}]}, "takes a number, got [1]"),
        ({"instances": [{"carrier": 5}]}, "feature 'carrier' takes text, got 5"),
        ({"instances": [{"carrier": "\ud800"}]}, ""),
        ({"instances": [[1, 2]]}, "instance 0: expected an object"),
        ({"instances": None}, "must be a list of objects"),
        ({"instances": {"distance": 5}}, "instances"),
        ({"rows": []}, '"instances" must be a list'),
        ([], "not a JSON object"),
        (b"", ""),
        (b'{"instances": [', ""),
        (b"\xff\xfe", ""),
    ],
)
def test_a_wrong_v1_request_is_answered_with_400_and_one_line(port, ask, body, said):
    for content_type in ("application/json", "text/plain"):
        answer = ask(port, "POST", PREDICT, body, {"Content-Type": content_type})
        assert answer.status == 400
        assert said in answer.content["error"] or said == "instances"
        assert "\n" not in answer.content["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [DISTANCE | {"name": "distnce"}]},
        {"inputs": [DISTANCE | {"data": ["far"]}]},
        {"inputs": [DISTANCE | {"shape": [2]}]},
        {"inputs": [DISTANCE | {"shape": [1, 2], "data": [1, 2]}]},
        {"inputs": [DISTANCE, DISTANCE]},
        {"inputs": [DISTANCE, {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}]},
        {"inputs": [{"name": "distance"}]},
        {"inputs": []},
        {"inputs": 5},
        {"inputs": [DISTANCE], "outputs": [{"name": "nothing"}]},
        {"instances": [{"distance": 5}]},
        "text",
        [],
        b"{",
        b"",
    ],
)
def test_a_wrong_v2_request_is_answered_with_400_and_one_line(port, ask, body):
    for headers in ({}, {"Inference-Header-Content-Length": "12", "Content-Type": "application/octet-stream"}):
        answer = ask(port, "POST", INFER, body, headers)
        assert answer.status == 400, answer
        assert answer.content["error"]
        assert "\n" not in answer.content["error"]


def test_another_models_name_is_answered_with_404(port, ask):
    assert ask(port, "POST", "/v1/models/trains:predict", {"instances": [{}]}).status == 404


def test_requests_leave_no_line_in_the_log(server, ask):
    _, port, log = server
    before = log.read_text()
    for body in ({"instances": [{"distance": 1}]}, {"instances": [{"x": 1}]}):
        ask(port, "POST", PREDICT, body)
    ask(port, "POST", "/v1/models/trains:predict", {})
    assert log.read_text() == before


def test_it_listens_on_loopback_only(port):
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = [line[1] for line in lines if line[3] == "0A"]
    assert f"0100007F:{port:04X}" in addresses
    assert f"00000000:{port:04X}" not in addresses


def test_sigterm_ends_it(server):
    process = server[0]
    process.terminate()
    process.wait()


def test_a_waiting_server_ends_at_once_when_its_caller_goes_away(launch):
    # Python then says of each module that it has been imported.
    process = launch("model_server", variables={"PYTHONPROFILEIMPORTTIME": "1"})
    process.stdin.close()
    assert process.wait() == 0
    assert b"| tensorflow\n" not in process.stderr.read(), "it must not finish its imports first"


def test_a_model_that_does_not_load_ends_the_server_with_one_line(launch, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no protocol buffer")
    process = launch("model_server")
    order = {"name": "x", "version": 1, "path": str(tmp_path)}
    order |= {"report": str(tmp_path / "report.json"), "log": str(tmp_path / "log")}
    process.stdin.write(f"{json.dumps(order)}\n".encode())
    process.stdin.flush()
    assert process.wait() == 1
    last = (tmp_path / "log").read_text().strip().splitlines()[-1]
    assert last.startswith("mainspring: error: ")
    assert str(tmp_path) in last
