"""Examples out of spans: shaped by SQL, split, written as Parquet with a manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.ingestion import parquet_tables, recipe, repeatable, rows, text_tables
from mainspring.components.ingestion.columns import column_types
from mainspring.components.ingestion.columns.given_types import Reading, read_types, refuse_unknown
from mainspring.components.ingestion.columns.learnt_types import SOURCE, Learnt, learnt_types
from mainspring.components.ingestion.dealing import dealing, say_what_lies_together
from mainspring.components.ingestion.portions import Portion, Said
from mainspring.components.ingestion.sources.file import File, is_elsewhere
from mainspring.components.ingestion.spans.found import Span, find_spans, fingerprint_files
from mainspring.components.ingestion.spans.selecting import in_words, select_spans
from mainspring.components.ingestion.splitting import EVAL, TRAIN, Content, all_to, write_splits
from mainspring.components.ingestion.staging import AUTO, UTF_8, stage

LARGEST_HASHED = 2**31
"""Bytes of a file whose content is hashed for the manifest; a second for each 1 to 2 GB."""

_OWN_TABLES = ("source", "shaped", "moments")


class Ingested(NamedTuple):
    """The outputs of `ingest_examples`."""

    fingerprint: str
    train_rows: int
    eval_rows: int


@dataclass(frozen=True)
class Options:
    """How rows are read, shaped and split; as in `ingest_examples`."""

    query: str
    eval_fraction: float
    split_columns: tuple[str, ...]
    time_column: str
    file_format: str
    csv_columns: tuple[str, ...]
    encoding: str
    reading: Reading
    learnt: Learnt


def ingest_examples(
    source: str,
    examples: str,
    spans: str = "latest",
    query: str = "",
    eval_fraction: float = 0.2,
    split_columns: Sequence[str] = (),
    source_fingerprint: str = "",
    time_column: str = "",
    tables: Sequence[str] = (),
    file_format: str = AUTO,
    csv_columns: Sequence[str] = (),
    encoding: str = UTF_8,
    types: Mapping[str, str] | str = "",
    missing_words: Sequence[str] | None = None,
    baseline_uri: str = "",
    schema_uri: str = "",
    accept: Sequence[str] = (),
) -> Ingested:
    """Reads the spans and writes the examples artifact, all of it or nothing.

    Args:
        source: A file, a folder, or a pattern with `spans.PLACEHOLDERS`; with `{SPLIT}` the source gives the split.
        examples: The folder to write.
        spans: A selection as in `selecting.select_spans`.
        query: One SELECT over the table `source` and the `tables`, applied to each span by itself; empty: all columns
            and rows.
        eval_fraction: Share of the rows that goes to eval, in (0, 1).
        split_columns: Columns whose values decide the side; empty: all.
        source_fingerprint: What the files' fingerprint must be; empty: anything.
        time_column: The newest rows by this column go to eval, instead of those chosen by hash.
        tables: Further tables for the query, each as `name=path or pattern`.
        file_format: `parquet`, `csv`, `jsonl`, `tfrecord`, or `auto`: by the files' endings.
        csv_columns: Names for CSV files without a header; empty: the first line is the header.
        encoding: Of CSV and JSON files.
        types: What columns are, before the query sees them: `string`, `int64`, `double`, `boolean`, `timestamp` or
            `date` by column, as `given_types` reads them; the others' values decide.
        missing_words: Words that stand for a missing value in every column; None: `text_values.MISSING_WORDS`, in
            columns that are no text.
        baseline_uri: The version whose data came before: what a column was then, it is read as now.
        schema_uri: A curated schema that says it instead, as `learnt_types` takes it.
        accept: Columns that are meant to be otherwise from now on: their values decide.

    Raises:
        UserError: Wrong parameters, files or SQL; a span without rows; files that changed since they were resolved.
    """
    if not 0 < eval_fraction < 1:
        raise UserError(f"eval_fraction is {eval_fraction}; it must lie between 0 and 1, both excluded")
    given = "{SPLIT}" in source
    if sum((given, bool(time_column), bool(split_columns))) > 1:
        raise UserError("give one of split_columns, time_column and {SPLIT} in source: each decides the split")
    if not spans:
        raise UserError("spans is empty: there is nothing to ingest (resolve_spans found too few, and was to skip)")
    chosen = select_spans(find_spans(source), spans)
    fingerprint = fingerprint_files(chosen)
    if source_fingerprint and fingerprint != source_fingerprint:
        raise UserError(f"{source}: the files have changed since their spans were resolved; run again")

    options = Options(
        query,
        eval_fraction,
        tuple(split_columns),
        time_column,
        file_format,
        tuple(csv_columns),
        encoding,
        Reading(read_types(types), None if missing_words is None else tuple(missing_words)),
        learnt_types(baseline_uri, schema_uri, accept, bool(query)),
    )
    joined = dict(map(_named_table, tables))
    target = Path(examples)
    with storage.publishing_directory(target) as folder, _write_errors_named(target):
        manifest = _write_examples(chosen, source, joined, options, folder)
        made_of = recipe.digest(
            source,
            in_words(chosen),
            fingerprint,
            query=query,
            tables=tables,
            types=types,
            eval_fraction=eval_fraction,
            split_columns=split_columns,
            time_column=time_column,
            file_format=file_format,
            csv_columns=csv_columns,
            encoding=encoding,
            missing_words=missing_words,
        )
        manifest = dataclasses.replace(manifest, recipe=made_of)
        manifests.write(manifest, folder / manifests.EXAMPLES_MANIFEST)
    print(
        f"examples of spans {in_words(chosen)}: {manifest.rows['train']:,} train and {manifest.rows['eval']:,} eval "
        f"rows, {len(manifest.columns)} columns",
        flush=True,
    )
    return Ingested(manifest.fingerprint, manifest.rows["train"], manifest.rows["eval"])


def _named_table(item: str) -> tuple[str, Span]:
    name, separator, pattern = item.partition("=")
    if not separator or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()) or name.strip() in _OWN_TABLES:
        raise UserError(f"tables: {item!r} is not understood; say name=path, such as weather=data/weather.csv")
    found = find_spans(pattern.strip())
    return name.strip(), Span(name.strip(), tuple(file for span in found for file in span.files))


@contextlib.contextmanager
def _write_errors_named(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UserError(
                f"{target}: a file may not grow so large here (ulimit -f); nothing was published"
            ) from error
        raise


@contextlib.contextmanager
def _copies_named(spans: Sequence[Span], joined: dict[str, Span], scratch: str) -> Iterator[None]:
    """Lets errors name a file by its own URI, where it was copied from a bucket."""
    try:
        yield
    except UserError as error:
        uris = {file.uri.rpartition("/")[2]: file.uri for span in [*spans, *joined.values()] for file in span.files}
        copies = rf"{re.escape(scratch)}/(?:[^/\s'\"]+/)*?[0-9]+-copy/([^'\"]*?)(?=[\s:'\",]|$)"
        raise UserError(re.sub(copies, lambda found: uris.get(found[1], found[1]), str(error))) from error


def _write_examples(
    spans: Sequence[Span], source: str, joined: dict[str, Span], options: Options, folder: Path
) -> manifests.ExamplesManifest:
    with tempfile.TemporaryDirectory(prefix=".scratch.", dir=folder) as scratch, _copies_named(spans, joined, scratch):
        portions = {
            span.name: _stage_sides(span, source, options, Path(scratch) / f"span-{number}")
            for number, span in enumerate(spans)
        }
        said = Said()
        every = _typed(
            [portion for sides in portions.values() for portion in sides.values()],
            options,
            Path(scratch),
            SOURCE,
            said,
        )
        portions = _in_place_of(portions, every)
        tables = [
            table
            for name, span in joined.items()
            for table in _typed(
                [_stage(span, options, Path(scratch) / f"table-{name}")], options, Path(scratch), name, said
            )
        ]
        refuse_unknown(options.reading.types, [name for portion in [*every, *tables] for name in portion.columns])
        files = [file for portion in [*every, *tables] for file in portion.files]
        connection = rows.connect(files, Path(scratch), repeatable.needs_one_thread(options.query))
        for table in tables:
            rows.add_table(connection, table, table.name)
        with contextlib.closing(connection):
            columns, held, content = _write_portions(connection, portions, source, options, folder, said)
        for line in said.lines:
            print(line, flush=True)
    return manifests.ExamplesManifest(
        rows={split: part.rows for split, part in content.items()},
        columns=columns,
        spans=[span.name for span in spans],
        fingerprint=_fingerprint(columns, content),
        source={"uri": source, "files": _files_in_manifest(spans), "tables": _files_in_manifest(joined.values())},
        query=options.query,
        versions=manifests.code_versions("duckdb", "numpy", "pyarrow"),
        read_as={SOURCE: _read_as(every), **{table.name: _read_as([table]) for table in tables}},
        **held,
    )


def _typed(portions: Sequence[Portion], options: Options, scratch: Path, name: str, said: Said) -> list[Portion]:
    """Returns the portions of one table with the types of their columns decided over all of them."""
    reading = options.learnt.reading(name, options.reading)
    with contextlib.closing(rows.connect_freely(scratch)) as connection:
        if portions[0].format == "parquet":
            return parquet_tables.typed(connection, portions, reading, said)
        return text_tables.to_parquet(connection, portions, scratch / f"typed-{name}", reading, said)


def _read_as(portions: Sequence[Portion]) -> dict[str, str]:
    return {name: kind for portion in portions for name, kind in portion.read_as.items()}


def _in_place_of(portions: dict[str, dict[str, Portion]], typed: Sequence[Portion]) -> dict[str, dict[str, Portion]]:
    found = iter(typed)
    return {name: {side: next(found) for side in sides} for name, sides in portions.items()}


def _stage_sides(span: Span, source: str, options: Options, scratch: Path) -> dict[str, Portion]:
    """Returns the span's files as one portion under the empty name, or as given by the source, a portion per split."""
    sides = {file.side: [other for other in span.files if other.side == file.side] for file in span.files}
    missing = [split for split in (TRAIN, EVAL) if split not in sides]
    if "" not in sides and missing:
        raise UserError(f"{source}: span {span.name} has no files for {missing[0]} where {{SPLIT}} stands")
    return {side: _stage(Span(span.name, tuple(files)), options, scratch / side) for side, files in sides.items()}


