"""A response's headers and body arrive together, whatever its size, and all of it before its connection closes."""

from __future__ import annotations

import socket
import struct
import sys
import threading

import pytest
import uvicorn

from mainspring.components.serving.protocol import joined_writes

LARGE = 3 << 20


@pytest.fixture
def port():
    async def app(scope, receive, send):
        size = LARGE if scope["path"] == "/large" else 2
        headers = [(b"content-length", str(size).encode())]
        headers += [(b"connection", b"close")] if scope["path"] == "/last" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"o" * size})

    server = uvicorn.Server(uvicorn.Config(app, http=joined_writes.Protocol, lifespan="off", log_config=None))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    assert not thread.is_alive()


def asking(path: str) -> bytes:
    return f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def rest_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def segments(connection: socket.socket) -> int:
    """How many segments with data came over a connection: Linux counts them (`tcpi_data_segs_in`)."""
    return struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152)[0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many segments came")
def test_headers_and_body_come_in_one_segment(port):
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        for answered in range(1, 20):
            connection.sendall(asking("small"))
            received = b""
            while not received.endswith(b"\r\n\r\noo"):
                received += connection.recv(1000)
            assert segments(connection) == answered


def test_a_connection_closes_after_the_whole_of_its_last_answer_and_pipelined_requests_get_theirs(port):
    with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
        connection.sendall(asking("large") + asking("small") + asking("last"))
        received = rest_of(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b"o" * LARGE) == 1
    assert received.endswith(b"\r\n\r\noo")
