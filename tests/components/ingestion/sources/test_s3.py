"""Files in S3, against a real server of its protocol on loopback (moto)."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs
from tables import left_over, read_split, write_file

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples
from mainspring.components.ingestion.resolve_spans import resolve_spans
from mainspring.components.ingestion.spans.found import find_spans


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fs.S3FileSystem:
    """A bucket `data` with three spans, beside files that are none of them."""
    for name, value in (("AWS_ENDPOINT_URL", endpoint), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=300).close()
    system = fs.S3FileSystem(endpoint_override=endpoint, allow_bucket_creation=True)
    system.create_dir("data")
    for span in (1, 2, 3):
        path = write_file(tmp_path / "local" / f"s-{span}.parquet", f"SELECT i, {span} AS n FROM range(100) t(i)")
        put(system, f"data/in/s-{span}.parquet", path.read_bytes())
    put(system, "data/in/readme.txt", b"not data")
    return system


def put(system: fs.S3FileSystem, name: str, content: bytes) -> None:
    with system.open_output_stream(name) as stream:
        stream.write(content)


def test_spans_in_s3_are_found_and_ingested_as_local_ones(bucket: fs.S3FileSystem, tmp_path: Path) -> None:
    spans, fingerprint, *_ = resolve_spans("s3://data/in/s-{SPAN}.parquet", "latest", 2)
    assert spans == "2-3"
    there = ingest_examples(
        "s3://data/in/s-{SPAN}.parquet", str(tmp_path / "a"), spans=spans, source_fingerprint=fingerprint
    )
    assert there == ingest_examples(str(tmp_path / "local" / "s-{SPAN}.parquet"), str(tmp_path / "b"), spans=spans)
    assert read_split(tmp_path / "a", "train") == read_split(tmp_path / "b", "train")
    assert left_over(tmp_path / "a") == ["eval", "manifest.json", "train"]


def test_an_object_that_is_rewritten_or_gone_is_seen(bucket: fs.S3FileSystem, tmp_path: Path) -> None:
    source = "s3://data/in/s-{SPAN}.parquet"
    spans, fingerprint, *_ = resolve_spans(source, "3", 1)
    put(bucket, "data/in/s-3.parquet", (tmp_path / "local" / "s-2.parquet").read_bytes() + b" ")
    with pytest.raises(UserError, match="have changed"):
        ingest_examples(source, str(tmp_path / "ex"), spans=spans, source_fingerprint=fingerprint)
    bucket.delete_file("data/in/s-3.parquet")
    with pytest.raises(UserError, match="span 3 is not there"):
        resolve_spans(source, "3", 1)


def test_folders_and_wildcards_mean_in_s3_what_they_mean_here(bucket: fs.S3FileSystem) -> None:
    for pattern, expected in (("in", 3), ("in/*.parquet", 3), ("in/s-[12].parquet", 2), ("**/s-1.parquet", 1)):
        (span,) = find_spans(f"s3://data/{pattern}")
        assert len(span.files) == expected, pattern


@pytest.mark.parametrize(
    "source", ["s3://no-such-bucket/{SPAN}.parquet", "s3://data/elsewhere/{SPAN}.parquet", "s3://"]
)
def test_what_is_not_there_is_refused_in_one_line(bucket: fs.S3FileSystem, source: str) -> None:
    with pytest.raises(UserError, match=r"no file matches|cannot be listed|names no bucket") as caught:
        find_spans(source)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_down_is_named(bucket: fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="s3://data: cannot be listed"):
        find_spans("s3://data/in/s-{SPAN}.parquet")
