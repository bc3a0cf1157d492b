"""One random table as CSV, JSON lines, Parquet by DuckDB, Parquet by Arrow and TFRecord gives the same examples."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import thorough
from tables import read_split, write_file
from test_tfrecord import record

from mainspring.components.ingestion.ingest_examples import ingest_examples

Row = dict[str, Any]

WORDS = ("a", "NA", "null", "007", "1E5", "0x1F", "é, ü", 'say "no"', "two\nlines", "2026-13-01", "yes", "true!", " x ")
KINDS: dict[str, tuple[pa.DataType, Callable[[random.Random], Any]]] = {
    "whole": (pa.int64(), lambda r: r.randint(-(10 ** r.randint(1, 15)), 10 ** r.randint(1, 15))),
    "large": (pa.int64(), lambda r: r.choice([2**63 - 1, -(2**63), 2**53 + r.randint(0, 9)])),
    "number": (pa.float64(), lambda r: r.choice([0.5, -1e-300, 1.7e308, r.gauss(0, 1e3), r.random() * 1e-9])),
    "text": (pa.string(), lambda r: r.choice(WORDS) + r.choice(("", "", "ß"))),
}
"""How values of a column come about. Each column has a fraction, or a word, that makes it what it is in every file."""

SURE = {"whole": 1, "large": 2**53 + 1, "number": 0.25, "text": "a word"}
FORMS = ("csv", "jsonl", "duckdb", "arrow", "tfrecord")
SEEDS = range(200)


def table_of(seed: int) -> tuple[dict[str, pa.DataType], list[Row]]:
    """Returns a random table: the types of its columns, and its rows, of which each has a number of its own."""
    chance = random.Random(seed)
    kinds = {f"{kind}_{place}": kind for place, kind in enumerate(chance.choices(list(KINDS), k=chance.randint(1, 5)))}
    rows: list[Row] = []
    for number in range(chance.randint(12, 60)):
        row: Row = {"row": number}
        for name, kind in kinds.items():
            is_sure = number % 4 == 0  # In each of three files as well.
            row[name] = SURE[kind] if is_sure else None if chance.random() < 0.2 else KINDS[kind][1](chance)
        rows.append(row)
    return {"row": pa.int64(), **{name: KINDS[kind][0] for name, kind in kinds.items()}}, rows


def written(folder: Path, form: str, types: dict[str, pa.DataType], parts: Sequence[list[Row]], zipped: bool) -> str:
    """Writes the parts of a table as files of a form; returns the source."""
    folder.mkdir()
    for place, rows in enumerate(parts):
        if form in ("duckdb", "arrow"):
            path = folder / f"{place}.parquet"
            pq.write_table(pa.Table.from_pylist(rows, pa.schema(types)), path, row_group_size=7)
            if form == "duckdb":
                again = path.with_name(f"again-{place}.parquet")
                write_file(again, f"FROM read_parquet('{path}')", "(FORMAT parquet, ROW_GROUP_SIZE 2048)")
                path.unlink()
            continue
        ending = ".gz" if zipped else ""
        content = {"csv": csv_of, "jsonl": json_of, "tfrecord": records_of}[form](rows, list(types))
        (folder / f"{place}.{form}{ending}").write_bytes(gzip.compress(content) if zipped else content)
    return str(folder)


def csv_of(rows: list[Row], names: list[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: repr(v) if isinstance(v, float) else v for name, v in row.items()} for row in rows)
    return text.getvalue().encode()


def json_of(rows: list[Row], names: list[str]) -> bytes:
    kept = ({name: row[name] for name in names if row[name] is not None} for row in rows)
    return "".join(json.dumps(row) + "\n" for row in kept).encode()


def records_of(rows: list[Row], names: list[str]) -> bytes:
    def listed(value: Any) -> list[Any]:
        return [value.encode() if isinstance(value, str) else value]

    return b"".join(record(**{name: listed(row[name]) for name in names if row[name] is not None}) for row in rows)


def examples_of(folder: Path, source: str, names: list[str]) -> tuple[Any, list[Row], list[Row]]:
    to = folder.with_name(folder.name + "-examples")
    done = ingest_examples(source, str(to), eval_fraction=0.4)
    train, evaluate = (sorted(read_split(to, split, ", ".join(names)), key=repr) for split in ("train", "eval"))
    return done, train, evaluate


@pytest.mark.parametrize("seed", thorough.sampled(SEEDS, 2))
def test_a_table_gives_the_same_examples_in_every_form_and_layout(seed: int) -> None:
    types, rows = table_of(seed)
    is_single = any("number" in name for name in types)  # TFRecord holds 32 bits of a number.
    ways = [(form, count, zipped) for form in FORMS for count in (1, 3) for zipped in (False, True)]
    ways = [
        way
        for way in ways
        if not (way[2] and way[0] in ("duckdb", "arrow")) and not (is_single and way[0] == "tfrecord")
    ]
    with tempfile.TemporaryDirectory() as name:
        found = {}
        for form, count, zipped in ways if thorough.IS_WHOLE else ways[seed % 2 :: 2]:
            folder = Path(name) / f"{form}-{count}-{zipped}"
            parts = [rows[start::count] for start in range(count)]
            found[form, count, zipped] = examples_of(folder, written(folder, form, types, parts, zipped), list(types))
        first = next(iter(found.values()))
        assert {way for way, one in found.items() if one != first} == set()
        assert sorted(first[1] + first[2], key=repr) == sorted((tuple(row.values()) for row in rows), key=repr)
