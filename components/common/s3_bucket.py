"""S3 and what speaks its protocol, for `buckets`: obstore, which is one small package and takes S3's preconditions."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotModifiedError, PreconditionError
from obstore.store import S3Store

from mainspring.components.common import buckets
from mainspring.components.common.buckets import S3, Object
from mainspring.components.common.errors import UserError

CALL_SECONDS = 60
"""How long one HTTP call may take, and how long one that fails in passing (429, 5xx, a reset) is repeated."""

_CHUNK = 1 << 20


def list_objects(bucket: str, prefix: str) -> list[Object]:
    """Returns the objects whose names begin with a prefix."""
    # The store matches whole path segments only: list the folder, then compare.
    folder = prefix.rpartition("/")[0]
    with _errors(f"{S3}{bucket}", "listed"):
        found = [each for chunk in obstore.list(_store(bucket), folder) for each in chunk]
        kept = [each for each in found if each["path"].startswith(prefix)]
        return [_object(bucket, each) for each in kept if each["size"] or not _is_marker(bucket, each["path"])]


def list_names(bucket: str, prefix: str) -> list[str]:
    """Returns the names directly under a prefix."""
    with _errors(f"{S3}{bucket}", "listed"):
        listing = obstore.list_with_delimiter(_store(bucket), prefix.rstrip("/"))
        files = [each["path"] for each in listing["objects"] if each["size"] or not _is_marker(bucket, each["path"])]
        return [name.removeprefix(prefix) for name in [*files, *listing["common_prefixes"]] if name.startswith(prefix)]


def stat(bucket: str, name: str) -> Object | None:
    """Returns an object, or None."""
    if not name:
        return None
    with _errors(f"{S3}{bucket}/{name}", "read"), contextlib.suppress(FileNotFoundError):
        return _object(bucket, obstore.head(_store(bucket), name))
    return None


def read(bucket: str, name: str) -> bytes:
    """Returns an object's content."""
    with _errors(f"{S3}{bucket}/{name}", "read"):
        return bytes(obstore.get(_store(bucket), name).bytes())


def write(bucket: str, name: str, content: bytes, generation: str) -> Object:
    """Writes an object that is absent (generation empty) or still in the given generation."""
    with _errors(f"{S3}{bucket}/{name}", "written"):
        mode: Any = {"e_tag": generation} if generation else "create"
        put = obstore.put(_store(bucket), name, content, mode=mode, use_multipart=False)
        return Object(f"{S3}{bucket}/{name}", len(content), put["e_tag"] or "")


def upload(bucket: str, name: str, path: Path) -> None:
    """Writes a file to an object that is absent."""
    with _errors(f"{S3}{bucket}/{name}", "written"):
        # A multi-part upload takes no precondition; S3's limit for a single one is 5 GB.
        single = path.stat().st_size < 4 << 30
        mode: Any = "create" if single else "overwrite"
        obstore.put(_store(bucket), name, path, mode=mode, use_multipart=not single)


def download(bucket: str, name: str, found: Object, target: Path) -> None:
    """Copies one generation of an object to a file."""
    with _errors(found.uri, "read"), target.open("wb") as copy:
        for block in obstore.get(_store(bucket), name, options={"if_match": found.generation}).stream(_CHUNK):
            copy.write(block)


def delete(bucket: str, name: str) -> None:
    """Removes an object, if it is there."""
    with _errors(f"{S3}{bucket}/{name}", "removed"), contextlib.suppress(FileNotFoundError):
        obstore.delete(_store(bucket), name)


def _store(bucket: str) -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    limit = timedelta(seconds=CALL_SECONDS)
    where: Any = {"endpoint": endpoint} if endpoint else {}
    return S3Store(
        bucket,
        **where,
        client_options={"allow_http": bool(endpoint), "timeout": limit, "connect_timeout": timedelta(seconds=10)},
        retry_config={"max_retries": 5, "retry_timeout": limit},
    )


def _is_marker(bucket: str, name: str) -> bool:
    """Returns whether an empty object is a folder's marker: listings drop the slash at its end, `head` does not."""
    try:
        obstore.head(_store(bucket), name)
    except FileNotFoundError:
        return True
    return False


def _object(bucket: str, meta: Any) -> Object:
    return Object(f"{S3}{bucket}/{meta['path']}", meta["size"], meta["e_tag"] or "", meta["last_modified"].timestamp())


@contextlib.contextmanager
def _errors(uri: str, done: str) -> Iterator[None]:
    try:
        yield
    except AlreadyExistsError as error:
        raise buckets.AlreadyExists(f"{uri}: exists already") from error
    except (PreconditionError, NotModifiedError) as error:
        if done == "written":
            raise buckets.AlreadyExists(f"{uri}: was rewritten by somebody else") from error
        raise buckets.NotFound(f"{uri}: was rewritten since it was found; run again") from error
    except FileNotFoundError as error:
        if done == "read":
            raise buckets.NotFound(f"{uri}: is gone, or was rewritten since it was found; run again") from error
        raise UserError(f"{uri}: cannot be {done}: no such bucket") from error
    except (BaseError, PermissionError) as error:
        raise UserError(f"{uri}: cannot be {done}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """Returns what the server said; the store's own text is a page long."""
    text = str(error).partition("Debug source")[0]
    code = re.search(r"<Code>(.*?)</Code>", text)
    told = re.search(r"<Message>(.*?)</Message>", text)
    return f"{code[1]}: {told[1]}" if code and told else text.strip()[:300]
