"""KServe's logger over HTTP: CloudEvents 1.0 in binary, structured or batched mode, as payload records."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

from mainspring.components.common.payloads.payload_records import REQUEST, RESPONSE, PayloadRecord

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"

_FRACTION = re.compile(r"\.(\d{1,6})\d*")


class NotAnEvent(Exception):
    """A request that is no event of KServe's logger; the message says why."""


def events(headers: Mapping[str, str], body: bytes, sink: str) -> list[PayloadRecord]:
    """Returns a request's events.

    Args:
        headers: Of the HTTP request, with names in lower case.
        body: Its body.
        sink: Where records go: their `url`.

    Raises:
        NotAnEvent: It is none, or of another type.
    """
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (STRUCTURED, BATCHED):
        attributes = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
        return [_record(attributes, body, content_type, sink)]
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAnEvent(f"the body is no JSON: {error}") from error
    given = found if kind == BATCHED else [found]
    if not isinstance(given, list) or not all(isinstance(event, dict) for event in given):
        raise NotAnEvent("the body is no event, or no list of them")
    return [_record(event, _data(event), str(event.get("datacontenttype", "")), sink) for event in given]


def _record(attributes: Mapping[str, Any], body: bytes, content_type: str, sink: str) -> PayloadRecord:
    missing = [name for name in ("id", "type", "source", "specversion") if not attributes.get(name)]
    if missing:
        raise NotAnEvent(f"the event has no {missing[0]}")
    if attributes["type"] not in (REQUEST, RESPONSE):
        raise NotAnEvent(f"the type is {str(attributes['type'])[:100]!r}, which KServe's logger does not send")
    texts = {name: value if isinstance(value, str) else "" for name, value in attributes.items()}
    return PayloadRecord(
        body=body,
        req_type=texts["type"],
        id=str(attributes["id"]),
        occurred=_seconds(texts.get("time", "")),
        url=sink,
        source_uri=texts["source"],
        content_type=content_type,
        inference_service=texts.get("inferenceservicename", ""),
        namespace=texts.get("namespace", ""),
        component=texts.get("component", ""),
        endpoint=texts.get("endpoint", ""),
        metadata=_mapping(texts.get("metadata", "")),
        annotations=_mapping(texts.get("annotations", "")),
    )


def _data(event: Mapping[str, Any]) -> bytes:
    if isinstance(encoded := event.get("data_base64"), str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise NotAnEvent(f"data_base64 is no base64: {error}") from error
    data = event.get("data")
    return data.encode(errors="replace") if isinstance(data, str) else json.dumps(data).encode()


def _mapping(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(text: str) -> float:
    try:
        cut = _FRACTION.sub(lambda match: f".{match[1]:0<6}", text).replace("Z", "+00:00")
        found = datetime.fromisoformat(cut)
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return time.time()
