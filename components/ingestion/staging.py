"""Files made readable: what DuckDB cannot read as it lies is copied into the task's own folder in another form."""

from __future__ import annotations

import codecs
import gzip
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.column_types import refuse_alike
from mainspring.components.ingestion.formats.column_names import own_names
from mainspring.components.ingestion.rows import Portion
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
        for path in paths:
            _check_gzip(path)
    if form == "tfrecord":
        paths, form = _examples_as_parquet(name, paths, scratch), "parquet"
    for path in paths if not csv_columns else ():
        refuse_alike(own_names(path, form), f"{path}: has", "rename one of them")
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


def _check_gzip(path: Path) -> None:
    """Reads a gzip file to its checksum: DuckDB before 2.0 takes the rows of a truncated one for all there are."""
    if not path.name.lower().endswith(".gz"):
        with path.open("rb") as plain:
            if plain.read(len(GZIP)) == GZIP:
                raise UserError(f"{path}: is compressed by gzip; its name must end in .gz")
        return
    try:
        with gzip.open(path) as source:
            while source.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: is truncated or no gzip file ({error}); fetch it again") from error


def _opened(path: Path, encoding: str):  # type: ignore[no-untyped-def]
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")
