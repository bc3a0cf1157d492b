"""Clients that never finish a request do not keep a connection; everybody else does."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
import uvicorn
from aiohttp import web
from until import until

from mainspring.components.serving import front
from mainspring.components.serving.protocol import idle_connections, joined_writes, kserve_app
from mainspring.components.serving.routes import Routing

ASK = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


class Clock:
    """Stands still unless it is set on; knows how often it was looked at, which is once a check."""

    def __init__(self) -> None:
        self.now, self.looks = 0.0, 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now

    def await_checks(self) -> None:
        """Returns when everything that has come by now has been looked at."""
        seen = self.looks
        until(lambda: self.looks >= seen + 2)


@pytest.fixture
def clock(monkeypatch):
    standing = Clock()
    monkeypatch.setattr(idle_connections, "clock", standing)
    return standing


@pytest.fixture
def may_answer():
    return threading.Event()


@pytest.fixture
def port(monkeypatch, clock, may_answer):
    """The model server's own HTTP server, with many checks, around an application that takes its time."""
    monkeypatch.setattr(idle_connections, "CHECKS", 9000)

    async def app(scope, receive, send):
        while scope["path"] == "/slow" and not may_answer.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(app, http=joined_writes.Protocol, lifespan="off", log_config=None, timeout_keep_alive=3600)
    server = kserve_app._Server(config, None)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    may_answer.set()
    thread.join()


def test_headers_that_never_end_close_the_connection_and_a_slow_answer_does_not(port, clock, may_answer):
    first, second, drip, slow = (socket.create_connection(("127.0.0.1", port)) for _ in range(4))
    slow.sendall(ASK % b"slow")
    first.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    second.sendall(ASK % b"")
    assert second.recv(1000).endswith(b"ok")
    second.sendall(b"POST / HTTP/1.1\r\n")
    drip.sendall(b"\r\n")  # Empty lines before a request are allowed, and are none.
    clock.await_checks()
    clock.now += idle_connections.REQUEST_SECONDS - 1
    drip.sendall(b"\r\n")
    clock.await_checks()
    clock.now += 2
    for stalling in (first, second, drip):
        assert stalling.recv(1000) == b""
    may_answer.set()
    assert slow.recv(1000).endswith(b"ok")


def test_a_connection_in_use_stays(port, clock):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(8):
            connection.sendall(ASK % b"")
            assert connection.recv(1000).endswith(b"ok")
            clock.await_checks()
            clock.now += idle_connections.REQUEST_SECONDS - 1
            clock.await_checks()


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
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            return head
        finally:
            await runner.cleanup()

    head = asyncio.run(ask())
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
