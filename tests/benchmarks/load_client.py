"""Sends one prediction request after another, without pause, from a process of its own.

    python load_client.py PORT NAME REQUEST_FILE REQUESTS CONNECTIONS OUT

Needs nothing but Python. OUT gets, as doubles, for each request: when it was sent (the monotonic clock), the seconds to
the answer's last byte, the status (0: the connection broke) and the version that answered. It ends once so many have
been sent and its standard input has ended; whatever fails is counted, not repeated.
"""

from __future__ import annotations

import array
import asyncio
import sys
import threading
import time
from pathlib import Path

VERSION_HEADER = b"x-mainspring-version:"
FIELDS = 4


async def main(port: int, name: str, body: bytes, requests: int, connections: int, out: Path) -> None:
    """Sends the requests, and writes what came of them."""
    head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    seen = array.array("d")
    stopping = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()

    async def send() -> None:
        streams = None
        while len(seen) // FIELDS < requests or not stopping.is_set():
            began, status, version = time.monotonic(), 0, 0
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", port)
                status, version = await asyncio.wait_for(_ask(*streams, request), 30)
            except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                streams = None
            seen.extend((began, time.monotonic() - began, status, version))

    await asyncio.gather(*(send() for _ in range(connections)))
    with out.open("wb") as file:
        seen.tofile(file)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, int]:
    writer.write(request)
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(line for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    version = next((line for line in lines if line.startswith(VERSION_HEADER)), b":0")
    return int(lines[0].split()[1]), int(version.split(b":")[1])


if __name__ == "__main__":
    _, port, name, request_file, requests, connections, out = sys.argv
    asyncio.run(main(int(port), name, Path(request_file).read_bytes(), int(requests), int(connections), Path(out)))
