"""A logged body as what it holds: base64, in it gzip where the record says so, in it JSON and binary tensors."""

from __future__ import annotations

import binascii
import json
import zlib
from typing import Any

import orjson

from mainspring.components.monitoring.logs import binary_tensors
from mainspring.components.monitoring.logs.malformed import Malformed, NotBase64

LARGEST_UNPACKED = 64 << 20
"""Bytes that a compressed body may become; a larger one is malformed, whatever its own size."""

MOST_MEMBERS = 100
"""Parts of a gzip body; each costs a copy of what follows it."""

GZIP_MAGIC = b"\x1f\x8b"
OTHER_MAGICS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}

ENCODING = "content-encoding"


def decoded(body: str) -> bytes:
    """Returns a base64 body's bytes.

    Raises:
        NotBase64: It is no base64.
    """
    try:
        raw = body.encode("ascii")
        content = binascii.a2b_base64(raw)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise NotBase64(f"no base64: {error}") from error
    # The decoder passes over what is not in its alphabet; lengths tell.
    if len(raw) != 4 * (-(-len(content) // 3)):
        raise NotBase64("no base64: characters outside its alphabet")
    return content


def unpacked(content: bytes, metadata: Any = None) -> bytes:
    """Returns a body without its compression.

    RFC 9110 says how a body is compressed: by the header Content-Encoding, which KServe's logger keeps in a record's
    metadata if it is told to. A compressed body whose record does not say so is named, not guessed at.

    Args:
        content: The body.
        metadata: The record's: the request's headers, a list of values each; as JSON text or an object.

    Raises:
        Malformed: It is compressed and does not say so, in a way that is not read here, or is damaged.
    """
    if not content.startswith((GZIP_MAGIC, *OTHER_MAGICS)):
        return content
    if not content.startswith(GZIP_MAGIC):
        kind = next(name for magic, name in OTHER_MAGICS.items() if content.startswith(magic))
        raise Malformed(f"compressed by {kind}, which is not read here")
    if _encoding(metadata) not in ("gzip", "x-gzip"):
        raise Malformed("compressed by gzip, and its metadata has no Content-Encoding that says so")
    return _inflated(content)


def parsed(content: bytes) -> dict[str, Any]:
    """Returns the JSON object of a body; tensors that follow it in binary form have their values under `data`.

    Raises:
        Malformed: It holds none.
    """
    try:
        payload = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        payload = _unusual(content, str(error))
    if not isinstance(payload, dict):
        raise Malformed("no JSON object")
    return payload


def _unusual(content: bytes, why: str) -> Any:
    """Reads what strict JSON is not: NaN and infinities, as Python's own writer spells them, and binary tensors."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        pass
    found = binary_tensors.read(content)
    if found is None:
        raise Malformed(f"no JSON: {why}")
    return found


def _encoding(metadata: Any) -> str:
    if isinstance(metadata, str):
        try:
            metadata = orjson.loads(metadata) if metadata else {}
        except orjson.JSONDecodeError:
            return ""
    if not isinstance(metadata, dict):
        return ""
    for name, value in metadata.items():
        if name.lower() == ENCODING:
            first = value[0] if isinstance(value, list) and value else value
            return first.strip().lower() if isinstance(first, str) else ""
    return ""


def _inflated(content: bytes) -> bytes:
    found, members = bytearray(), 0
    while content:
        members += 1
        if members > MOST_MEMBERS:
            raise Malformed(f"gzip of more than {MOST_MEMBERS} parts")
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            found += stream.decompress(content, LARGEST_UNPACKED + 1 - len(found))
        except zlib.error as error:
            raise Malformed(f"damaged gzip: {error}") from error
        if len(found) > LARGEST_UNPACKED:
            raise Malformed(f"gzip that becomes more than {LARGEST_UNPACKED >> 20} MiB")
        if not stream.eof:
            raise Malformed("gzip that is cut off")
        content = stream.unused_data
    return bytes(found)
