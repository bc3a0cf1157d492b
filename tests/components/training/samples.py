"""Small examples artifacts, written as ingestion writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 65_536
SCHEMA_TYPES = {"int64": "INT", "double": "FLOAT", "string": "BYTES"}


@dataclass
class Recorder:
    """Stands for KFP's Metrics artifact."""

    figures: dict[str, float] = field(default_factory=dict)

    def log_metric(self, metric: str, value: float) -> None:
        self.figures[metric] = value


@dataclass
class Trained:
    """What one call of `train_model` left."""

    folder: Path
    fingerprint: str
    metrics: dict[str, float]
    report: str
    manifest: dict[str, Any]
    examples: Path


def write_examples(folder: Path, train: pa.Table, evaluation: pa.Table, extra_schema: str = "") -> Path:
    """Writes the artifact, and beside it `schema.pbtxt` with a feature per column."""
    types = {name: str(kind) for name, kind in zip(train.column_names, train.schema.types, strict=True)}
    for split, table in (("train", train), ("eval", evaluation)):
        (folder / split).mkdir(parents=True)
        half = len(table) // 2
        pq.write_table(table.slice(0, half), folder / split / "1.parquet", row_group_size=ROW_GROUP)
        pq.write_table(table.slice(half), folder / split / "2.parquet", row_group_size=ROW_GROUP)
    manifest = {
        "rows": {"train": len(train), "eval": len(evaluation)},
        "columns": types,
        "spans": ["1", "2"],
        "fingerprint": "sha256:examples",
        "source": {},
        "query": "",
        "versions": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "schema.pbtxt").write_text(
        "".join(
            f"feature {{ name: {json.dumps(name, ensure_ascii=False)} type: {SCHEMA_TYPES[kind]} }}\n"
            for name, kind in types.items()
        )
        + extra_schema
    )
    return folder


def table_of(**columns: Any) -> pa.Table:
    kinds = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
    return pa.table({name: pa.array(values, kinds[kind]) for name, (kind, values) in columns.items()})


def mixed_rows(rows: int, seed: int) -> dict[str, tuple[str, list[Any]]]:
    """Returns features of every kind, with missing values, and a `score` that they explain."""
    random = np.random.default_rng(seed)
    size = random.normal(size=rows)
    count = random.integers(0, 9, rows)
    colour = random.choice(["red", "green", "blue"], rows)
    score = 2 * size + count / 2 + 3 * (colour == "red") + random.normal(size=rows) / 4

    def with_gaps(values: list[Any]) -> list[Any]:
        return [None if gap else value for value, gap in zip(values, random.random(rows) < 0.05, strict=True)]

    return {
        "size": ("double", with_gaps(size.tolist())),
        "count": ("int64", with_gaps(count.tolist())),
        "colour": ("string", with_gaps(colour.tolist())),
        "score": ("double", score.tolist()),
    }


def binary_rows(rows: int, seed: int) -> pa.Table:
    columns = mixed_rows(rows, seed)
    score = np.array(columns.pop("score")[1])
    return table_of(**columns, good=("int64", (score > 3).astype(int).tolist()))
