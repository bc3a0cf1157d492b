from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from tables import read_split, types_of

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.formats.tfrecord import _EXAMPLE, _masked
from mainspring.components.ingestion.ingest_examples import ingest_examples

WRITTEN_BY_TENSORFLOW = base64.b64decode(
    "H4sIAAAAAAAAA9NlgAAbx67fXNpcrFyMxUIMXMJcjJlCfFI8XFy//0MBIxcvF2OFEIcQGxcLSMO9LgtvU6jma0djn3EZgxQUC3FwARXkHV5piGTIHxyG2AdetW3DZ4gRkiF/sRvSYP/C+MFrXQLe+Idd8wH7SBfLKfhcYIJkyH8c3nAwNQ4v1YEa8mXdGVcuLVRDTLm4QIawSjFzMTKg6FVwiF+ttVwFqtdJu8GXSwnmeoQeVPscHKqfLpbDZ585kl4mFL0JDssyuczw6bVA0suMGtIOXFOE9Qi5lQVFzwSHzPOl7mixwwfSw8nFzsUKSicGSJpZUTQvcJBSOuWMV7MhkmY2FM0bHF6J+loAALAI8xnfAgAA"
)
"""Twelve records of TensorFlow 2.21's own TFRecordWriter (GZIP): i = n - 5, x = n / 2, and s = né<n> or nothing."""

EXPECTED = [(n - 5, n / 2, f"né{n}" if n % 3 else None) for n in range(12)]


def record(**features: Sequence[int] | Sequence[float] | Sequence[bytes]) -> bytes:
    example = _EXAMPLE()
    for name, values in features.items():
        kind = {int: "int64_list", float: "float_list", bytes: "bytes_list"}[type(values[0])]
        getattr(example.features.feature[name], kind).value.extend(values)
    return framed(example.SerializeToString())


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def written(path: Path, *records: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(records)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def refusal(path: Path, to: Path) -> str:
    with pytest.raises(UserError) as caught:
        ingest_examples(str(path), str(to), file_format="tfrecord")
    assert "\n" not in str(caught.value)
    assert not to.exists()
    return str(caught.value)


def all_rows(examples: Path, columns: str) -> list[tuple[object, ...]]:
    return sorted(read_split(examples, "train", columns) + read_split(examples, "eval", columns), key=repr)


@pytest.mark.parametrize("claimed", [2**31, 2**40, 2**62, 2**64 - 1])
@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_a_record_that_claims_to_be_endless_is_corrupt_and_takes_no_memory(
    tmp_path: Path, name: str, claimed: int
) -> None:
    length = struct.pack("<Q", claimed)
    path = written(tmp_path / name, length + struct.pack("<I", _masked(length)) + b"abc")
    assert "record 1 is truncated or corrupt" in refusal(path, tmp_path / "ex")


@pytest.mark.parametrize("name", ["a.tfrecord.gz", "a.tfrecord", "data_tfrecord-00000-of-00001.gz", "part-0"])
def test_what_tensorflow_wrote_is_read_plain_and_gzipped_under_any_name(tmp_path: Path, name: str) -> None:
    plain = not name.endswith(".gz")
    (tmp_path / name).write_bytes(gzip.decompress(WRITTEN_BY_TENSORFLOW) if plain else WRITTEN_BY_TENSORFLOW)
    given = "auto" if ".tfrecord" in name else "tfrecord"
    ingest_examples(str(tmp_path / name), str(tmp_path / "ex"), file_format=given, eval_fraction=0.4)
    assert all_rows(tmp_path / "ex", "i, x, s") == sorted(EXPECTED, key=repr)
    assert types_of(tmp_path / "ex") == {"i": "BIGINT", "s": "VARCHAR", "x": "DOUBLE"}


def test_a_feature_that_only_one_file_has_is_null_in_the_others(tmp_path: Path) -> None:
    written(tmp_path / "in" / "a.tfrecord", *(record(i=[n]) for n in range(5)))
    written(tmp_path / "in" / "deep" / "b.tfrecord.gz", *(record(i=[n], s=[b"x"]) for n in range(5, 10)))
    ingest_examples(str(tmp_path / "in"), str(tmp_path / "ex"))
    assert set(all_rows(tmp_path / "ex", "i, s")) == {(n, None if n < 5 else "x") for n in range(10)}


def test_every_cut_of_a_file_is_refused_unless_it_lies_between_records(tmp_path: Path) -> None:
    records = [record(i=[n]) for n in range(3)]
    whole, size = b"".join(records), len(records[0])
    for cut in range(1, len(whole)):
        if cut % size:
            said = refusal(written(tmp_path / "a.tfrecord", whole[:cut]), tmp_path / "ex")
            assert f"record {cut // size + 1} is truncated or corrupt" in said


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    whole = record(i=[7], s=[b"word"]) * 2
    for position in range(len(whole)):
        flipped = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
        assert "truncated or corrupt" in refusal(written(tmp_path / "a.tfrecord", flipped), tmp_path / "ex")


def test_a_truncated_gzip_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord.gz").write_bytes(WRITTEN_BY_TENSORFLOW[:-20])
    assert "a.tfrecord.gz" in refusal(tmp_path / "a.tfrecord.gz", tmp_path / "ex")


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([record(i=[1, 2])], "feature i has 2 values"),
        ([record(i=[1]), record(i=[1.5])], "feature i turns from integers to floats"),
        ([record(s=[b"\xff\xfe"])], "no UTF-8"),
        ([framed(b"not an example")], "no tf.Example"),
        ([framed(b"")], "no features"),
        ([], "no records"),
    ],
)
def test_records_that_make_no_table_are_refused(tmp_path: Path, records: list[bytes], says: str) -> None:
    assert says in refusal(written(tmp_path / "a.tfrecord", *records), tmp_path / "ex")


def test_a_feature_whose_type_differs_between_files_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "in" / "a.tfrecord", record(i=[1]))
    written(tmp_path / "in" / "b.tfrecord", record(i=[b"x"]))
    assert "b.tfrecord: feature i turns from integers to text" in refusal(tmp_path / "in", tmp_path / "ex")
