"""Clients that never finish a request do not keep a connection; everybody else does."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn
from aiohttp import web

from mainspring.components.serving import front
from mainspring.components.serving.protocol import idle_connections, joined_writes, kserve_app
from mainspring.components.serving.routes import Routing

ASK = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def port(monkeypatch):
    """The model server's own HTTP server, with a short patience, around an application that takes its time."""
    monkeypatch.setattr(idle_connections, "REQUEST_SECONDS", 1.0)

    async def app(scope, receive, send):
        await asyncio.sleep(3 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(
        app,
        http=joined_writes.Protocol,
        lifespan="off",
        log_config=None,
        timeout_keep_alive=kserve_app.KEEP_ALIVE_SECONDS,
    )
    server = kserve_app._Server(config, None)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def test_headers_that_never_end_close_the_connection_and_a_slow_answer_does_not(port):
    first, second, drip, slow = (socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(4))
    slow.sendall(ASK % b"slow")
    first.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    second.sendall(ASK % b"")
    assert second.recv(1000).endswith(b"ok")
    second.sendall(b"POST / HTTP/1.1\r\n")

    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 10:
            drip.sendall(b"\r\n")  # Empty lines before a request are allowed, and are none.
            time.sleep(0.1)
    assert time.monotonic() - began < 8
    for stalling in (first, second):
        assert stalling.recv(1000) == b""
    assert slow.recv(1000).endswith(b"ok")


def test_a_connection_in_use_stays(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(8):
            connection.sendall(ASK % b"")
            assert connection.recv(1000).endswith(b"ok")
            time.sleep(0.4)


def test_a_request_on_an_idle_connection_has_time_left():
    assert (
        idle_connections.REQUEST_SECONDS
        > kserve_app.KEEP_ALIVE_SECONDS + idle_connections.REQUEST_SECONDS / idle_connections.CHECKS
    )


def test_a_body_that_does_not_come_is_answered_by_a_local_endpoints_front(monkeypatch):
    monkeypatch.setattr(front, "BODY_SECONDS", 0.3)

    async def ask():
        runner = web.AppRunner(front.public_app("flights", Routing()), lingering_time=0.1, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            reader, writer = await asyncio.open_connection(*runner.addresses[0])
            writer.write(b"POST /v1/models/flights:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            writer.close()
            return head
        finally:
            await runner.cleanup()

    head = asyncio.run(ask())
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
