"""V2 bodies with binary tensors: a JSON header, and after it the tensors' bytes in the header's order.

The form is the binary tensor data extension of the Open Inference Protocol (V2): `parameters.binary_data_size` of a
tensor says its bytes; numbers are little-endian; each element of BYTES is its length in four bytes and then itself.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from mainspring.components.monitoring.logs.malformed import Malformed

SIZE = "binary_data_size"

DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}


def read(content: bytes) -> dict[str, Any] | None:
    """Returns the header with each binary tensor's values under `data`; None where no header with such tensors begins.

    Raises:
        Malformed: There is a header, but the bytes behind it are not what it says.
    """
    try:
        # One character a byte: the header's end is found in bytes.
        _, end = json.JSONDecoder().raw_decode(content.decode("latin-1"))
        header = json.loads(content[:end])
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    tensors = header.get("inputs") if "inputs" in header else header.get("outputs")
    if not isinstance(tensors, list) or not any(_size(tensor) is not None for tensor in tensors):
        return None
    for tensor in tensors:
        size = _size(tensor)
        if size is None:
            continue
        name = str(tensor.get("name"))[:60]
        if size < 0 or end + size > len(content):
            raise Malformed(f"binary tensor {name!r}: {size:,} bytes are announced, {len(content) - end:,} are there")
        tensor["data"] = _values(content[end : end + size], str(tensor.get("datatype")), name)
        end += size
    if end != len(content):
        raise Malformed(f"binary tensors: {len(content) - end:,} bytes more than announced")
    return header


def _size(tensor: Any) -> int | None:
    parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
    size = parameters.get(SIZE) if isinstance(parameters, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def _values(raw: bytes, datatype: str, name: str) -> list[Any]:
    if datatype == "BYTES":
        return _texts(raw, name)
    if datatype == "BF16":
        if len(raw) % 2:
            raise Malformed(f"binary tensor {name!r}: {len(raw):,} bytes are no whole values of BF16")
        wide = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
        return list(wide.view(np.float32).astype(float).tolist())
    if datatype not in DTYPES:
        raise Malformed(f"binary tensor {name!r}: unknown datatype {datatype[:20]!r}")
    dtype = np.dtype(DTYPES[datatype])
    if len(raw) % dtype.itemsize:
        raise Malformed(f"binary tensor {name!r}: {len(raw):,} bytes are no whole values of {datatype}")
    return list(np.frombuffer(raw, dtype).tolist())


def _texts(raw: bytes, name: str) -> list[str]:
    found, position = [], 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise Malformed(f"binary tensor {name!r}: cut off within a length")
        (size,) = struct.unpack_from("<I", raw, position)
        position += 4
        if position + size > len(raw):
            raise Malformed(f"binary tensor {name!r}: cut off within a text")
        found.append(raw[position : position + size].decode("utf-8", errors="replace"))
        position += size
    return found
