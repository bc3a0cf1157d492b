"""Rows and predictions out of the V1 and V2 protocols' payloads."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.components.monitoring.logs import bodies, payloads
from mainspring.components.monitoring.logs.malformed import Malformed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["instances", "inputs", "outputs", "predictions", "name", "data", "shape", "prediction"]),
            inner,
        )
    ),
    max_leaves=12,
)


def tensor(name, data, shape=None):
    return {"name": name, "shape": shape or [len(data)], "datatype": "FP32", "data": data}


@pytest.mark.parametrize(
    "payload",
    [
        {"instances": [{"a": 1, "b": "x"}, {"a": 2, "b": None}]},
        {"inputs": {"a": [1, 2], "b": ["x", None]}},
        {"inputs": [tensor("a", [1, 2]), tensor("b", ["x", None], [2, 1])]},
        {"inputs": [tensor("a", [[1], [2]]), tensor("b", [["x"], [None]])]},
    ],
)
def test_all_forms_of_a_request_give_the_same_rows(payload):
    rows = payloads.instances(json.dumps(payload).encode())
    assert rows == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


@pytest.mark.parametrize(
    "payload",
    [
        {"predictions": [{"prediction": 0.2, "label": "0"}, {"prediction": 0.9, "label": "1"}]},
        {"predictions": [0.2, 0.9]},
        {"predictions": [[0.2], [0.9]]},
        {"outputs": {"prediction": [0.2, 0.9]}},
        {"outputs": [tensor("prediction", [0.2, 0.9]), tensor("label", ["0", "1"])]},
    ],
)
def test_all_forms_of_a_response_give_the_same_predictions(payload):
    found = payloads.predictions(json.dumps(payload).encode(), ["0", "1"])
    assert (list(found.scores), list(found.classes)) == ([0.2, 0.9], ["0", "1"])


@pytest.mark.parametrize(
    "payload",
    [
        {"predictions": [{"prediction": [0.1, 0.7, 0.2]}]},
        {"predictions": [[0.1, 0.7, 0.2]]},
        {"outputs": [tensor("prediction", [0.1, 0.7, 0.2], [1, 3])]},
    ],
)
def test_of_several_classes_the_most_probable_is_the_prediction(payload):
    found = payloads.predictions(json.dumps(payload).encode(), ["a", "b", "c"])
    assert (list(found.scores), list(found.classes)) == ([0.7], ["b"])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"{}", b'{"instances": []}', b'{"instances": [1]}', b'{"instances": 5}', b"\xff\xfe",
        b'{"inputs": {"a": [1], "b": [1, 2]}}', b'{"inputs": [{"name": "a"}]}', b'{"inputs": []}',
        b'{"inputs": [{"name": "a", "data": [1]}, {"name": "a", "data": [1]}]}',
    ],
)  # fmt: skip
def test_malformed_requests_are_said_to_be(content):
    with pytest.raises(Malformed):
        payloads.instances(content)


@pytest.mark.parametrize(
    "content",
    [
        b"{}", b'{"predictions": {}}', b'{"outputs": []}', b'{"outputs": {"prediction": []}}', b'{"outputs": 5}',
    ],
)  # fmt: skip
def test_malformed_responses_are_said_to_be(content):
    with pytest.raises(Malformed):
        payloads.predictions(content, [])


@pytest.mark.parametrize("body", ["%%%%", "YQ", "YQ==\n", "Y Q==", "é", "YQ=="[:-1]])
def test_what_is_no_base64_is_malformed(body):
    with pytest.raises(Malformed, match="base64"):
        bodies.decoded(body)


def test_base64_is_decoded():
    assert bodies.decoded("YQ==") == b"a"
    assert bodies.decoded("") == b""


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_gives_rows_and_predictions_or_is_malformed(content):
    body = json.dumps(content).encode()
    for read in (payloads.instances, lambda body: payloads.predictions(body, ["0", "1"])):
        try:
            read(body)
        except Malformed:
            continue
