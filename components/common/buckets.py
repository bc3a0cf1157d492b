"""Objects in buckets, `gs://` and `s3://`: list, read, download, upload, and create only if nobody was faster.

Google's own client speaks to `gs://`, `obstore` to `s3://` and what speaks its protocol. Neither is imported
before it is needed. Credentials and endpoints come from where these clients look for them: workload identity,
application default credentials, `AWS_*` variables, `STORAGE_EMULATOR_HOST`, `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError

GOOGLE, S3 = "gs://", "s3://"

TRANSFERS = 8
"""Objects that are transferred at a time: a model has few large files and many small ones."""


class AlreadyExists(UserError):
    """The object is there already; somebody else was faster."""


class NotFound(UserError):
    """There is no such object, or it was rewritten since it was found."""


@dataclass(frozen=True)
class Object:
    """An object as it was found."""

    uri: str
    size: int
    """Bytes."""
    generation: str
    """Which writing of the object this is: Google's generation, or the ETag in S3, which goes by the content."""
    modified: float = field(default=0.0, compare=False)
    """When it was written, in seconds since the epoch; 0 where that was not asked."""


_copies: dict[tuple[str, tuple[Object, ...]], Path] = {}


def is_bucket(uri: str | Path) -> bool:
    """Returns whether a URI lies in a bucket."""
    return str(uri).startswith((GOOGLE, S3))


def split(uri: str) -> tuple[str, str]:
    """Returns a URI's bucket and the rest, without slashes at its ends.

    Raises:
        UserError: It names no bucket.
    """
    bucket, _, name = uri[5:].partition("/")
    if not is_bucket(uri) or not bucket:
        raise UserError(f"{uri}: names no bucket; write gs://bucket/folder or s3://bucket/folder")
    return bucket, name.strip("/")


def canonical(uri: str | Path) -> str:
    """Returns the one spelling of a folder's URI: two that name the same folder are equal.

    On a path, symbolic links are followed, and `file://` goes. In a bucket, empty parts, `.` and slashes at the end go.

    Raises:
        UserError: It names no bucket, or has another scheme.
    """
    if not is_bucket(uri):
        return os.path.realpath(storage.as_path(uri))
    bucket, name = split(str(uri))
    kept: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return join(str(uri)[:5] + bucket, *kept)


def join(uri: str, *parts: str) -> str:
    """Returns a URI below another."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def list_objects(folder: str, prefix: str = "") -> list[Object]:
    """Returns the objects under a folder, however deep, by URI; zero-byte markers of folders are none.

    Args:
        folder: `gs://…` or `s3://…`; one that does not exist is empty, as object stores have it.
        prefix: Only objects whose URI, after the folder's, begins so.

    Raises:
        UserError: The bucket is not there, may not be read, or does not answer.
    """
    bucket, name = split(folder)
    start = f"{name}/{prefix}" if name else prefix
    return sorted(_client(folder).list_objects(bucket, start), key=lambda found: found.uri)


def list_names(folder: str) -> list[str]:
    """Returns the names of what lies directly in a folder: of its objects and of its folders, sorted.

    Raises:
        UserError: As `list_objects`.
    """
    bucket, name = split(folder)
    return sorted(set(_client(folder).list_names(bucket, f"{name}/" if name else "")))


def stat(uri: str) -> Object | None:
    """Returns an object as it is now, or None if there is none.

    Raises:
        UserError: The bucket may not be read or does not answer.
    """
    found: Object | None = _client(uri).stat(*split(uri))
    return found


def read(uri: str) -> bytes:
    """Returns an object's content.

    Raises:
        NotFound: There is none.
        UserError: It may not be read.
    """
    content: bytes = _client(uri).read(*split(uri))
    return content


def create(uri: str, content: bytes) -> Object:
    """Writes an object that must not exist yet; of two writers at once, one succeeds.

    Raises:
        AlreadyExists: It exists.
        UserError: The bucket cannot be written.
    """
    created: Object = _client(uri).write(*split(uri), content, "")
    return created


def replace(found: Object, content: bytes) -> Object:
    """Writes an object anew, unless somebody else wrote it since it was found.

    Raises:
        AlreadyExists: Somebody did.
        UserError: The bucket cannot be written.
    """
    written: Object = _client(found.uri).write(*split(found.uri), content, found.generation)
    return written


def upload(path: Path, uri: str) -> None:
    """Writes a file to an object that must not exist yet.

    Raises:
        AlreadyExists: It exists.
        UserError: The bucket cannot be written.
    """
    _client(uri).upload(*split(uri), path)


def download(found: Object, target: Path) -> None:
    """Copies an object, in the generation in which it was found, to a local file.

    Raises:
        NotFound: It is gone or was rewritten.
        UserError: It may not be read, the disk is full, or fewer bytes came than it has.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with storage.full_disks_as_user_errors(target):
        _client(found.uri).download(*split(found.uri), found, target)
    if target.stat().st_size != found.size:
        raise UserError(f"{found.uri}: {target.stat().st_size:,} bytes came instead of {found.size:,}; run again")


