"""The process that owns an endpoint's port, as KServe's router does: `python -m mainspring.components.serving.front`.

It forwards each request to the model server of one version, by a routing table that is replaced in one step: requests
that arrive after the switch go to the new version, those in flight finish on the old one. The table is read and set
over a second loopback port, with a token that only the endpoint's owner can read.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import uvloop
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.components.common.payloads import payload_records
from mainspring.components.common.payloads.payload_log import PayloadLog, folder_store
from mainspring.components.serving import logged_payloads, probation
from mainspring.components.serving.content_encoding import Refused, unpacked
from mainspring.components.serving.logged_payloads import VERSION_HEADER
from mainspring.components.serving.routes import Observed, Route, Routing

HOST = "127.0.0.1"

LARGEST_BODY = 64 << 20
"""Bytes of a request's body; a larger one is answered with 413."""

BODY_SECONDS = 60.0
"""How long a client may take to send its request's body; then it is answered with 408, as by the model server."""

REQUEST_SECONDS = 120
"""How long a model server may take for one request."""

GRACE_SECONDS = 30
"""How long requests in flight may take after SIGTERM."""

LOG_BYTES = 512 << 20
"""What an endpoint's payload log may take on disk; the oldest files go first."""

LOG_VARIABLE, LOG_OFF = "MAINSPRING_PAYLOAD_LOG", "off"
"""Read when a front starts; a front that runs keeps its log's form."""

HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers of one connection, not of the message (RFC 9110, 7.6.1)."""

NOT_REQUESTED = HOP_BY_HOP | {"host", "content-length", "expect", "content-encoding"}
"""Not passed on with a request, besides: what belongs to the body as it came, before it was read and decoded."""

NOT_ANSWERED = HOP_BY_HOP | {"content-length"}

FORBIDDEN_PREFIX = "/v2/repository/"
"""KServe's own load and unload, which would take the model away under the routing table."""


def main(arguments: list[str] | None = None) -> None:
    """Runs a front until it is told to stop by SIGTERM."""
    parser = argparse.ArgumentParser(prog="front", description=__doc__)
    parser.add_argument("--name", required=True, help="the endpoint's name")
    parser.add_argument("--port", required=True, type=int, help="the endpoint's port")
    parser.add_argument("--report", required=True, type=Path, help="file that gets pid, control port and token")
    parser.add_argument("--payload-log", type=Path, help="folder that gets requests and responses as KServe logs them")
    options = parser.parse_args(arguments)
    log = _payload_log(options.payload_log)
    os.chdir("/")
    threading.Thread(target=probation.wait_until_kept, daemon=True).start()
    try:
        uvloop.run(_run(options.name, options.port, options.report, log))
    except OSError as error:
        sys.exit(f"{ERROR_PREFIX}port {options.port} cannot be listened on: {error.strerror}")
    finally:
        if log:
            log.close()


def _payload_log(folder: Path | None) -> PayloadLog | None:
    """Returns the log that `$MAINSPRING_PAYLOAD_LOG` asks for: json, csv or off."""
    form = os.environ.get(LOG_VARIABLE, "") or payload_records.JSON
    if form not in (payload_records.JSON, payload_records.CSV, LOG_OFF):
        raise UserError(
            f"${LOG_VARIABLE} {form!r}: expected {payload_records.JSON}, {payload_records.CSV} or {LOG_OFF}"
        )
    if folder is None or form == LOG_OFF:
        return None
    return PayloadLog(folder_store(folder.absolute(), LOG_BYTES), form=form)


