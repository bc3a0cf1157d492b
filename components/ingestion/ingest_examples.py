"""Examples out of spans: shaped by SQL, split by hash, written as Parquet with a manifest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.ingestion import rows
from mainspring.components.ingestion.spans import Span, find_spans, fingerprint_files, in_words, select_spans
from mainspring.components.ingestion.splitting import EVAL, TRAIN, Content, by_hash, write_splits


class Ingested(NamedTuple):
    """The outputs of `ingest_examples`."""

    fingerprint: str
    train_rows: int
    eval_rows: int


def ingest_examples(
    source: str,
    examples: str,
    spans: str = "latest",
    query: str = "",
    eval_fraction: float = 0.2,
    split_columns: Sequence[str] = (),
    source_fingerprint: str = "",
) -> Ingested:
    """Reads the spans and writes the examples artifact, all of it or nothing.

    Args:
        source: A file, a folder, or a pattern with `{SPAN}`.
        examples: The folder to write.
        spans: A selection as in `spans.select_spans`.
        query: One SELECT over the table `source`, applied to each span by itself; empty: all columns and rows.
        eval_fraction: Share of the rows that goes to eval, in (0, 1).
        split_columns: Columns whose values decide the side; empty: all.
        source_fingerprint: What the files' fingerprint must be; empty: anything.

    Raises:
        UserError: Wrong parameters, files or SQL; a span without rows; files that changed since they were resolved.
    """
    if not 0 < eval_fraction < 1:
        raise UserError(f"eval_fraction is {eval_fraction}; it must lie between 0 and 1, both excluded")
    chosen = select_spans(find_spans(source), spans)
    if source_fingerprint and fingerprint_files(chosen) != source_fingerprint:
        raise UserError(f"{source}: the files have changed since their spans were resolved; run again")

    target = Path(examples)
    with storage.publishing_directory(target) as folder, _write_errors_named(target):
        manifest = _write_examples(chosen, source, query, eval_fraction, split_columns, folder)
        manifests.write(manifest, folder / manifests.EXAMPLES_MANIFEST)
    print(
        f"examples of spans {in_words(chosen)}: {manifest.rows['train']:,} train and {manifest.rows['eval']:,} eval "
        f"rows, {len(manifest.columns)} columns",
        flush=True,
    )
    return Ingested(manifest.fingerprint, manifest.rows["train"], manifest.rows["eval"])


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


def _write_examples(
    spans: Sequence[Span],
    source: str,
    query: str,
    eval_fraction: float,
    split_columns: Sequence[str],
    folder: Path,
) -> manifests.ExamplesManifest:
    files = [file for span in spans for file in span.files]
    with tempfile.TemporaryDirectory(prefix=".scratch.", dir=folder) as scratch:
        connection = rows.connect(files, Path(scratch))
        query = rows.check_query(connection, query)
        columns = rows.merge_columns({span.name: rows.shape(connection, span, query) for span in spans})
        unknown = [name for name in split_columns if name not in columns]
        if unknown:
            raise UserError(f"split_columns: {', '.join(unknown)} is no column; there are {', '.join(columns)}")
        content = dict.fromkeys((TRAIN, EVAL), Content())
        for split in content:
            (folder / split).mkdir()
        for span in spans:
            started = time.monotonic()
            written = write_splits(
                rows.stream(connection, span, query, columns),
                columns,
                by_hash(eval_fraction, split_columns),
                {split: folder / split / f"{span.name}.parquet" for split in content},
            )
            count = sum(part.rows for part in written.values())
            if not count:
                kept = " that the query keeps" if query != rows.WHOLE else ""
                raise UserError(f"{source}: span {span.name} has no rows{kept}")
            content = {split: content[split] + part for split, part in written.items()}
            print(f"span {span.name}: {count:,} rows in {time.monotonic() - started:.1f} s", flush=True)
        connection.close()
    return manifests.ExamplesManifest(
        rows={split: part.rows for split, part in content.items()},
        columns=columns,
        spans=[span.name for span in spans],
        fingerprint=_fingerprint(columns, content),
        source={
            "uri": source,
            "files": [
                {"uri": str(file), "bytes": file.stat().st_size, "modified": file.stat().st_mtime} for file in files
            ],
        },
        query=query,
        versions=manifests.code_versions("duckdb", "numpy", "pyarrow"),
    )


def _fingerprint(columns: dict[str, str], content: dict[str, Content]) -> str:
    """Hashes the columns (in any order) and, by split, how many rows there are, and their hashes' sum and parity."""
    parts = {split: [part.rows, str(part.total), str(part.parity)] for split, part in content.items()}
    return f"sha256:{hashlib.sha256(json.dumps([columns, parts], sort_keys=True).encode()).hexdigest()}"
