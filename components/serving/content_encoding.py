"""Requests that come compressed, unpacked within a bound: ten megabytes of gzip can stand for ten gigabytes."""

from __future__ import annotations

import zlib

GZIP = ("gzip", "x-gzip")
DEFLATE = "deflate"
NONE = ("", "identity")


class Refused(Exception):
    """A body that is not unpacked, with the status of the answer."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """Returns a request's body as it was before its `Content-Encoding`.

    Args:
        body: As it came.
        encoding: The header's value; empty if there is none.
        most: Bytes that it may have once it is unpacked.

    Raises:
        Refused: The encoding is another one, the body is not in it, or it is larger.
    """
    named = encoding.strip().lower()
    if named in NONE:
        return body
    if named not in (*GZIP, DEFLATE):
        raise Refused(415, f"Content-Encoding {encoding!r} is not taken; send gzip, deflate or none")
    form = 16 + zlib.MAX_WBITS if named in GZIP else zlib.MAX_WBITS if body[:1] == b"\x78" else -zlib.MAX_WBITS
    parts: list[bytes] = []
    left, rest = most, body
    try:
        while True:
            stream = zlib.decompressobj(form)
            parts.append(stream.decompress(rest, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise Refused(
                    413, f"the request is larger than {most >> 20} MiB once it is unpacked; send fewer rows at once"
                )
            if not stream.eof:
                raise Refused(400, f"the request's {named} ends too early")
            rest = stream.unused_data
            if not rest or named == DEFLATE:
                return b"".join(parts)
    except zlib.error as error:
        raise Refused(400, f"the request is not in {named}, which its Content-Encoding names: {error}") from error
