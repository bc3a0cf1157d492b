"""Which examples a run makes, told before they are made: the files and all that is done with them, as a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def digest(
    source: str,
    spans: str,
    fingerprint: str,
    *,
    query: str,
    tables: Sequence[str],
    types: Mapping[str, str] | str,
    eval_fraction: float,
    split_columns: Sequence[str],
    time_column: str,
    file_format: str,
    csv_columns: Sequence[str],
    encoding: str,
    missing_words: Sequence[str] | None,
) -> str:
    """Returns `sha256:<hex>` of what examples are made of, beside the baseline: equal digests, equal examples.

    Args:
        source: The pattern.
        spans: The chosen spans, in words.
        fingerprint: Of the spans' files.
        query: As in `ingest_examples`, like what follows; what is empty is as if it were not given.
        tables: As there.
        types: As there.
        eval_fraction: As there.
        split_columns: As there.
        time_column: As there.
        file_format: As there.
        csv_columns: As there.
        encoding: As there.
        missing_words: As there.
    """
    options = {
        "query": query,
        "tables": tables,
        "types": types,
        "eval_fraction": eval_fraction,
        "split_columns": split_columns,
        "time_column": time_column,
        "file_format": file_format,
        "csv_columns": csv_columns,
        "encoding": encoding,
        "missing_words": missing_words,
    }
    given = {name: _plain(value) for name, value in options.items() if value not in ("", None, 0) and _plain(value)}
    content = json.dumps([source, spans, fingerprint, given], sort_keys=True)
    return f"sha256:{hashlib.sha256(content.encode(errors='surrogateescape')).hexdigest()}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
