"""Memory does not grow with the rows: both splits of a table that does not fit are read a part at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from samples import write_examples

COLUMNS = 24
SMALL, LARGE = 150_000, 900_000
ENCODED_MIB = (LARGE - SMALL) * (3 * COLUMNS + 1) * 4 / 2**20
"""What the additional rows are where they are held encoded: an id, a number and an indicator a column, and a target."""
PEAKS = """
import json, sys
from pathlib import Path
from benchmarks.peak_memory import peak_mebibytes
from samples import Recorder
from mainspring.components.training.rows import blocks, examples, preparing
from mainspring.components.training.features import surveying
from mainspring.components.training.train_model import train_model
surveying.RESIDENT_CELLS = preparing.JUDGED_CELLS = 1_000_000
blocks.BLOCK_ROWS = examples.BATCH_ROWS = 16_384  # So that the smaller table, too, has many of them.
peaks = []
for place, folder in enumerate(sys.argv[1:]):
    out = Path(folder).with_name(f"out-{place}")
    train_model(
        examples=folder, schema=folder, label="y", model=str(out / "model"), report=str(out / "report.html"),
        metrics=Recorder(), hidden_units=[4], embedding_size=2, max_crosses=0, max_epochs=1, batch_size=2048,
    )
    peaks.append(peak_mebibytes())
print(json.dumps(peaks))
"""


def test_six_times_the_rows_of_a_table_that_does_not_fit_take_no_more_memory(tmp_path: Path) -> None:
    folders = [str(_examples(tmp_path / str(rows), rows)) for rows in (SMALL, LARGE)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path])}
    command = [sys.executable, "-c", PEAKS, *folders]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    small, large = json.loads(done.stdout.splitlines()[-1])
    # The process never gives its peak back, so the second figure is the first one's or more.
    assert large - small < ENCODED_MIB / 2, f"{small:.0f} MiB, then {large:.0f} MiB"


def _examples(folder: Path, rows: int) -> Path:
    def table(count: int, seed: int) -> pa.Table:
        random = np.random.default_rng(seed)
        columns = {f"x{place}": random.random(count) for place in range(COLUMNS)}
        return pa.table(columns | {"y": (columns["x0"] > 0.5).astype(np.int64)})

    return write_examples(folder, table(rows * 9 // 10, 1), table(rows // 10, 2))
