"""An event's body as it was before it was compressed, in bounded memory, or why it is refused."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from aiohttp import StreamReader

LARGEST_EVENT = 32 << 20
"""Bytes of a body, as sent and as unpacked; a larger one is answered with 413."""

LARGEST_TOGETHER = 96 << 20
"""Bytes of all bodies that are being received; more are answered with 503, to be sent again."""

MOST_MEMBERS = 100
"""Parts of a gzip body; each costs a copy of what follows it."""

GZIP, DEFLATE = ("gzip", "x-gzip"), ("deflate",)

NOT_AN_EVENT, BAD_COMPRESSION, UNKNOWN_ENCODING = "not_an_event", "bad_compression", "unknown_encoding"
TOO_LARGE, TOO_MUCH_WAITS, CUT_OFF, OTHER = "too_large", "too_much_waits", "cut_off", "other"
REASONS = (NOT_AN_EVENT, BAD_COMPRESSION, UNKNOWN_ENCODING, TOO_LARGE, TOO_MUCH_WAITS, CUT_OFF, OTHER)
"""Why events are refused, as `/metrics` counts them."""


class Refused(Exception):
    """A body that is not taken."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Receiving:
    """What is being received, all requests together."""

    def __init__(self) -> None:
        self.bytes = 0

    async def body(self, content: StreamReader) -> bytes:
        """Returns a request's body as it was sent.

        Raises:
            Refused: It is too large, or too much is being received.
        """
        found = bytearray()
        try:
            async for piece in content.iter_any():
                self.bytes += len(piece)
                found += piece
                if len(found) > LARGEST_EVENT:
                    raise Refused(413, TOO_LARGE, f"the body has more than {LARGEST_EVENT >> 20} MiB")
                if self.bytes > LARGEST_TOGETHER:
                    raise Refused(503, TOO_MUCH_WAITS, "too much is being received")
            return bytes(found)
        finally:
            self.bytes -= len(found)


def unpacked(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Returns a body without its `Content-Encoding` (RFC 9110, 8.4).

    Args:
        body: As it was sent.
        headers: Of the request, with names in lower case.

    Raises:
        Refused: The encoding is unknown, the body is not of it, is cut off, or becomes too large.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding in GZIP:
        return _inflated(body, 16 + zlib.MAX_WBITS, "gzip")
    if encoding in DEFLATE:
        try:
            return _inflated(body, zlib.MAX_WBITS, "deflate")
        except Refused as error:  # Some send the stream without the wrapper that the standard asks for.
            if error.status == 413:
                raise
            return _inflated(body, -zlib.MAX_WBITS, "deflate")
    raise Refused(415, UNKNOWN_ENCODING, f"Content-Encoding {encoding[:40]!r} is not read; send gzip, deflate or none")


def _inflated(body: bytes, form: int, name: str) -> bytes:
    found, members = bytearray(), 0
    while body or not members:
        members += 1
        if members > MOST_MEMBERS:
            raise Refused(400, BAD_COMPRESSION, f"the body is {name} of more than {MOST_MEMBERS} parts")
        stream = zlib.decompressobj(form)
        try:
            found += stream.decompress(body, LARGEST_EVENT + 1 - len(found))
        except zlib.error as error:
            raise Refused(400, BAD_COMPRESSION, f"the body is no {name}: {error}") from error
        if len(found) > LARGEST_EVENT:
            raise Refused(413, TOO_LARGE, f"the body unpacks to more than {LARGEST_EVENT >> 20} MiB")
        if not stream.eof:
            raise Refused(400, BAD_COMPRESSION, f"the body is {name} that is cut off")
        body = stream.unused_data
    return bytes(found)
