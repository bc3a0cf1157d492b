"""A folder of small files, on this machine or in a bucket: what a checkpoint needs of a storage, and no more."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Protocol

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import RetriableError, UserError


class Folder(Protocol):
    """Files by name. A file is there whole or not at all."""

    def names(self) -> list[str]:
        """Returns the files' names."""

    def read(self, name: str) -> bytes:
        """Returns a file's content."""

    def write(self, name: str, content: bytes) -> None:
        """Writes a file; `RetriableError` if that is not possible at present."""

    def remove(self, name: str) -> None:
        """Removes a file; nothing happens if there is none."""


def open_folder(uri: str) -> Folder:
    """Returns the folder that a path, `file://`, `gs://` or `s3://` names; it need not be there yet.

    Raises:
        UserError: The URI has another scheme.
    """
    return _BucketFolder(uri) if buckets.is_bucket(uri) else _LocalFolder(storage.as_path(uri))


class _BucketFolder:
    def __init__(self, uri: str) -> None:
        self._uri = uri

    def names(self) -> list[str]:
        return buckets.list_names(self._uri)

    def read(self, name: str) -> bytes:
        return buckets.read(buckets.join(self._uri, name))

    def write(self, name: str, content: bytes) -> None:
        try:
            buckets.create(buckets.join(self._uri, name), content)
        except buckets.AlreadyExists:
            pass  # An earlier try came as far: a step's checkpoint is always the same.
        except UserError as error:
            raise RetriableError(f"checkpoints: {error}") from error

    def remove(self, name: str) -> None:
        found = buckets.stat(buckets.join(self._uri, name))
        buckets.delete([found] if found else [])


class _LocalFolder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        return [path.name for path in self._path.glob("*") if path.is_file()]

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        aside = None
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(prefix=f".{name}.", dir=self._path)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).replace(self._path / name)
        except OSError as error:
            raise RetriableError(f"checkpoints: {self._path} cannot be written: {error.strerror}") from error
        finally:
            if aside:
                Path(aside).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._path / name).unlink(missing_ok=True)
