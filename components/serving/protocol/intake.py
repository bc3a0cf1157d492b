"""What every HTTP request passes before KServe's application: bounds, counting, and a short way for row requests.

V1 predictions are answered here: KServe's own way (FastAPI's routing, two dozen of Prometheus' and logging's calls)
takes longer than a small model. CloudEvents, V2, metadata and health go on to KServe.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from kserve.errors import InvalidInput

from mainspring.components.serving import metrics
from mainspring.components.serving.content_encoding import Refused, unpacked
from mainspring.components.serving.model import rows
from mainspring.components.serving.model.tabular_model import TabularModel
from mainspring.components.serving.protocol import tensor_bodies

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 64 << 20
"""Bytes; a larger body is answered with 413, as by the front of a local target."""

MOST_DISCARDED = 4 * LARGEST_BODY
"""What is read of a body that is too large: most clients hear an answer only once they have sent everything."""

BODY_SECONDS = 60.0
"""How long a client may take to send its request's body; then it is answered with 408."""

FORBIDDEN_PREFIX = "/v2/repository/"
"""KServe's load and unload: whoever can ask for a prediction could take the model away."""

CLOUD_EVENT = b"application/cloudevents+json"

_JSON = [(b"content-type", b"application/json")]


def before(app: App, model: TabularModel) -> App:
    """Returns an application that answers row requests for the model itself, and passes on what is within bounds."""
    rows_path = f"/v1/models/{model.name}:predict"
    infer_path = f"/v2/models/{model.name}/infer"
    predict_seconds = metrics.PREDICT_SECONDS.labels(model.name)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"] != "POST" and not scope["path"].startswith(FORBIDDEN_PREFIX)):
            await app(scope, receive, send)
            return
        path, status = scope["path"], 0

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        began = time.perf_counter()
        try:
            if path.startswith(FORBIDDEN_PREFIX):
                raise Refused(403, "models are loaded by deployments, not by requests")
            body = await asyncio.wait_for(_read(receive), BODY_SECONDS)
            if body is None:
                return
            encoding = _header(scope, b"content-encoding")
            if encoding:
                body = unpacked(body, encoding.decode("latin-1"), LARGEST_BODY)
                kept = [each for each in scope["headers"] if each[0] not in (b"content-encoding", b"content-length")]
                scope = {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
            began = time.perf_counter()
            if path == rows_path and not _is_cloud_event(scope):
                content = await model.answer_rows(body)
                predict_seconds.observe(time.perf_counter() - began)
                await _say(noted, 200, content)
            else:
                rows.check_brackets(body)
                if path == infer_path:
                    tensor_bodies.check(body, _header(scope, b"inference-header-content-length"))
                await app(scope, _again(body, receive), noted)
        except Refused as refusal:
            await _say(noted, refusal.status, _error(str(refusal)))
        except InvalidInput as error:
            await _say(noted, 400, _error(str(error)))
        except asyncio.TimeoutError:
            await _say(noted, 408, _error(f"the request did not arrive within {BODY_SECONDS:.0f} s"))
        except Exception:
            if path != rows_path or status:
                raise
            logging.getLogger(__name__).exception("a prediction failed")
            await _say(noted, 500, _error("the prediction failed; the server's log says why"))
        if path in (rows_path, infer_path):
            protocol = metrics.V1 if path == rows_path else metrics.V2
            metrics.count(model.name, protocol, str(status), time.perf_counter() - began)

    return answer


async def _read(receive: Receive) -> bytes | None:
    """Returns the whole body, or None if the client has gone."""
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= MOST_DISCARDED:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size <= LARGEST_BODY:
            parts.append(part)
        else:
            parts.clear()
    if size > LARGEST_BODY:
        raise Refused(413, f"the request is larger than {LARGEST_BODY >> 20} MiB; send fewer rows at once")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Returns what gives a body that was read once more, and then what the client does."""
    given = False

    async def receive_again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _is_cloud_event(scope: Scope) -> bool:
    return any(
        name == b"ce-specversion" or (name == b"content-type" and value.startswith(CLOUD_EVENT))
        for name, value in scope["headers"]
    )


def _error(said: str) -> bytes:
    return orjson.dumps({"error": " ".join(said.encode("utf-8", "replace").decode().split())})


async def _say(send: Send, status: int, content: bytes) -> None:
    headers = [*_JSON, (b"content-length", str(len(content)).encode())]
    if status in (408, 413):
        headers.append((b"connection", b"close"))  # What is still to come of the body is not a next request.
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
