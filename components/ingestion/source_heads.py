"""The first rows of a source, shaped as ingestion would shape all of them: enough to see whether a query fits."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion import parquet_tables, repeatable, rows, text_tables
from mainspring.components.ingestion.columns import column_types
from mainspring.components.ingestion.columns.given_types import Reading, read_types, refuse_unknown
from mainspring.components.ingestion.portions import Portion, Said
from mainspring.components.ingestion.sources.file import BIGQUERY, File, exactly, format_of, is_elsewhere
from mainspring.components.ingestion.spans.found import Span
from mainspring.components.ingestion.staging import AUTO, UTF_8, stage

LINES = 1_000
ROWS = 1_000
LARGEST_FETCHED = 64 * 2**20
"""Bytes of an object that is fetched from a bucket to look at its first rows; of a larger one nothing is known here."""

FALSE_ALARMS = re.compile(r"Conversion Error|No function matches|Cannot compare values of type|Binder Error: Cannot")
"""What DuckDB says where types do not fit. Of a text file's first lines, other types may be found than of all."""


class TooLarge(UserError):
    """The files are too large to be looked at in passing."""


def columns_of(
    span: Span,
    tables: Mapping[str, Span],
    query: str,
    scratch: Path,
    types: Mapping[str, str] | str = "",
    file_format: str = AUTO,
    csv_columns: Sequence[str] = (),
    encoding: str = UTF_8,
    missing_words: Sequence[str] | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Returns the columns that a query makes of a span, with their types, and notes on what could not be judged.

    Args:
        span: Of it the first file is looked at.
        tables: The further tables of the query, by name; of each the first file.
        query: As in `ingest_examples`.
        scratch: A folder for copies.
        types: As in `ingest_examples`, like the rest.
        file_format: `parquet`, `csv`, `jsonl`, `tfrecord` or `auto`.
        csv_columns: Names for CSV files without a header.
        encoding: Of CSV and JSON files.
        missing_words: Words that stand for a missing value.

    Raises:
        TooLarge: A file is too large to be fetched for this.
        UserError: A file cannot be read, or the query does not fit it.
    """
    reading = Reading(read_types(types), None if missing_words is None else tuple(missing_words))
    names: dict[str, str] = {}
    portions, said, is_text = [], Said(), False
    try:
        for place, (name, found) in enumerate({"source": span, **tables}.items()):
            folder = scratch / str(place)
            folder.mkdir()
            head = _head(found.files[0], folder, file_format, encoding)
            names[head.uri] = found.files[0].uri
            portion = stage(found.name, [head], folder, file_format, csv_columns if name == "source" else (), UTF_8)
            with rows.connect_freely(folder) as connection:
                is_text = is_text or portion.format != "parquet"
                if portion.format == "parquet":
                    [typed] = parquet_tables.typed(connection, [portion], reading, said)
                else:
                    [typed] = text_tables.to_parquet(connection, [portion], folder / "typed", reading, said)
            portions.append(replace(typed, name=found.name) if name == "source" else replace(typed, name=name))
        refuse_unknown(reading.types, [name for portion in portions for name in portion.columns])
        return _shaped(portions, query, scratch, is_text)
    except UserError as error:
        raise type(error)(_renamed(str(error), names)) from error


def _shaped(portions: Sequence[Portion], query: str, scratch: Path, is_text: bool) -> tuple[dict[str, str], list[str]]:
    files = [file for portion in portions for file in portion.files]
    with rows.connect(files, scratch, repeatable.needs_one_thread(query)) as connection:
        for table in portions[1:]:
            rows.add_table(connection, table, table.name)
        checked = rows.check_query(connection, query)
        try:
            shape = rows.shape(connection, portions[0], checked)
        except UserError as error:
            if is_text and FALSE_ALARMS.search(str(error)):
                return {}, [f"{error}; of all rows other types may be found than of the first {LINES:,} lines"]
            raise
    notes: list[str] = []
    return column_types.merge_columns({portions[0].name: shape}, notes.append), notes


def _head(file: File, folder: Path, file_format: str, encoding: str) -> File:
    """Returns a copy of a file's first rows; a text file's is in UTF-8 and unpacked."""
    form = file_format if file_format != AUTO else format_of(file.uri)
    if not form:
        raise UserError(f"{file.uri}: cannot be read by its ending; give file_format")
    if file.uri.startswith(BIGQUERY):
        raise TooLarge(f"{file.uri}: BigQuery's rows are not read for a check")
    if is_elsewhere(file.uri) and file.size > LARGEST_FETCHED:
        raise TooLarge(f"{file.uri}: has {file.size:,} bytes; it is not fetched for a check")
    path = _fetched(file, folder)
    copy = folder / "head" / path.name
    copy.parent.mkdir()
    if form == "parquet":
        with duckdb.connect() as connection:
            source, target = (column_types.literal(text) for text in (exactly(path), str(copy)))
            try:
                connection.execute(f"COPY (FROM read_parquet({source}) LIMIT {ROWS}) TO {target} (FORMAT parquet)")
            except duckdb.Error as error:
                raise UserError(f"{file.uri}: cannot be read: {str(error).splitlines()[0]}") from error
    elif form in ("csv", "jsonl"):
        copy = copy.with_name(copy.name.removesuffix(".gz"))
        copy.write_text(_first_lines(path, form, encoding), encoding=UTF_8, newline="")
    else:
        copy = path
    return File(str(copy), copy.stat().st_size, "", file.side)


def _fetched(file: File, folder: Path) -> Path:
    if not is_elsewhere(file.uri):
        return Path(file.uri)
    # Imported only here: a client of a cloud costs a second that local files need not wait for.
    from mainspring.components.ingestion.sources import buckets

    copy = folder / file.uri.rpartition("/")[2]
    buckets.download(file, copy)
    return copy


def _first_lines(path: Path, form: str, encoding: str) -> str:
    """Returns a text file's first lines; of a CSV file none that ends within quotes."""
    kept: list[str] = []
    quotes, whole = 0, 0
    try:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with opener(path, "rt", encoding=encoding, newline="") as source:
            for number, line in enumerate(source):
                if number >= LINES:
                    return "".join(kept[:whole])
                kept.append(line)
                quotes += line.count('"')
                whole = len(kept) if quotes % 2 == 0 or form != "csv" else whole
    except (UnicodeError, OSError, EOFError, LookupError) as error:
        raise UserError(f"{path}: cannot be read in {encoding}: {error}") from error
    return "".join(kept)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for copy, uri in names.items():
        text = text.replace(copy, uri)
    return text
