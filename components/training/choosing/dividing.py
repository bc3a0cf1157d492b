"""Train, divided for a comparison: an examples folder of its own, whose eval is rows of train that are held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mainspring.components.training.features.labels import labelled
from mainspring.components.training.rows.examples import count_rows
from mainspring.components.training.rows.preparing import Examples

HELD_OUT = 0.2
MOST_HELD_OUT = 10_000
"""As many rows tell kinds of model apart; the others are better learned from."""


def divide(examples: Examples, scratch: Path, seed: int) -> Examples:
    """Writes train's rows with a label into two parts, and returns examples of which the smaller part is eval.

    Args:
        examples: From `open_examples`; its eval is never read.
        scratch: Folder to write to.
        seed: Of the choice of rows.
    """
    folder = scratch / "divided"
    rows = count_rows(examples.folder, "train", examples.manifest)
    random, share = np.random.default_rng(seed), min(HELD_OUT, MOST_HELD_OUT / max(rows, 1))
    written = {"train": 0, "eval": 0}
    kinds = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
    schema = pa.schema([pa.field(name, kinds[examples.manifest.columns[name]]) for name in examples.columns])
    for split in written:
        (folder / split).mkdir(parents=True)
    with (
        pq.ParquetWriter(folder / "train" / "rows.parquet", schema, compression="lz4") as train,
        pq.ParquetWriter(folder / "eval" / "rows.parquet", schema, compression="lz4") as held_out,
    ):
        for batch in examples.batches("train"):
            known = batch.filter(labelled(batch[examples.label])).cast(schema)
            is_held = pa.array(random.random(len(known)) < share)
            for split, writer, some in (("eval", held_out, is_held), ("train", train, pc.invert(is_held))):
                part = known.filter(some)
                writer.write_table(part)
                written[split] += len(part)
    return replace(examples, folder=folder, manifest=replace(examples.manifest, rows=written))
