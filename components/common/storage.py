"""Where things lie and how they are published: written aside, then renamed: nothing half-written looks finished."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import RetriableError, UserError

ROOT_VARIABLE = "MAINSPRING_ROOT"
"""Names the folder that holds everything a local run leaves behind; the engines set it for the tasks they start."""

DEFAULT_ROOT = ".mainspring"


def local_root() -> Path:
    """Returns the absolute folder of local state: runs, published models, endpoints, the cache.

    `$MAINSPRING_ROOT` if set, else `.mainspring` in the current folder.
    """
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT).absolute()


def as_path(uri: str | Path) -> Path:
    """Returns the local path that a URI names: a plain path or `file://…`.

    Raises:
        UserError: The URI has another scheme.
    """
    text = str(uri)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    scheme, separator, _ = text.partition("://")
    if separator:
        raise UserError(f"{text}: {scheme}:// is not supported here; give a path or a file:// URI")
    return Path(text)


@contextlib.contextmanager
def publishing_directory(target: Path) -> Iterator[Path]:
    """Yields an empty folder beside `target`; on success it becomes `target` in one rename, on failure it goes.

    An empty folder at `target` (KFP makes one for each output) is replaced.

    Raises:
        UserError: `target` holds something already.
        RetriableError: The disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    aside.chmod(0o755)
    try:
        with full_disks_as_user_errors(target):
            yield aside
            for path in sorted(aside.rglob("*")):
                if path.is_file():
                    _flush_to_disk(path)
        if target.is_dir():
            with contextlib.suppress(OSError):  # Not empty: the rename below says so.
                target.rmdir()
        try:
            aside.rename(target)
        except OSError as error:
            raise UserError(f"{target}: exists already; published folders are never overwritten") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_atomically(target: Path, text: str) -> None:
    """Writes `text` (UTF-8) to `target` in one rename; readers see the old content or the new, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    aside = Path(name)
    try:
        with full_disks_as_user_errors(target), os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def write_json(target: Path, content: Any) -> None:
    """Writes `content` as indented JSON, atomically."""
    write_atomically(target, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: The file is missing or holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from error


def fingerprint_of_files(folder: Path) -> str:
    """Returns `sha256:<hex>` over the relative names and contents of all files under `folder`."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


@contextlib.contextmanager
def full_disks_as_user_errors(target: Path) -> Iterator[None]:
    """Turns "no space left", "quota exceeded" and "permission denied" into one line that names `target`."""
    import errno

    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RetriableError(
                f"{target}: the disk is full; nothing was published. Free some space, then run again"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS):
            raise UserError(f"{target}: may not be written ({error.strerror}); nothing was published") from error
        raise


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
