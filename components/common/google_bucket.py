"""Google Cloud Storage, for `buckets`: Google's own client, which alone tells an object's generation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from mainspring.components.common import buckets
from mainspring.components.common.buckets import GOOGLE, Object
from mainspring.components.common.errors import UserError

CALL_SECONDS = 60.0
"""How long one HTTP call may take, and how long one that fails in passing (429, 5xx, a reset) is repeated."""

_RETRY = DEFAULT_RETRY.with_timeout(CALL_SECONDS)
_CALL: dict[str, Any] = {"timeout": CALL_SECONDS, "retry": _RETRY}


def list_objects(bucket: str, prefix: str) -> list[Object]:
    """Returns the objects whose names begin with a prefix."""
    with _errors(f"{GOOGLE}{bucket}", "listed"):
        return [_object(blob) for blob in _client().list_blobs(bucket, prefix=prefix, **_CALL) if blob.name[-1] != "/"]


def list_names(bucket: str, prefix: str) -> list[str]:
    """Returns the names directly under a prefix."""
    with _errors(f"{GOOGLE}{bucket}", "listed"):
        listing = _client().list_blobs(bucket, prefix=prefix, delimiter="/", **_CALL)
        files = [blob.name for blob in listing if blob.name[-1] != "/"]
        return [name.removeprefix(prefix).rstrip("/") for name in [*files, *listing.prefixes]]


def stat(bucket: str, name: str) -> Object | None:
    """Returns an object, or None."""
    if not name:
        return None
    with _errors(f"{GOOGLE}{bucket}/{name}", "read"):
        blob = _client().bucket(bucket).get_blob(name, **_CALL)
        return _object(blob) if blob else None


def read(bucket: str, name: str) -> bytes:
    """Returns an object's content."""
    with _errors(f"{GOOGLE}{bucket}/{name}", "read"):
        content: bytes = _client().bucket(bucket).blob(name).download_as_bytes(raw_download=True, **_CALL)
        return content


def write(bucket: str, name: str, content: bytes, generation: str) -> Object:
    """Writes an object that is absent (generation empty) or still in the given generation."""
    with _errors(f"{GOOGLE}{bucket}/{name}", "written"):
        blob = _client().bucket(bucket).blob(name)
        # Repeated after an answer was lost, it meets its own object and says that it exists: who must know reads it.
        blob.upload_from_string(content, if_generation_match=int(generation or 0), checksum="crc32c", **_CALL)
        return _object(blob)


def upload(bucket: str, name: str, path: Path) -> None:
    """Writes a file to an object that is absent."""
    with _errors(f"{GOOGLE}{bucket}/{name}", "written"):
        blob = _client().bucket(bucket).blob(name)
        blob.upload_from_filename(str(path), if_generation_match=0, checksum="crc32c", **_CALL)


def download(bucket: str, name: str, found: Object, target: Path) -> None:
    """Copies one generation of an object to a file."""
    with _errors(found.uri, "read"):
        blob = _client().bucket(bucket).blob(name, generation=int(found.generation))
        # As it is stored, and with its checksum: an object stored with `Content-Encoding: gzip` stays gzipped.
        blob.download_to_filename(str(target), raw_download=True, **_CALL)


def delete(bucket: str, name: str) -> None:
    """Removes an object, if it is there."""
    with _errors(f"{GOOGLE}{bucket}/{name}", "removed"), contextlib.suppress(NotFound):
        _client().bucket(bucket).blob(name).delete(**_CALL)


@cache
def _client_at(endpoint: str) -> Any:
    return storage.Client(project=None)  # Objects need no project of ours.


def _client() -> Any:
    import os

    try:
        return _client_at(os.environ.get("STORAGE_EMULATOR_HOST", ""))
    except (GoogleAuthError, OSError) as error:
        raise UserError(f"gs://: no credentials for Google Cloud Storage: {error}") from error


def _object(blob: Any) -> Object:
    modified = blob.updated.timestamp() if blob.updated else 0.0
    return Object(f"{GOOGLE}{blob.bucket.name}/{blob.name}", blob.size, str(blob.generation), modified)


@contextlib.contextmanager
def _errors(uri: str, done: str) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        if done == "read":
            raise buckets.NotFound(f"{uri}: is gone, or was rewritten since it was found; run again") from error
        raise UserError(f"{uri}: cannot be {done}: {_said(error)}") from error
    except PreconditionFailed as error:
        raise buckets.AlreadyExists(f"{uri}: exists already, or was rewritten by somebody else") from error
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise UserError(f"{uri}: cannot be {done}: {_said(error)}") from error


def _said(error: Exception) -> str:
    text = str(getattr(error, "message", "") or error)[:300]
    code = str(int(getattr(error, "code", 0) or 0))
    return text if code in ("0", text[:3]) or code in text else f"{code}: {text}"
