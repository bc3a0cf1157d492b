"""V1, V2 and gRPC of the serving image's own command, asked by KServe's own clients."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import signal
import socket
import struct
import threading
import time
import zlib

import grpc
import pytest
import saved_models
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc
from kserve.protocol.infer_type import RequestedOutput

PREDICT = "/v1/models/flights:predict"
DISTANCES, CARRIERS = [120.0, -80.5, 5.0], ["AA", "é", ""]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def served(launch, ask, until, tmp_path_factory):
    """The process, its HTTP port and its gRPC port."""
    folder = saved_models.save(saved_models.Binary(0.25), tmp_path_factory.mktemp("models") / "7")
    http_port, grpc_port = free_port(), free_port()
    process = launch(
        "mounted_model",
        *("--model_name=flights", f"--model_dir={folder}", f"--http_port={http_port}", f"--grpc_port={grpc_port}"),
        "--configure_logging=true",  # KServe's own: means nothing here and must do no harm.
    )

    def ready():
        assert process.poll() is None, process.stderr.read().decode()
        try:
            return ask(http_port, "GET", "/v2/health/ready").status == 200
        except OSError:
            return False

    until(ready)
    yield process, http_port, grpc_port
    process.send_signal(signal.SIGTERM)
    assert process.wait() in (0, -signal.SIGTERM)


def tensors(**changes) -> InferRequest:
    distance = InferInput("distance", [3], "FP32", DISTANCES)
    carrier = InferInput("carrier", [3], "BYTES", CARRIERS)
    return InferRequest(**{"model_name": "flights", "infer_inputs": [distance, carrier]} | changes)


def by_grpc(port, request):
    async def infer():
        client = InferenceGRPCClient(f"127.0.0.1:{port}")
        try:
            return await client.infer(request)
        finally:
            await client.close()

    return asyncio.run(infer())


def by_rest(port, protocol, request):
    async def infer():
        client = InferenceRESTClient(RESTConfig(protocol=protocol))
        try:
            return await client.infer(f"http://127.0.0.1:{port}", request, model_name="flights")
        finally:
            await client.close()

    return asyncio.run(infer())


def stub(port):
    return pb_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))


def test_v1_v2_and_grpc_give_the_same_answers_to_kserves_own_clients(served):
    _, http_port, grpc_port = served
    rows = [{"distance": d, "carrier": c} for d, c in zip(DISTANCES, CARRIERS, strict=True)]
    v1 = by_rest(http_port, "v1", {"instances": rows})["predictions"]
    for response in (by_rest(http_port, "v2", tensors()), by_grpc(grpc_port, tensors())):
        outputs = {output.name: output.as_numpy() for output in response.outputs}
        assert outputs["prediction"].tolist() == pytest.approx([row["prediction"] for row in v1], abs=1e-6)
        labels = [label.decode() if isinstance(label, bytes) else label for label in outputs["label"].tolist()]
        assert labels == [row["label"] for row in v1]


def test_grpc_takes_raw_bytes_and_gives_only_the_outputs_asked_for(served):
    request = pb.ModelInferRequest(model_name="flights", id="42")
    request.inputs.add(name="distance", datatype="FP32", shape=[2])
    request.raw_input_contents.append(struct.pack("<2f", 120, 5))
    request.outputs.add(name="prediction")
    response = stub(served[2]).ModelInfer(request, timeout=300)
    assert (response.id, [output.name for output in response.outputs]) == ("42", ["prediction"])
    given = struct.unpack("<2f", response.raw_output_contents[0])
    wanted = by_grpc(served[2], tensors(infer_inputs=[InferInput("distance", [2], "FP32", [120.0, 5.0])]))
    assert list(given) == pytest.approx(wanted.outputs[0].as_numpy().tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"infer_inputs": [InferInput("distnce", [1], "FP32", [1.0])]}, "unknown feature 'distnce'"),
        ({"infer_inputs": [InferInput("carrier", [1], "FP32", [1.0])]}, "takes text"),
        ({"infer_inputs": [InferInput("distance", [2], "FP32", [1.0])]}, "shape"),
        ({"infer_inputs": []}, "at least one"),
        ({"request_outputs": [RequestedOutput("nothing")]}, "unknown output 'nothing'"),
    ],
)
def test_a_wrong_grpc_request_is_an_invalid_argument_in_one_line(served, changes, said):
    with pytest.raises(grpc.RpcError) as refusal:
        stub(served[2]).ModelInfer(tensors(**changes).to_grpc(), timeout=300)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert said in refusal.value.details()
    assert "\n" not in refusal.value.details()


def v2_json(name: bytes, datatype: bytes, data: bytes) -> bytes:
    tensor = b'{"name": "%s", "datatype": "%s", "shape": [2], "data": [%s]}' % (name, datatype, data)
    return b'{"inputs": [' + tensor + b"]}"


def v2_binary(name: str, datatype: str, raw: bytes) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": name, "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(raw)}}
    header = json.dumps({"inputs": [tensor]}).encode()
    return header + raw, {"Inference-Header-Content-Length": str(len(header))}


@pytest.mark.parametrize(
    ("name", "datatype", "text", "raw"),
    [
        ("distance", "FP32", b"NaN", struct.pack("<2f", 1, float("nan"))),
        ("distance", "FP32", b"-Infinity", struct.pack("<2f", 1, float("-inf"))),
        ("distance", "FP64", b"1e39", struct.pack("<2d", 1, 1e39)),
        ("carrier", "BYTES", b'"\xff"', b"\1\0\0\0A" + b"\1\0\0\0\xff"),
    ],
)
def test_what_is_no_value_is_refused_by_every_protocol_with_row_and_feature(served, ask, name, datatype, text, raw):
    _, http_port, grpc_port = served
    first = b'"A"' if datatype == "BYTES" else b"1"
    infer = "/v2/models/flights/infer"
    v1 = b'{"instances": [{"%s": %s}, {"%s": %s}]}' % (name.encode(), first, name.encode(), text)
    body, headers = v2_binary(name, datatype, raw)
    answers = [
        ask(http_port, "POST", PREDICT, v1, {"Content-Type": "application/json"}),
        ask(http_port, "POST", infer, v2_json(name.encode(), datatype.encode(), first + b"," + text), {}),
        ask(http_port, "POST", infer, body, headers | {"Content-Type": "application/octet-stream"}),
    ]
    request = pb.ModelInferRequest(model_name="flights")
    request.inputs.add(name=name, datatype=datatype, shape=[2])
    request.raw_input_contents.append(raw)
    with pytest.raises(grpc.RpcError) as refusal:
        stub(grpc_port).ModelInfer(request, timeout=20)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    said = [refusal.value.details(), *(answer.content["error"] for answer in answers)]
    assert [answer.status for answer in answers] == [400, 400, 400]
    for one in said:
        assert " 1: feature" in one, one
        assert repr(name) in one


def test_no_rows_get_no_answers_by_every_protocol_and_keys_twice_are_refused_by_both(served, ask):
    _, http_port, grpc_port = served
    assert ask(http_port, "POST", PREDICT, b'{"instances": []}', {}).content == {"predictions": []}
    body = b'{"inputs": [{"name": "distance", "datatype": "FP32", "shape": [0], "data": []}]}'
    v2 = ask(http_port, "POST", "/v2/models/flights/infer", body, {})
    assert [output["data"] for output in v2.content["outputs"]] == [[], []]
    request = pb.ModelInferRequest(model_name="flights")
    request.inputs.add(name="distance", datatype="FP32", shape=[0])
    assert [list(output.shape) for output in stub(grpc_port).ModelInfer(request, timeout=20).outputs] == [[0], [0]]
    twice = body.replace(b'"data": []', b'"data": [], "data": [1.0]')
    refused = ask(http_port, "POST", "/v2/models/flights/infer", twice, {})
    assert (refused.status, refused.content["error"]) == (400, "input 0: 'data' is given twice")


@pytest.mark.parametrize(
    ("encoding", "pack", "status", "said"),
    [
        ("gzip", gzip.compress, 200, ""),
        ("deflate", zlib.compress, 200, ""),
        ("gzip", lambda body: gzip.compress(body)[:-9], 400, "ends too early"),
        ("gzip", lambda body: body, 400, "is not in gzip"),
        ("br", lambda body: body, 415, "Content-Encoding 'br' is not taken"),
        ("gzip", lambda body: gzip.compress(bytes(65 << 20)), 413, "larger than 64 MiB once it is unpacked"),
    ],
)
def test_a_compressed_request_is_unpacked_within_a_bound_or_refused_by_name(served, ask, encoding, pack, status, said):
    http_port = served[1]
    v1 = json.dumps({"instances": [{"distance": 120.0}]}).encode()
    v2 = v2_json(b"distance", b"FP32", b"120, 5")
    for path, body in ((PREDICT, v1), ("/v2/models/flights/infer", v2)):
        answer = ask(http_port, "POST", path, pack(body), {"Content-Encoding": encoding})
        assert answer.status == status
        if said:
            assert said in answer.content["error"]
        else:
            assert answer.content == ask(http_port, "POST", path, body, {}).content | (
                {"id": answer.content["id"]} if "id" in answer.content else {}
            )


def test_raw_bytes_that_are_no_tensor_are_an_invalid_argument(served):
    for content in (b"abc", b""):
        request = pb.ModelInferRequest(model_name="flights")
        request.inputs.add(name="distance", datatype="FP32", shape=[1])
        request.raw_input_contents.append(content)
        with pytest.raises(grpc.RpcError) as refusal:
            stub(served[2]).ModelInfer(request, timeout=300)
        assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_nobody_unloads_the_model_by_a_request(served, ask):
    _, http_port, grpc_port = served
    assert ask(http_port, "POST", "/v2/repository/models/flights/unload").status == 403
    with pytest.raises(grpc.RpcError) as refusal:
        stub(grpc_port).RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="flights"), timeout=20)
    assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert stub(grpc_port).ModelReady(pb.ModelReadyRequest(name="flights"), timeout=300).ready


def samples(ask, port) -> dict[str, float]:
    lines = ask(port, "GET", "/metrics").content.decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_prometheus_is_told_of_requests_errors_latency_batches_and_the_version(served, ask):
    _, http_port, grpc_port = served
    before = samples(ask, http_port)
    for distance in (1, "far"):
        ask(http_port, "POST", PREDICT, {"instances": [{"distance": distance}]})
    by_grpc(grpc_port, tensors())
    by_rest(http_port, "v2", tensors())
    after = samples(ask, http_port)

    def added(name):
        return after[name] - before.get(name, 0)

    for protocol, code in (("v1", "200"), ("v1", "400"), ("v2", "200"), ("grpc", "OK")):
        assert added(f'mainspring_requests_total{{code="{code}",model_name="flights",protocol="{protocol}"}}') == 1
    assert added('mainspring_request_seconds_count{model_name="flights",protocol="v1"}') == 2
    assert added('mainspring_batch_rows_sum{model_name="flights"}') == 1 + 3 + 3
    assert added('request_predict_seconds_count{model_name="flights"}') == 3, "KServe's own name, for its dashboards"
    assert after['mainspring_model_info{model_name="flights",model_version="7"}'] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"instances": [{"distance": NaN}]}', 400),
        (b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"instances": [{"distance": ' + b"[" * 400 + b"]" * 400 + b"}]}", 400),
        (b'{"instances": [' + b"{}," * 2_000_001 + b"{}]}", 400),
        (b'{"instances": [' + b"{}," * 100_000 + b"{}]}", 400),
        (b'{"instances": [{"distance": 1e999}]}', 400),
        (b'{"instances": [{"distance": ' + b"9" * 5000 + b"}]}", None),
        (b" " * ((64 << 20) + 1), 413),
    ],
)
def test_a_hostile_body_is_answered_with_one_line_and_the_server_lives(served, ask, body, status):
    for path in (PREDICT, "/v2/models/flights/infer"):
        answer = ask(served[1], "POST", path, body)
        assert answer.status in ((400, 413) if status is None else (status,))
        assert answer.content["error"].count("\n") == 0
        assert len(answer.content["error"]) < 500
    assert ask(served[1], "POST", PREDICT, {"instances": [{}]}).status == 200


def test_a_body_without_a_length_is_bounded_as_well(served):
    connection = http.client.HTTPConnection("127.0.0.1", served[1], timeout=300)
    connection.putrequest("POST", PREDICT)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    status = 0
    try:
        for _ in range(70):
            connection.send(chunk)
        connection.send(b"0\r\n\r\n")
    except OSError:
        status = 413  # It hung up on us in the middle.
    with contextlib.suppress(OSError, http.client.HTTPException):
        status = connection.getresponse().status
    assert status == 413


def test_clients_that_stall_or_vanish_hold_nobody_up(served, ask):
    stalled = [socket.create_connection(("127.0.0.1", served[1])) for _ in range(200)]
    for number, connection in enumerate(stalled):
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        connection.sendall(head.encode() + (b"\r\n{" if number % 2 else b""))
    gone = [socket.create_connection(("127.0.0.1", served[1])) for _ in range(50)]
    body = json.dumps({"instances": [{"distance": 1}]}).encode()
    for connection in gone:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.close()
    for _ in range(20):
        assert ask(served[1], "POST", PREDICT, {"instances": [{"distance": 1}]}).status == 200
    for connection in stalled:
        connection.close()


def test_many_clients_at_once_each_get_their_own_answer(served, ask):
    wrong = []

    def send(number):
        for turn in range(20):
            distance = number * 10.0 + turn
            answer = ask(served[1], "POST", PREDICT, {"instances": [{"distance": distance, "carrier": "UA"}]})
            again = ask(served[1], "POST", PREDICT, {"instances": [{"distance": distance, "carrier": "UA"}] * 3})
            given = {
                round(row["prediction"], 5) for row in (answer.content["predictions"] + again.content["predictions"])
            }
            if len(given) != 1:
                wrong.append((distance, given))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nobody_can_connect_before_the_model_is_ready(launch, until, tmp_path):
    port = free_port()
    process = launch("mounted_model", f"--model_dir={tmp_path}", f"--http_port={port}", "--enable_grpc=false")
    while process.poll() is None:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        time.sleep(0.05)
    assert process.wait() == 1
    assert b"holds no SavedModel" in process.stderr.read()
