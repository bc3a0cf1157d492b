from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.components.ingestion.formats import examples_wire, tfrecord
from mainspring.components.ingestion.hashing import CHUNK, row_hashes

MASK = 2**64 - 1


def hashed(values: list[Any], kind: pa.DataType, name: str = "a") -> list[int]:
    return row_hashes(pa.record_batch({name: pa.array(values, kind)}), [name]).tolist()


def mix(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def test_the_hash_is_the_documented_one() -> None:
    import hashlib

    seed = int.from_bytes(hashlib.blake2b(b"a", digest_size=8).digest(), "little")
    for value in (0, 1, -1, 2**62):
        assert hashed([value], pa.int64()) == [mix(mix((value & MASK) ^ seed))]


# A change of these is a change of every user's split: rows would move between train and eval.
@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (7, pa.int64(), 8685162837189628900),
        (0.5, pa.float64(), 3115691095064990410),
        ("", pa.string(), 15366581771635148601),
        ("é", pa.string(), 4895264624844191155),
        ("twelve chars", pa.string(), 17516445946450015541),
        ("x" * 65, pa.string(), 13556249987250135766),
        (None, pa.string(), 0),
    ],
)
def test_the_hash_never_changes(value: Any, kind: pa.DataType, expected: int) -> None:
    assert hashed([value], kind) == [expected]


@given(st.integers(-(2**53), 2**53))
def test_equal_numbers_hash_equally_as_integers_and_doubles(value: int) -> None:
    assert hashed([value], pa.int64()) == hashed([float(value)], pa.float64())


@given(st.lists(st.none() | st.text(max_size=80), min_size=1, max_size=30), st.integers(0, 5))
def test_a_strings_hash_depends_on_nothing_around_it(texts: list[str | None], cut: int) -> None:
    alone = [hashed([text], pa.string())[0] for text in texts]
    assert hashed(texts, pa.string()) == alone
    batch = pa.record_batch({"a": pa.array(texts, pa.string())}).slice(cut)
    assert row_hashes(batch, ["a"]).tolist() == alone[cut:]


def test_strings_that_differ_in_one_byte_or_trailing_zeros_hash_differently() -> None:
    words = ["a" * length for length in range(130)] + ["a\0" * length for length in range(1, 40)]
    words += ["b" * 64 + end for end in ("", "a", "b")] + ["\0" * length for length in range(1, 80)]
    assert len(set(hashed(words, pa.string()))) == len(words)


def test_rows_beyond_the_first_chunk_hash_as_within_it() -> None:
    values = list(range(CHUNK + 10))
    assert hashed(values, pa.int64())[-10:] == hashed(values[-10:], pa.int64())


def test_hashes_of_ordinary_columns_are_spread_evenly() -> None:
    rows = 200_000
    batch = pa.record_batch({"i": pa.array(range(rows)), "c": pa.array([0, 1] * (rows // 2))})
    for names in (["i"], ["i", "c"]):
        counts = np.bincount((row_hashes(batch, names) >> np.uint64(56)).astype(int), minlength=256)
        assert (abs(counts - rows / 256) < 6 * (rows / 256) ** 0.5).all()


features = st.dictionaries(
    st.sampled_from(["a", "b", "long name", "é"]),
    st.one_of(
        st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
        st.lists(st.floats(width=32, allow_nan=False), max_size=2),
        st.lists(st.binary(max_size=200), max_size=2),
    ),
)


@given(st.lists(features, min_size=1, max_size=8))
def test_examples_read_in_step_are_what_protobuf_reads_or_are_left_to_it(rows: list[dict[str, list[Any]]]) -> None:
    records = []
    for row in rows:
        example = tfrecord._EXAMPLE()
        for name, values in row.items():
            kind = {int: "int64_list", float: "float_list", bytes: "bytes_list"}[type((values or [0])[0])]
            getattr(example.features.feature[name], kind).value.extend(values)
        records.append(example.SerializeToString())
    try:
        columns = examples_wire.columns_of(records)
    except pa.ArrowInvalid:
        return
    if columns is None:
        return
    for name, (kind, array) in columns.items():
        expected = [getattr(row.get(name), "__iter__", list)() for row in rows]
        values = [next(iter(value), None) for value in expected]
        assert array.to_pylist() == [
            value.decode() if kind == "bytes_list" and value is not None else value for value in values
        ]
        assert all(len(row.get(name, [])) < 2 for row in rows)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_bytes_that_are_no_example_are_left_to_protobuf(records: list[bytes]) -> None:
    try:
        columns = examples_wire.columns_of(records)
    except pa.ArrowInvalid:
        return
    if columns is not None:
        for record in records:
            tfrecord._EXAMPLE.FromString(record)
