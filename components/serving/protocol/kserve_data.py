"""KServe's decoding of requests, made strict: what it cannot decode is the client's mistake, not a server error."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

from kserve.errors import InferenceError, InvalidInput
from kserve.protocol.dataplane import DataPlane

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, struct.error, InferenceError, RecursionError)
"""What KServe's decoding raises on requests that are not of the protocol's form."""


@contextlib.contextmanager
def decoding() -> Iterator[None]:
    """Makes whatever KServe's decoding raises within the block the client's mistake.

    Raises:
        InvalidInput: It raised something.
    """
    try:
        yield
    except InvalidInput:
        raise
    except MALFORMED as error:
        raise InvalidInput(f"the request is malformed: {type(error).__name__}: {error}") from error


class StrictDataPlane(DataPlane):
    """KServe's data plane, in which a malformed request is the client's mistake."""

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        """Decodes a request's body.

        Raises:
            InvalidInput: The body is not of the protocol's form.
        """
        with decoding():
            return super().decode(*args, **kwargs)
