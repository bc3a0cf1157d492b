"""Files in buckets: `gs://` by Google's client, `s3://` (and what speaks its protocol) by Arrow's file system.

Credentials and endpoints come from where these libraries look for them: a service account's workload identity,
application default credentials, `AWS_*` variables, `STORAGE_EMULATOR_HOST`, `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.files import File, as_regex, format_of

GOOGLE, S3 = "gs://", "s3://"

_CHUNK = 1 << 20


def list_objects(pattern: str) -> list[File]:
    """Returns the objects that a glob matches, or that lie under a folder and can be read by their ending, by name.

    Raises:
        UserError: The bucket is not there or may not be read.
    """
    scheme, path = pattern[:5], pattern[5:]
    bucket = path.partition("/")[0]
    if not bucket or re.search(r"[*?\[]", bucket):
        raise UserError(f"{pattern}: names no bucket; say {scheme}bucket/folder/file-{{SPAN}}.parquet")
    prefix = re.split(r"[*?\[]", path.partition("/")[2])[0]
    found = (_list_google if scheme == GOOGLE else _list_s3)(bucket, prefix)
    if not re.search(r"[*?\[]", path):
        folder = pattern.rstrip("/") + "/"
        return [file for file in found if file.uri == pattern or (file.uri.startswith(folder) and format_of(file.uri))]
    matches = as_regex(pattern, {}).fullmatch
    return [file for file in found if matches(file.uri)]


def download(file: File, target: Path) -> None:
    """Copies an object, in the generation in which it was found, to a local file.

    Raises:
        UserError: It is gone or was rewritten, or may not be read.
    """
    (_download_google if file.uri.startswith(GOOGLE) else _download_s3)(file, target)
    if target.stat().st_size != file.size:
        raise UserError(f"{file.uri}: {target.stat().st_size:,} bytes came instead of {file.size:,}; run again")


def _google(uri: str) -> Any:
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    try:
        return storage.Client(project=None)  # Reading needs no project of ours.
    except (GoogleAuthError, OSError) as error:
        raise UserError(f"{uri}: no credentials for Google Cloud Storage: {error}") from error


def _list_google(bucket: str, prefix: str) -> list[File]:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    where = f"{GOOGLE}{bucket}"
    try:
        blobs = list(_google(where).list_blobs(bucket, prefix=prefix))
    except (GoogleAPIError, GoogleAuthError) as error:
        raise UserError(f"{where}: cannot be listed: {error}") from error
    files = [File(f"{where}/{blob.name}", blob.size, str(blob.generation)) for blob in blobs]
    return sorted((file for file in files if not file.uri.endswith("/")), key=lambda file: file.uri)


def _download_google(file: File, target: Path) -> None:
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError

    bucket, _, name = file.uri.removeprefix(GOOGLE).partition("/")
    blob = _google(file.uri).bucket(bucket).blob(name, generation=int(file.generation))
    try:
        # As it is stored, and with its checksum: an object stored with `Content-Encoding: gzip` stays gzipped.
        blob.download_to_filename(str(target), raw_download=True)
    except NotFound as error:
        raise UserError(f"{file.uri}: is gone, or was rewritten since it was found; run again") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise UserError(f"{file.uri}: cannot be read: {error}") from error


def _s3() -> Any:
    from pyarrow import fs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(endpoint_override=endpoint)


def _list_s3(bucket: str, prefix: str) -> list[File]:
    from pyarrow import fs

    folder = prefix.rpartition("/")[0]
    base = f"{bucket}/{folder}".rstrip("/")
    try:
        found = _s3().get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
    except OSError as error:
        raise UserError(f"{S3}{bucket}: cannot be listed: {error}") from error
    files = [File(f"{S3}{info.path}", info.size, str(info.mtime_ns)) for info in found if info.type == fs.FileType.File]
    wanted = f"{S3}{bucket}/{prefix}"
    return sorted((file for file in files if file.uri.startswith(wanted)), key=lambda file: file.uri)


def _download_s3(file: File, target: Path) -> None:
    system, path = _s3(), file.uri.removeprefix(S3)
    try:
        if str(system.get_file_info(path).mtime_ns) != file.generation:
            raise UserError(f"{file.uri}: is gone, or was rewritten since it was found; run again")
        with system.open_input_stream(path) as source, target.open("wb") as copy:
            while block := source.read(_CHUNK):
                copy.write(block)
    except OSError as error:
        raise UserError(f"{file.uri}: cannot be read: {error}") from error
