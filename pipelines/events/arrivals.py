"""Which objects arrived, in the words of whoever says so: Google's and S3's notifications, MinIO, and CloudEvents.

A body may be wrapped several times: Kafka's record in a CloudEvent of Knative, S3's event in a notification of SNS,
Google's in a push of Pub/Sub. Each wrapping is taken off until an event of a bucket is left.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus

from mainspring.components.common.errors import UserError

DEEPEST = 6
"""Wrappings that are taken off."""
GOOGLE_CREATED = ("google.cloud.storage.object.v1.finalized", "OBJECT_FINALIZE")
S3_CREATED = ("ObjectCreated:", "s3:ObjectCreated:")
EVENTBRIDGE_CREATED = "Object Created"

Json = Any


@dataclass(frozen=True)
class Arrival:
    """An object that was written."""

    uri: str
    content: str
    """What tells its content from another: its MD5 or ETag, else its generation or version. Empty: nothing does."""


def arrivals(headers: Mapping[str, str], body: bytes) -> list[Arrival]:
    """Returns the objects that a request says were written; none if it speaks of something else.

    Args:
        headers: Of the request, in lower case.
        body: Of the request.

    Raises:
        UserError: The body is no JSON, or an event of a bucket that lacks what it must have.
    """
    content = _json(body)
    kind = headers.get("ce-type", "")
    if kind:  # A CloudEvent in binary mode: its attributes are headers.
        content = {"specversion": "1.0", "type": kind, "subject": headers.get("ce-subject", ""), "data": content}
    found = list(_unwrapped(content, DEEPEST))
    return list(dict.fromkeys(found))


def _unwrapped(content: Json, depth: int) -> Iterator[Arrival]:
    if depth == 0:
        raise UserError("event: is wrapped too often; send the bucket's own event")
    if isinstance(content, list):
        for each in content:
            yield from _unwrapped(each, depth - 1)
    elif not isinstance(content, dict):
        return
    elif "specversion" in content:
        yield from _of_cloud_event(content, depth)
    elif isinstance(content.get("message"), dict) and ("subscription" in content or "attributes" in content["message"]):
        yield from _of_pubsub(content["message"])
    elif content.get("Type") == "Notification" and "Message" in content:
        yield from _unwrapped(_json(str(content["Message"]).encode()), depth - 1)
    elif isinstance(content.get("Records"), list):
        for record in content["Records"]:
            yield from _of_s3(record)
    elif content.get("source") == "aws.s3" and content.get("detail-type") == EVENTBRIDGE_CREATED:
        yield _s3(content.get("detail") or {}, quoted=False)


def _of_cloud_event(event: dict[str, Json], depth: int) -> Iterator[Arrival]:
    data = event.get("data")
    if data is None and "data_base64" in event:
        data = _decoded(str(event["data_base64"]))
    elif isinstance(data, str):
        data = _json(data.encode())
    kind = str(event.get("type", ""))
    if kind in GOOGLE_CREATED:
        yield _google(data)
    elif kind.startswith("com.amazonaws.s3."):
        # Knative's adapter: the type is the event's name, the data its record.
        records = data.get("Records") if isinstance(data, dict) else None
        yield from _unwrapped(data if records else {"Records": [data]}, depth - 1)
    elif not kind.startswith("google.cloud.storage."):
        yield from _unwrapped(data, depth - 1)


def _of_pubsub(message: dict[str, Json]) -> Iterator[Arrival]:
    attributes = message.get("attributes") or {}
    if attributes.get("eventType") not in GOOGLE_CREATED:
        return
    data = _decoded(str(message.get("data", ""))) if message.get("data") else {}
    told = data if isinstance(data, dict) else {}
    names = {"bucket": "bucketId", "name": "objectId", "generation": "objectGeneration"}
    yield _google({key: attributes.get(name) for key, name in names.items()} | told)


def _of_s3(record: Json) -> Iterator[Arrival]:
    if not isinstance(record, dict) or not isinstance(record.get("s3"), dict):
        return
    if str(record.get("eventName", "")).startswith(S3_CREATED):
        yield _s3(record["s3"], quoted=True)


def _google(data: Json) -> Arrival:
    if not isinstance(data, dict) or not data.get("bucket") or not data.get("name"):
        raise UserError("event: is of Google's storage, but has no bucket and name")
    content = data.get("md5Hash") or data.get("crc32c") or data.get("generation") or ""
    return Arrival(f"gs://{data['bucket']}/{data['name']}", str(content))


def _s3(data: dict[str, Json], quoted: bool) -> Arrival:
    bucket, found = data.get("bucket"), data.get("object")
    if not isinstance(bucket, dict) or not isinstance(found, dict) or not bucket.get("name") or not found.get("key"):
        raise UserError("event: is of S3, but has no bucket and key")
    key = unquote_plus(str(found["key"])) if quoted else unquote(str(found["key"]))
    content = found.get("eTag") or found.get("etag") or found.get("versionId") or found.get("sequencer") or ""
    return Arrival(f"s3://{bucket['name']}/{key}", str(content).strip('"'))


def _decoded(text: str) -> Json:
    try:
        return _json(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise UserError(f"event: its data is no base64: {error}") from error


def _json(body: bytes) -> Json:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError(f"event: the body is no JSON: {error}") from error
