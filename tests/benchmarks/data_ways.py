"""One of the things that `data_bench` compares, timed in the environment of its component: `data_ways.py WHAT FROM TO`.

Prints seconds (the median, imports left out), the process's peak memory and the rows as JSON.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peak_memory import peak_mebibytes

REPEATS = 3
ENOUGH_SECONDS = 8.0
"""What takes longer than this is not repeated."""

LABEL = "late"
QUERY = "SELECT * EXCLUDE (arr_delay), arr_delay > 15 AS late FROM source WHERE arr_delay IS NOT NULL"


def main(what: str, source: Path, target: Path) -> None:
    """Times one way and prints what was measured."""
    way, seconds, rows = WAYS[what](source, target), [], 0
    while len(seconds) < REPEATS and sum(seconds) < ENOUGH_SECONDS:
        started = time.perf_counter()
        rows = way()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": statistics.median(seconds), "mebibytes": peak_mebibytes(), "rows": rows}))


def copy(source: Path, target: Path) -> Callable[[], int]:
    """DuckDB's COPY from Parquet to Parquet, bare."""
    import duckdb

    def way() -> int:
        found = duckdb.execute(f"COPY (FROM read_parquet('{source}')) TO '{target}' (FORMAT parquet)").fetchone()
        return int(found[0]) if found else 0

    return way


def ingest(source: Path, target: Path) -> Callable[[], int]:
    """The whole of ingestion: Parquet, SQL, split, fingerprint, files synced to disk."""
    from mainspring.components.ingestion.ingest_examples import ingest_examples

    def way() -> int:
        shutil.rmtree(target, ignore_errors=True)
        done = ingest_examples(str(source), str(target), query=QUERY)
        return done.train_rows + done.eval_rows

    return way


def tfdv(examples: Path, _: Path) -> Callable[[], int]:
    """TFDV's own call for the protos that ours makes, on all rows of train as one batch, read from the same files."""
    from mainspring.components.statistics import span_statistics

    return _in_memory(examples, span_statistics.options())


def tfdv_plain(examples: Path, _: Path) -> Callable[[], int]:
    """The same with TFDV's defaults: a tenth of the quantile buckets."""
    from tensorflow_data_validation import StatsOptions

    return _in_memory(examples, StatsOptions())


def _in_memory(examples: Path, options: Any) -> Callable[[], int]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
    from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

    def way() -> int:
        table = pa.concat_tables(map(pq.read_table, _train(examples))).combine_chunks()
        found = generate_statistics_in_memory(CanonicalizeRecordBatch(table.to_batches()[0]), options)
        return int(found.datasets[0].num_examples)

    return way


def ours(examples: Path, _: Path) -> Callable[[], int]:
    """Our statistics of the same rows."""
    from mainspring.components.statistics import span_statistics

    def way() -> int:
        pieces = [piece for file in _train(examples) for piece in span_statistics.pieces(file)]
        return int(span_statistics.dataset(span_statistics.extract(span_statistics.accumulate(pieces))).num_examples)

    return way


def validation(examples: Path, _: Path) -> Callable[[], int]:
    """The whole of validation: statistics of every split, schema, anomalies, checks of rows, report."""
    from mainspring.components.validation.validate_examples import validate_examples

    def way() -> int:
        with tempfile.TemporaryDirectory() as folder:
            out = [str(Path(folder) / name) for name in ("statistics", "schema", "anomalies", "report.html")]
            validate_examples(str(examples), LABEL, *out)
        return sum(json.loads((examples / "manifest.json").read_text())["rows"].values())

    return way


def _train(examples: Path) -> list[Path]:
    return sorted((examples / "train").glob("*.parquet"))


WAYS = {
    "copy": copy,
    "ingest": ingest,
    "tfdv": tfdv,
    "tfdv_plain": tfdv_plain,
    "statistics": ours,
    "validation": validation,
}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
