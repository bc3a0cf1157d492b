"""The parser under arbitrary requests: arrays of the right shape, or one line that says what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve.errors import InvalidInput

from mainspring.components.serving.model import rows
from mainspring.components.serving.model.rows import Feature

FEATURES = {
    "distance": Feature("distance", rows.NUMBER, np.dtype(np.float32)),
    "stops": Feature("stops", rows.INTEGER, np.dtype(np.int32)),
    "carrier": Feature("carrier", rows.TEXT, np.dtype(object)),
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
instances = st.dictionaries(st.sampled_from([*FEATURES, "other"]), values, max_size=4)
bodies = (
    st.binary(max_size=200)
    | values.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
    | st.lists(instances | values, max_size=5).map(lambda given: json.dumps({"instances": given}).encode())
)


def columns(body: bytes) -> dict[str, np.ndarray]:
    return rows.columns_of_instances(rows.parse(body), FEATURES)


def columns_or_refusal(body: bytes) -> dict[str, np.ndarray] | str:
    try:
        return columns(body)
    except InvalidInput as error:
        return str(error)


@settings(max_examples=200, deadline=None)
@given(bodies)
def test_any_body_becomes_an_array_per_feature_or_one_line(body):
    found = columns_or_refusal(body)
    if isinstance(found, str):
        assert "\n" not in found
        assert 0 < len(found) < 500
        return
    count = len(json.loads(body)["instances"])
    assert {name: column.shape for name, column in found.items()} == dict.fromkeys(FEATURES, (count,))
    assert {name: column.dtype for name, column in found.items()} == {n: f.dtype for n, f in FEATURES.items()}


good = st.fixed_dictionaries(
    {"stops": st.integers(-(2**31), 2**31 - 1)},
    optional={
        "distance": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        "carrier": st.none() | st.text(),
    },
)


@settings(max_examples=100, deadline=None)
@given(st.lists(good, min_size=1, max_size=6))
def test_good_rows_arrive_as_they_were_sent(sent):
    try:
        body = json.dumps({"instances": sent}, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # Half a surrogate pair: no client can send it.
        return
    found = columns(body)
    assert found["stops"].tolist() == [row["stops"] for row in sent]
    for row, distance, carrier in zip(sent, found["distance"], found["carrier"], strict=True):
        given_distance = row.get("distance")
        assert np.isnan(distance) if given_distance is None else distance == np.float32(given_distance)
        text = carrier.decode() if isinstance(carrier, bytes) else carrier
        assert text == (row.get("carrier") or "")


WRITTEN = {
    "member": Feature("member", rows.NUMBER, np.dtype(np.float32), rows.BOOLEAN),
    "day": Feature("day", rows.NUMBER, np.dtype(np.float64), rows.MOMENT),
    "month": Feature("month", rows.TEXT, np.dtype(object), rows.WHOLE),
    "vip": Feature("vip", rows.TEXT, np.dtype(object), rows.BOOLEAN),
}


@pytest.mark.parametrize(
    ("name", "values", "taken"),
    [
        ("member", [True, False, "true", "False", 1, 0.0], [1, 0, 1, 0, 1, 0]),
        ("vip", [True, "false", 1], [b"1", b"0", b"1"]),
        ("month", [3, 3.0, "3", -1], [b"3", b"3", b"3", b"-1"]),
        ("day", ["1970-01-02", "1970-01-01 00:01:00", "1970-01-01T02:00:30+02:00", 5], [86400, 60, 30, 5]),
        ("day", ["2026-03-01T10:00:00Z", "1969-12-31 23:59:59.6"], [1772359200, 0]),
    ],
)
def test_a_value_is_taken_as_the_source_writes_it(name, values, taken):
    body = json.dumps({"instances": [{name: value} for value in values]}).encode()
    assert rows.columns_of_instances(rows.parse(body), WRITTEN)[name].tolist() == taken


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b'{"distance": NaN}', "instance 1: feature 'distance': nan is no number"),
        (b'{"distance": -Infinity}', "instance 1: feature 'distance': -inf is no number"),
        (b'{"distance": 1e400}', "instance 1: feature 'distance': inf is no number"),
        (b'{"distance": 1e39}', "instance 1: feature 'distance': 1e+39 is too large for the model"),
        (b'{"distance": 1' + b"0" * 400 + b"}", "instance 1: feature 'distance': the number is too large"),
        (b'{"stops": 3000000000}', "instance 1: feature 'stops': 3000000000 does not fit int32"),
        (b'{"distance": 1, "carrier": "AA", "distance": 2}', "instance 1: feature 'distance' is given twice"),
        (b'{"carrier": "12:30", "carrier": "12:31"}', "instance 1: feature 'carrier' is given twice"),
        (b'{"carrier": "\xff"}', "instance 1: feature 'carrier': the text is not valid UTF-8"),
        (b'{"carrier": "\\ud800"}', "instance 1: feature 'carrier': the text is not valid UTF-8"),
        (b'{"carrier": 5}', "instance 1: feature 'carrier' takes text, got 5"),
        (b'{"distance": true}', "instance 1: feature 'distance' takes a number, got true"),
    ],
)
def test_what_is_no_value_is_refused_with_row_and_feature(row, said):
    first = b'{"stops": 1, "carrier": "a: b"}'
    row = row[:-1] + b', "stops": 1}' if b"stops" not in row else row
    with pytest.raises(InvalidInput) as refusal:
        columns(b'{"instances": [' + first + b", " + row + b"]}")
    assert said in str(refusal.value)


def test_no_rows_are_no_rows():
    found = columns(b'{"instances": []}')
    assert {name: column.shape for name, column in found.items()} == dict.fromkeys(FEATURES, (0,))


def test_too_many_rows_and_too_many_objects_are_refused_before_they_take_memory():
    with pytest.raises(InvalidInput, match="100,001 rows in one request"):
        columns(b'{"instances": [' + b"{}," * 100_000 + b"{}]}")
    with pytest.raises(InvalidInput, match="more than 2,000,000 lists and objects"):
        columns(b"[" * 2_000_001)