def upload_tree(folder: Path, uri: str) -> None:
    """Writes every file under a folder to an object of the same relative name, none of which may exist yet.

    Raises:
        AlreadyExists: One does.
        UserError: The bucket cannot be written.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    upload_all({join(uri, path.relative_to(folder).as_posix()): path for path in files})


def upload_all(files: Mapping[str, Path]) -> None:
    """Writes files to objects, several at a time, none of which may exist yet.

    Args:
        files: By the object's URI.

    Raises:
        AlreadyExists: One does.
        UserError: The bucket cannot be written.
    """
    _each((lambda path=path, uri=uri: upload(path, uri)) for uri, path in files.items())


def download_tree(uri: str, target: Path) -> None:
    """Copies every object under a folder to a file of the same relative name.

    Raises:
        NotFound: The folder holds none, or one was rewritten meanwhile.
        UserError: One may not be read, or leads out of the target.
    """
    base = uri.rstrip("/") + "/"
    found = list_objects(uri)
    if not found:
        raise NotFound(f"{uri}: no such folder, or it is empty")
    for each in found:
        if ".." in each.uri.removeprefix(base).split("/"):
            raise UserError(f"{each.uri}: its name leads out of the folder; it is not downloaded")
    _each((lambda each=each: download(each, target / each.uri.removeprefix(base))) for each in found)


def delete(objects: Iterable[Object]) -> None:
    """Removes objects; those that are gone already are no error.

    Raises:
        UserError: They may not be removed.
    """
    _each((lambda each=each: _client(each.uri).delete(*split(each.uri))) for each in objects)


def local_copy(uri: str | Path) -> Path:
    """Returns the folder or file that a URI names: the path itself, or a copy of what is in a bucket.

    A copy lasts as long as this process, and is made anew when something in the bucket has changed.

    Raises:
        NotFound: There is nothing in the bucket under that name.
        UserError: It may not be read, or the URI has another scheme.
    """
    if not is_bucket(uri):
        return storage.as_path(uri)
    text = str(uri).rstrip("/")
    single = stat(text)
    found = (single,) if single else tuple(list_objects(text))
    if (text, found) not in _copies:
        copy = Path(tempfile.mkdtemp(prefix="mainspring-copy-")) / text.rpartition("/")[2]
        atexit.register(shutil.rmtree, copy.parent, ignore_errors=True)
        if single:
            download(single, copy)
        else:
            download_tree(text, copy)
        _copies[text, found] = copy
    return _copies[text, found]


def _client(uri: str) -> Any:
    """Returns the module that speaks to the bucket; both have the same functions."""
    name, package = ("google_bucket", "google-cloud-storage") if uri.startswith(GOOGLE) else ("s3_bucket", "obstore")
    try:
        return importlib.import_module(f"mainspring.components.common.{name}")
    except ImportError as error:
        raise UserError(f"{uri}: needs the package {package} in this environment: {error}") from error


def _each(calls: Iterable[Any]) -> None:
    with ThreadPoolExecutor(TRANSFERS) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()
