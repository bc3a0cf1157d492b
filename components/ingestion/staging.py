"""Files made readable: what DuckDB cannot read as it lies is copied into the task's own folder in another form."""

from __future__ import annotations

import codecs
import gzip
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.portions import Portion
from mainspring.components.ingestion.sources.file import BIGQUERY, FORMATS, File, format_of, is_elsewhere

AUTO = "auto"
UTF_8 = "utf-8"

GZIP = b"\x1f\x8b"
"""How a gzip file begins; no text in UTF-8 does."""

TABLE = "table.parquet"
"""The copy of a table that is no file."""


def stage(
    name: str,
    files: Sequence[File],
    scratch: Path,
    file_format: str = AUTO,
    csv_columns: Sequence[str] = (),
    encoding: str = UTF_8,
) -> Portion:
    """Returns the files as DuckDB can read them.

    Args:
        name: The span or table.
        files: At least one.
        scratch: A folder for copies.
        file_format: One of `FORMATS`, or `auto`: by the files' endings.
        csv_columns: Names for CSV files without a header.
        encoding: Of CSV and JSON files, as Python names it.

    Raises:
        UserError: The format is unknown or differs between the files, or a file is not in its encoding.
    """
    if file_format not in (AUTO, *FORMATS):
        raise UserError(f"file_format is {file_format!r}; say {AUTO}, {', '.join(FORMATS)}")
    formats = {file_format if file_format != AUTO else _format_of(file) for file in files}
    if len(formats) > 1:
        raise UserError(f"{name}: the files are of several formats: {', '.join(sorted(formats))}; narrow the pattern")
    form = formats.pop()
    paths = [_local(file, scratch / f"{number}-copy") for number, file in enumerate(files)]
    if form in ("csv", "jsonl") and not _is_utf_8(encoding):
        paths = [_recoded(path, encoding, scratch / f"{name}-{number}.{form}") for number, path in enumerate(paths)]
    elif form in ("csv", "jsonl"):
        paths = [_plain(path, form, scratch / f"{number}-plain") for number, path in enumerate(paths)]
    if form == "tfrecord":
        paths, form = _examples_as_parquet(name, paths, scratch), "parquet"
    return Portion(name, tuple(paths), form, tuple(csv_columns))


def _local(file: File, folder: Path) -> Path:
    """Returns the file's path; of an object in a bucket, that of a copy under the same last name."""
    if not is_elsewhere(file.uri):
        return Path(file.uri)
    if file.uri.startswith(BIGQUERY):
        from mainspring.components.ingestion.sources import bigquery

        folder.mkdir()
        table = folder / TABLE
        bigquery.read(file, table)
        return table
    # Imported only here: a client of a cloud costs a second that local files need not wait for.
    from mainspring.components.ingestion.sources import buckets

    folder.mkdir()
    copy = folder / file.uri.rpartition("/")[2]
    buckets.download(file, copy)
    return copy


def _examples_as_parquet(name: str, paths: Sequence[Path], scratch: Path) -> list[Path]:
    # Imported only here: protobuf is a tenth of a second that other sources need not spend.
    from mainspring.components.ingestion.formats import tfrecord

    kinds: dict[str, str] = {}
    written: list[Path] = []
    for number, path in enumerate(paths):
        folder = scratch / str(number)
        folder.mkdir()
        written += tfrecord.to_parquet(path, folder, kinds)
    if not written:
        raise UserError(f"span {name}: its TFRecord files hold no records")
    return written


def _format_of(file: File) -> str:
    form = format_of(file.uri)
    if not form:
        endings = ", ".join(ending for endings in FORMATS.values() for ending in endings)
        raise UserError(f"{file.uri}: cannot be read by its ending; give file_format, or one of {endings}")
    return form


def _is_utf_8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name == UTF_8
    except LookupError as error:
        raise UserError(f"encoding is {encoding!r}, which is not known; say utf-8, latin-1, utf-16 …") from error


def _recoded(path: Path, encoding: str, target: Path) -> Path:
    try:
        with _opened(path, encoding) as source, target.open("w", encoding=UTF_8, newline="") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except (UnicodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: is not in {encoding}: {error}") from error
    return target


def _plain(path: Path, form: str, folder: Path) -> Path:
    """Returns a text file that DuckDB reads: itself, or a copy without what DuckDB does not take.

    That is a byte order mark above JSON lines, and zeros after what gzip compressed, as tapes and block devices leave
    them. A gzip file is read to its checksum: DuckDB before 2.0 takes the rows of a truncated one for all there are.
    """
    packed = path.name.lower().endswith(".gz")
    with path.open("rb") as start:
        head = start.read(len(codecs.BOM_UTF8))
    if not packed and head.startswith(GZIP):
        raise UserError(f"{path}: is compressed by gzip; its name must end in .gz")
    try:
        with gzip.open(path) if packed else path.open("rb") as source:
            marked = source.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
            while packed and source.read(1 << 20):
                pass
            if not (marked and form == "jsonl") and not (packed and _ends_in_zeros(path)):
                return path
            source.seek(len(codecs.BOM_UTF8) if marked else 0)
            folder.mkdir()
            copy = folder / (path.name[: -len(".gz")] if packed else path.name)
            with copy.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            return copy
    except (OSError, EOFError, zlib.error) as error:
        if not packed:
            raise
        raise UserError(f"{path}: is truncated or no gzip file ({error}); fetch it again") from error


def _ends_in_zeros(path: Path) -> bool:
    """Returns whether more zeros stand at the end than the size that gzip writes there can have."""
    with path.open("rb") as source:
        source.seek(-min(4, path.stat().st_size), 2)
        return source.read() == bytes(4)


def _opened(path: Path, encoding: str):  # type: ignore[no-untyped-def]
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")
