"""A real server of each protocol on loopback: what tests of buckets run against."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@contextlib.contextmanager
def google() -> Iterator[None]:
    from gcs_server import google_storage

    with google_storage():
        yield


@contextlib.contextmanager
def s3() -> Iterator[None]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    before = dict(os.environ)
    os.environ.update(AWS, AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.get_host_and_port()[1]}")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()


def new_bucket(scheme: str) -> str:
    """Makes an empty bucket and returns its URI."""
    name = f"b{uuid.uuid4().hex}"
    if scheme == "gs":
        from google.cloud import storage

        storage.Client(project=None).create_bucket(name)
    else:
        _boto3().create_bucket(Bucket=name)
    return f"{scheme}://{name}"


def make_marker(uri: str) -> None:
    """Makes the zero-byte object with a slash at its end by which consoles and tools show an empty folder."""
    bucket, _, name = uri[5:].partition("/")
    if uri.startswith("gs"):
        from google.cloud import storage

        storage.Client(project=None).bucket(bucket).blob(f"{name}/").upload_from_string("")
    else:
        _boto3().put_object(Bucket=bucket, Key=f"{name}/", Body=b"")


def _boto3():
    import boto3

    return boto3.client("s3", region_name=AWS["AWS_REGION"])