def _stage(span: Span, options: Options, scratch: Path) -> Portion:
    scratch.mkdir(parents=True)
    return stage(span.name, span.files, scratch, options.file_format, options.csv_columns, options.encoding)


def _write_portions(
    connection: duckdb.DuckDBPyConnection,
    portions: dict[str, dict[str, Portion]],
    source: str,
    options: Options,
    folder: Path,
    said: Said,
) -> tuple[dict[str, str], dict[str, Any], dict[str, Content]]:
    query = rows.check_query(connection, options.query)
    every = {
        f"{name} ({side})" if side else name: portion
        for name, sides in portions.items()
        for side, portion in sides.items()
    }
    shapes = {name: rows.shape(connection, portion, query) for name, portion in every.items()}
    columns = column_types.merge_columns(shapes, said.add, options.learnt.examples)
    dealt = dealing(
        connection,
        every,
        query,
        columns,
        options.eval_fraction,
        options.split_columns,
        options.time_column,
        given=any(side for sides in portions.values() for side in sides),
        earlier=options.learnt.split,
    )
    content = dict.fromkeys((TRAIN, EVAL), Content())
    for split in content:
        (folder / split).mkdir()
    for name, of_side in portions.items():
        started = time.monotonic()
        targets = {split: folder / split / f"{name}.parquet" for split in content}
        written: dict[str, Content] = {}
        for side, portion in of_side.items():
            batches = rows.stream(connection, portion, query, columns, dealt.identities.get(name, ""))
            of_targets = {side: targets[side]} if side else targets
            written |= write_splits(batches, columns, all_to(side) if side else dealt.sides, of_targets)
        count = sum(part.rows for part in written.values())
        if not count:
            kept = " that the query keeps" if query != rows.WHOLE else ""
            raise UserError(f"{source}: span {name} has no rows{kept}")
        content = {split: content[split] + part for split, part in written.items()}
        print(f"span {name}: {count:,} rows in {time.monotonic() - started:.1f} s", flush=True)
    say_what_lies_together(content, options.eval_fraction, dealt.told, said)
    whole = [name for name, kind in columns.items() if kind == "int64"]
    kinds = {"moments": column_types.moments(shapes), "booleans": column_types.booleans(shapes)}
    held = {what: [name for name in names if name in whole] for what, names in kinds.items()}
    return columns, {**held, "split": dealt.told}, content


def _files_in_manifest(spans: Iterable[Span]) -> list[dict[str, object]]:
    return [
        {"uri": _absolute(file.uri), "bytes": file.size, "generation": file.generation} | _content(file)
        for span in spans
        for file in span.files
    ]


def _absolute(uri: str) -> str:
    """Returns a file's URI in a form that means the same wherever it is read."""
    return uri if is_elsewhere(uri) else str(storage.as_path(uri).absolute())


def _content(file: File) -> dict[str, str]:
    """Returns the digest of a file on this machine, by which it is known under another name, too.

    A bucket's generation tells one content from another by itself; so do size and time of change of very large files.
    """
    if is_elsewhere(file.uri) or file.size > LARGEST_HASHED:
        return {}
    digest = hashlib.sha256()
    with storage.as_path(file.uri).open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest()}


def _fingerprint(columns: dict[str, str], content: dict[str, Content]) -> str:
    """Hashes the columns (in any order) and, by split, how many rows there are, and their hashes' sum and parity."""
    parts = {split: [part.rows, str(part.total), str(part.parity)] for split, part in content.items()}
    return f"sha256:{hashlib.sha256(json.dumps([columns, parts], sort_keys=True).encode()).hexdigest()}"
