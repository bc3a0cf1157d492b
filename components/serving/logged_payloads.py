"""What KServe's payload logger would log of a request that the front has answered."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

from aiohttp import web

from mainspring.components.common.payloads import payload_records
from mainspring.components.common.payloads.payload_records import PayloadRecord

VERSION_HEADER = "x-mainspring-version"
"""In each response: the version that answered."""

ID_HEADER = "Ce-Id"
"""KServe takes a request's id from it; a request without one gets a new id."""


def of(name: str, request: web.Request, body: bytes, began: float, response: web.Response) -> Iterator[PayloadRecord]:
    """Yields the request and, if it was answered with status 200, the response.

    Args:
        name: The endpoint's name.
        request: Its headers.
        body: Its body.
        began: When it came, in seconds since the epoch.
        response: The answer.
    """
    version = response.headers.get(VERSION_HEADER)
    logged = PayloadRecord(
        body=body,
        req_type=payload_records.REQUEST,
        id=request.headers.get(ID_HEADER) or str(uuid.uuid4()),
        occurred=began,
        source_uri=f"http://{name}",
        content_type=request.headers.get("Content-Type", ""),
        inference_service=name,
        component="predictor",
        endpoint="default",
        annotations={payload_records.VERSION_ANNOTATION: version} if version else {},
    )
    yield logged
    if response.status == 200 and isinstance(response.body, bytes):
        yield replace(logged, body=response.body, req_type=payload_records.RESPONSE, occurred=time.time())
