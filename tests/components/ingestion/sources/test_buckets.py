from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcs_server import google_storage
from google.cloud import storage
from tables import left_over, read_split, write_file

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples
from mainspring.components.ingestion.resolve_spans import resolve_spans
from mainspring.components.ingestion.sources.buckets import download
from mainspring.components.ingestion.spans.found import find_spans


@pytest.fixture(scope="module")
def client() -> Iterator[storage.Client]:
    with google_storage():
        yield storage.Client(project=None)


@pytest.fixture
def bucket(client: storage.Client, tmp_path: Path, request: pytest.FixtureRequest) -> storage.Bucket:
    made = client.create_bucket(f"b{abs(hash(request.node.name))}")
    for span in (1, 2, 3):
        path = write_file(tmp_path / "local" / f"s-{span}.parquet", f"SELECT i, {span} AS n FROM range(100) t(i)")
        made.blob(f"data/s-{span}.parquet").upload_from_filename(str(path))
    made.blob("data/readme.txt").upload_from_string("not data")
    made.blob("data/old/s-9.parquet").upload_from_string("not this one")
    return made


def source(bucket: storage.Bucket, rest: str = "data/s-{SPAN}.parquet") -> str:
    return f"gs://{bucket.name}/{rest}"


def test_spans_in_a_bucket_are_found_and_ingested_as_local_ones(bucket: storage.Bucket, tmp_path: Path) -> None:
    spans, fingerprint, *_ = resolve_spans(source(bucket), "latest", 2)
    assert spans == "2-3"
    there = ingest_examples(source(bucket), str(tmp_path / "a"), spans=spans, source_fingerprint=fingerprint)
    here = ingest_examples(str(tmp_path / "local" / "s-{SPAN}.parquet"), str(tmp_path / "b"), spans=spans)
    assert there == here
    assert read_split(tmp_path / "a", "train") == read_split(tmp_path / "b", "train")
    assert left_over(tmp_path / "a") == ["eval", "manifest.json", "train"]


def test_the_manifest_holds_uris_sizes_and_generations(bucket: storage.Bucket, tmp_path: Path) -> None:
    ingest_examples(source(bucket), str(tmp_path / "ex"), spans="1-2")
    files = json.loads((tmp_path / "ex" / "manifest.json").read_text())["source"]["files"]
    blobs = [bucket.get_blob(f"data/s-{span}.parquet") for span in (1, 2)]
    assert files == [
        {"uri": f"gs://{bucket.name}/{blob.name}", "bytes": blob.size, "generation": str(blob.generation)}
        for blob in blobs
    ]


def test_an_object_rewritten_with_the_same_bytes_is_another_source(bucket: storage.Bucket, tmp_path: Path) -> None:
    spans, fingerprint, *_ = resolve_spans(source(bucket), "3", 1)
    bucket.blob("data/s-3.parquet").upload_from_filename(str(tmp_path / "local" / "s-3.parquet"))
    assert resolve_spans(source(bucket), "3", 1)[1] != fingerprint
    with pytest.raises(UserError, match="have changed"):
        ingest_examples(source(bucket), str(tmp_path / "ex"), spans=spans, source_fingerprint=fingerprint)


def test_an_object_deleted_between_listing_and_reading_is_refused(bucket: storage.Bucket, tmp_path: Path) -> None:
    (span,) = find_spans(source(bucket))[:1]
    bucket.blob("data/s-1.parquet").delete()
    with pytest.raises(UserError, match="is gone, or was rewritten"):
        download(span.files[0], tmp_path / "copy")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data", 4),
        ("data/", 4),
        ("data/s-1.parquet", 1),
        ("data/*.parquet", 3),
        ("data/**/*.parquet", 4),
        ("data/s-[12].parquet", 2),
    ],
)
def test_folders_and_wildcards_mean_in_a_bucket_what_they_mean_here(
    bucket: storage.Bucket, pattern: str, expected: int
) -> None:
    (span,) = find_spans(source(bucket, pattern))
    assert len(span.files) == expected


def test_gzipped_csv_and_a_joined_table_come_from_a_bucket(bucket: storage.Bucket, tmp_path: Path) -> None:
    lines = "i,rain\n" + "".join(f"{i},{i / 4}\n" for i in range(100))
    bucket.blob("weather/w.csv.gz").upload_from_string(gzip.compress(lines.encode()), "application/gzip")
    ingest_examples(
        source(bucket),
        str(tmp_path / "ex"),
        query="FROM source JOIN weather USING (i)",
        tables=[f"weather=gs://{bucket.name}/weather/*.csv.gz"],
    )
    assert {rain == i / 4 for i, rain in read_split(tmp_path / "ex", "train", "i, rain")} == {True}


def test_errors_name_the_object_and_not_the_copy(bucket: storage.Bucket, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        ingest_examples(source(bucket, "data/old/s-{SPAN}.parquet"), str(tmp_path / "ex"))
    assert str(caught.value).startswith(f"gs://{bucket.name}/data/old/s-9.parquet: ")
    assert "scratch" not in str(caught.value)
    assert left_over(tmp_path) == ["local"]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("gs://no-such-bucket-anywhere/{SPAN}.parquet", "cannot be listed"),
        ("gs://", "names no bucket"),
        ("gs://*/x.csv", "names no bucket"),
    ],
)
def test_a_bucket_that_is_not_there_is_refused(client: storage.Client, pattern: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        find_spans(pattern)


def test_a_pattern_that_nothing_matches_is_refused(bucket: storage.Bucket) -> None:
    with pytest.raises(UserError, match="no file matches"):
        find_spans(source(bucket, "elsewhere/{SPAN}.csv"))
