"""Which examples a run makes, told before they are made: the files and all that is done with them, as a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def digest(source: str, spans: str, fingerprint: str, options: Mapping[str, Any]) -> str:
    """Returns `sha256:<hex>` of what examples are made of: equal digests, equal examples.

    Args:
        source: The pattern.
        spans: The chosen spans, in words.
        fingerprint: Of the spans' files.
        options: What `ingest_examples` is told beside these; what is empty is as if it were not given.
    """
    given = {name: _plain(value) for name, value in options.items() if value not in ("", None, 0) and _plain(value)}
    content = json.dumps([source, spans, fingerprint, given], sort_keys=True)
    return f"sha256:{hashlib.sha256(content.encode(errors='surrogateescape')).hexdigest()}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
