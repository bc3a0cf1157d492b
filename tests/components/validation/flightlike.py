"""Small examples artifacts that look like flights, and one call of `validate_examples`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mainspring.components.validation.validate_examples import validate_examples

ROWS = 3000
CARRIERS = ["AA", "B6", "DL", "EV", "UA", "WN"]


def span(number: int) -> pa.Table:
    """A month: natural noise, a few new tail numbers, the month's own number, some unknown aircraft."""
    random = np.random.default_rng(number)
    shift = 0.02 * np.sin(number)
    shares = [0.3 + shift, 0.25 - shift, 0.2, 0.15, 0.08, 0.02]
    seats = random.choice([50, 149, 180, 300], ROWS, p=[0.2, 0.5, 0.2, 0.1])
    return pa.table(
        {
            "month": pa.array([number] * ROWS, pa.int64()),
            "distance": np.minimum(random.gamma(4, 250, ROWS).astype(np.int64) + 80, 2800),
            "carrier": random.choice(CARRIERS, ROWS, p=shares),
            "tail": [f"N{tail}" for tail in random.integers(number * 20, 700 + number * 20, ROWS)],
            "seats": pa.array(seats, pa.int64(), mask=random.random(ROWS) < 0.15),
            "late": (random.random(ROWS) < 0.25 + shift).astype(np.int64),
        }
    )


def changed(table: pa.Table, **columns: Any) -> pa.Table:
    """The table with some columns' values replaced, of the same type where the values allow it."""
    for name, values in columns.items():
        same = table.schema.field(name).type
        array = (
            pa.array(values) if not isinstance(values, list) or isinstance(values[0], float) else pa.array(values, same)
        )
        table = table.set_column(table.schema.get_field_index(name), name, array)
    return table


def write_examples(folder: Path, spans: dict[str, pa.Table], eval_share: float = 0.2) -> Path:
    """Writes an examples artifact; every row whose index falls below `eval_share` goes to eval."""
    counts = {"train": 0, "eval": 0}
    for split in counts:
        (folder / split).mkdir(parents=True)
    for name, table in spans.items():
        in_eval = (np.arange(table.num_rows) * 0.618) % 1 < eval_share
        for split, mask in (("train", ~in_eval), ("eval", in_eval)):
            part = table.filter(pa.array(mask))
            pq.write_table(part, folder / split / f"{name}.parquet", row_group_size=700)
            counts[split] += part.num_rows
    columns = {field.name: str(field.type) for field in next(iter(spans.values())).schema}
    manifest = {
        "rows": counts,
        "columns": columns,
        "spans": list(spans),
        "fingerprint": "sha256:test",
        "source": {},
        "query": "",
        "versions": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class Run:
    """One call of `validate_examples`, and what it left behind."""

    def __init__(self, folder: Path, examples: Path, label: str = "late", **parameters: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.statistics, self.schema, self.anomalies = folder / "statistics", folder / "schema", folder / "anomalies"
        self.valid, self.reasons, self.terms = validate_examples(
            examples=str(examples),
            label=label,
            statistics=str(self.statistics),
            schema=str(self.schema),
            anomalies=str(self.anomalies),
            report=str(folder / "report.html"),
            **parameters,
        )
        self.validation = json.loads((self.anomalies / "validation.json").read_text())
        self.said = "\n".join(one["sentence"] for one in self.validation["findings"] if one["error"])
        self.page = (folder / "report.html").read_text()