async def _run(name: str, port: int, report: Path, log: PayloadLog | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    routing, token = Routing(), secrets.token_hex(16)
    public = public_app(name, routing, log)
    async with _listening(public, port), _listening(control_app(routing, token), 0) as control_port:
        _write_private(report, {"pid": os.getpid(), "port": port, "control_port": control_port, "token": token})
        await stopping.wait()


def public_app(name: str, routing: Routing, log: PayloadLog | None = None) -> web.Application:
    """Returns the application that forwards every request by the routing table, and logs what is posted."""
    app = web.Application(client_max_size=LARGEST_BODY)
    session_key = web.AppKey("session", ClientSession)

    async def open_session(app: web.Application) -> AsyncIterator[None]:
        # A model server closes idle connections after 65 s; ours go first, so that none is used while it closes.
        connector = TCPConnector(limit=0, keepalive_timeout=30)
        timeout = ClientTimeout(total=REQUEST_SECONDS)
        async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
            app[session_key] = session
            yield

    async def handle(request: web.Request) -> web.StreamResponse:
        began = time.time()
        response, body = await answer(request)
        if log is not None and request.method == "POST" and body is not None:
            log.add(*logged_payloads.of(name, request, body, began, response))
        return response

    async def answer(request: web.Request) -> tuple[web.Response, bytes | None]:
        if request.path.startswith(FORBIDDEN_PREFIX):
            return _refusal(403, f"{name}: versions are loaded by deployments, not by requests"), None
        # The whole body first: a slow client must not hold on to a version that is being drained.
        try:
            body = await asyncio.wait_for(request.read(), BODY_SECONDS)
        except web.HTTPRequestEntityTooLarge:
            said = f"{name}: the request is larger than {LARGEST_BODY >> 20} MiB; send fewer rows at once"
            return _refusal(413, said), None
        except asyncio.TimeoutError:
            refusal = _refusal(408, f"{name}: the request did not arrive within {BODY_SECONDS:.0f} s")
            refusal.force_close()  # What is still to come of the body is not a next request.
            return refusal, None
        try:
            body = unpacked(body, request.headers.get("Content-Encoding", ""), LARGEST_BODY)
        except Refused as refused:
            return _refusal(refused.status, f"{name}: {refused}"), None
        return await route_of(request, body), body

    async def route_of(request: web.Request, body: bytes) -> web.Response:
        route: Route | None = None
        for last in (False, True):
            route = routing.pick(besides=route)
            if route is None:
                break
            try:
                return await _forward(request, body, route, routing, app[session_key])
            except ClientError:
                # Predictions have no side effects: after a broken connection they are tried again, maybe elsewhere.
                if last:
                    return _refusal(503, f"{name}: the model server of version {route.version} does not answer")
            except asyncio.TimeoutError:
                return _refusal(504, f"{name}: version {route.version} gave no answer within {REQUEST_SECONDS} s")
        return _refusal(503, f"{name}: no version is served")

    app.cleanup_ctx.append(open_session)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def control_app(routing: Routing, token: str) -> web.Application:
    """Returns the application that reads (GET) and replaces (PUT) the routing table at `/routes`."""
    app = web.Application(middlewares=[_only_with(token)])

    async def read(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "routes": [asdict(route) for route in routing.routes],
                "in_flight": {str(port): count for port, count in routing.in_flight.items() if count},
                "observed": {str(port): seen.as_json() for port, seen in routing.observed.items()},
            }
        )

    async def replace(request: web.Request) -> web.Response:
        try:
            routes = tuple(Route(int(r["version"]), int(r["port"]), float(r["percent"])) for r in await request.json())
        except (ValueError, TypeError, KeyError) as error:
            return _refusal(400, f"expected a list of routes with version, port and percent: {error}")
        if routes and (abs(sum(route.percent for route in routes) - 100) > 1e-6 or min(r.percent for r in routes) < 0):
            return _refusal(400, "the routes' percentages must be at least 0 and add up to 100")
        routing.routes = routes
        kept = {route.port for route in routes} | {port for port, count in routing.in_flight.items() if count}
        routing.observed = {port: seen for port, seen in routing.observed.items() if port in kept}
        return await read(request)

    app.router.add_get("/routes", read)
    app.router.add_put("/routes", replace)
    return app


async def _forward(
    request: web.Request, body: bytes, route: Route, routing: Routing, session: ClientSession
) -> web.Response:
    # Counted before the first await after the route was picked: a switch sees either this request or none.
    routing.in_flight[route.port] += 1
    began, failed = time.perf_counter(), True
    try:
        url = URL(f"http://{HOST}:{route.port}{request.rel_url.raw_path_qs}", encoded=True)
        headers = [(key, value) for key, value in request.headers.items() if key.lower() not in NOT_REQUESTED]
        async with session.request(request.method, url, data=body, headers=headers, allow_redirects=False) as answer:
            content = await answer.read()
            failed = answer.status >= 500
            response = web.Response(status=answer.status, body=content)
            for key, value in answer.headers.items():
                if key.lower() not in NOT_ANSWERED:
                    response.headers[key] = value
            response.headers[VERSION_HEADER] = str(route.version)
            return response
    finally:
        routing.in_flight[route.port] -= 1
        routing.observed.setdefault(route.port, Observed()).add(time.perf_counter() - began, failed)


@contextlib.asynccontextmanager
async def _listening(app: web.Application, port: int) -> AsyncIterator[int]:
    # Bodies are unpacked by us, within a bound; aiohttp's own answer to a broken one is a traceback and a 500.
    runner = web.AppRunner(
        app, auto_decompress=False, access_log=None, shutdown_timeout=GRACE_SECONDS, keepalive_timeout=75
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, reuse_address=True).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _only_with(token: str) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not secrets.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
            return _refusal(401, "the token is wrong")
        return await handler(request)

    return check


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _write_private(path: Path, content: dict[str, object]) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)
    aside.replace(path)


if __name__ == "__main__":
    main()
