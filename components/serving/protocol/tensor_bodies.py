"""V2's bodies over HTTP, looked at before KServe decodes them: what it takes wrongly, or refuses without naming it.

It takes a key twice, and says of a text that is not UTF-8 neither the row nor the feature.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from kserve.errors import InvalidInput

from mainspring.components.serving.model import strict_json
from mainspring.components.serving.model.strict_json import Doubled


def check(body: bytes, header: bytes) -> None:
    """Refuses a body with a key twice, a number that is none, or a text that is not UTF-8.

    Args:
        body: JSON, with binary tensors behind it or without.
        header: `Inference-Header-Content-Length`: the JSON's bytes; empty: all of them.

    Raises:
        InvalidInput: There is one; row and feature are named.
    """
    length = int(header) if header.isdigit() else len(body)
    content = strict_json.parse(body[:length])
    if isinstance(content, Doubled):
        raise InvalidInput(f"the request has {content.twice!r} twice")
    tensors = content.get("inputs") if isinstance(content, dict) else None
    start = length
    for place, tensor in enumerate(tensors if isinstance(tensors, list) else ()):
        if isinstance(tensor, Doubled):
            raise InvalidInput(f"input {place}: {tensor.twice!r} is given twice")
        if not isinstance(tensor, dict):
            continue
        parameters = tensor.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if isinstance(size, int) and "data" not in tensor:
            if str(tensor.get("datatype")).upper() == "BYTES":
                _check_texts(tensor.get("name"), _packed_texts(body[start : start + size]))
            start += size
        elif isinstance(tensor.get("data"), list):
            _check_texts(tensor.get("name"), tensor["data"])


def _check_texts(name: Any, values: Any) -> None:
    for row, value in enumerate(values):
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            raise InvalidInput(
                f"row {row}: feature {name!r}: {value} is no number; leave out what is missing, or send null"
            )
        try:
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, bytes):
                value.decode()
        except (UnicodeEncodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"row {row}: feature {name!r}: the text is not valid UTF-8") from error


def _packed_texts(raw: bytes) -> Iterator[bytes]:
    """Yields the texts of a binary tensor: each behind its length, four bytes, the lowest first."""
    place = 0
    while place + 4 <= len(raw):
        (size,) = struct.unpack_from("<I", raw, place)
        yield raw[place + 4 : place + 4 + size]
        place += 4 + size
