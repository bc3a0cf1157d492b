"""Examples out of spans: shaped by SQL, split by hash, written as Parquet with a manifest."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.ingestion import rows
from mainspring.components.ingestion.spans import Span, find_spans, fingerprint_files, in_words, select_spans


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
    with storage.publishing_directory(target) as folder:
        manifest = _write_examples(chosen, source, query, eval_fraction, split_columns, folder)
        manifests.write(manifest, folder / manifests.EXAMPLES_MANIFEST)
    print(
        f"examples of spans {in_words(chosen)}: {manifest.rows['train']:,} train and {manifest.rows['eval']:,} eval "
        f"rows, {len(manifest.columns)} columns",
        flush=True,
    )
    return Ingested(manifest.fingerprint, manifest.rows["train"], manifest.rows["eval"])


def _write_examples(
    spans: Sequence[Span],
    source: str,
    query: str,
    eval_fraction: float,
    split_columns: Sequence[str],
    folder: Path,
) -> manifests.ExamplesManifest:
    files = [file for span in spans for file in span.files]
    connection = rows.connect(files, folder)
    query = rows.check_query(connection, query)
    columns = rows.merge_columns({span.name: rows.shape(connection, span, query) for span in spans})
    unknown = [name for name in split_columns if name not in columns]
    if unknown:
        raise UserError(f"split_columns: {', '.join(unknown)} is no column; there are {', '.join(columns)}")

    threshold = round(eval_fraction * rows.BUCKETS)
    conditions = {"train": f"__bucket >= {threshold}", "eval": f"__bucket < {threshold}"}
    for split in conditions:
        (folder / split).mkdir()
    content = dict.fromkeys(conditions, (0, 0, 0))
    for span in spans:
        started = time.monotonic()
        count = rows.materialise(connection, span, query, columns, split_columns)
        if not count:
            raise UserError(
                f"{source}: span {span.name} has no rows{' that the query keeps' if query != rows.WHOLE else ''}"
            )
        for split, condition in conditions.items():
            written = rows.write_split(connection, condition, folder / split / f"{span.name}.parquet")
            content[split] = _together(content[split], written)
        print(f"span {span.name}: {count:,} rows in {time.monotonic() - started:.1f} s", flush=True)
    connection.close()
    return manifests.ExamplesManifest(
        rows={split: count for split, (count, _, _) in content.items()},
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
        versions=manifests.code_versions("duckdb"),
    )


def _together(left: tuple[int, int, int], right: tuple[int, int, int]) -> tuple[int, int, int]:
    return left[0] + right[0], left[1] + right[1], left[2] ^ right[2]


def _fingerprint(columns: dict[str, str], content: dict[str, tuple[int, int, int]]) -> str:
    """Hashes the columns and, by split, how many rows there are and the sum and exclusive or of their hashes."""
    text = json.dumps([columns, {split: [str(part) for part in parts] for split, parts in content.items()}])
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
