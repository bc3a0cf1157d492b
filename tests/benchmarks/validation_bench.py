"""Statistics and whole validation beside TFDV's own in-memory call, on the same rows; run in validation's environment.

    python tests/benchmarks/validation_bench.py EXAMPLES [FACTOR ...]

EXAMPLES is an examples artifact of `ingest_examples`; its train split is repeated FACTOR times (1 3 10). Each figure
is the median of `REPEATS`, in a process of its own, imports left out; memory is the process's peak. The call of
TFDV's reads the same Parquet files into one batch, which is its fastest way.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPEATS = 3
LABEL = "late"
MEBIBYTE = 1 << 10


def main(arguments: list[str]) -> None:
    """Prints a line per factor."""
    examples, factors = Path(arguments[0]), [int(factor) for factor in arguments[1:]] or [1, 3, 10]
    print("factor        rows  TFDV s  MiB   statistics s  ratio  MiB   validation s  MiB")
    for factor in factors:
        with tempfile.TemporaryDirectory() as folder:
            larger = repeated(examples, factor, Path(folder) / "examples")
            rows, theirs, their_memory = measured("tfdv", larger)
            _, ours, our_memory = measured("statistics", larger)
            _, whole, whole_memory = measured("validation", larger)
            print(
                f"{factor:5}x {rows:12,} {theirs:7.2f} {their_memory:5.0f} {ours:13.2f} {ours / theirs:6.2f} "
                f"{our_memory:5.0f} {whole:13.2f} {whole_memory:5.0f}",
                flush=True,
            )


def repeated(examples: Path, factor: int, target: Path) -> Path:
    """Copies an examples artifact, each file `factor` times over as further spans."""
    manifest = json.loads((examples / "manifest.json").read_text())
    spans = [f"{span}-{copy}" for copy in range(factor) for span in manifest["spans"]]
    for split in ("train", "eval"):
        (target / split).mkdir(parents=True)
        for span in spans:
            source = examples / split / f"{span.rsplit('-', 1)[0]}.parquet"
            if source.exists():
                shutil.copy(source, target / split / f"{span}.parquet")
    (target / "manifest.json").write_text(json.dumps(manifest | {"spans": spans}))
    return target


def measured(what: str, examples: Path) -> tuple[int, float, float]:
    """Returns rows, median seconds and peak MiB of one of the ways, in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", what, str(examples)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return found["rows"], found["seconds"], found["mebibytes"]


def measure(what: str, examples: Path) -> None:
    """Times one of the ways and prints what was measured as JSON."""
    files = sorted((examples / "train").glob("*.parquet"))
    way, rows = ways(examples, files)[what], 0
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        rows = way() or rows
        seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE
    print(json.dumps({"rows": rows, "seconds": statistics.median(seconds), "mebibytes": peak}))


def ways(examples: Path, files: list[Path]) -> dict[str, Callable[[], int | None]]:
    """Returns what is compared: TFDV's call, our statistics, the whole component."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
    from tfx_bsl.arrow.table_util import CanonicalizeRecordBatch

    from mainspring.components.statistics import span_statistics
    from mainspring.components.validation import validate_examples

    def tfdv() -> int:
        table = pa.concat_tables(map(pq.read_table, files)).combine_chunks()
        return int(
            generate_statistics_in_memory(CanonicalizeRecordBatch(table.to_batches()[0])).datasets[0].num_examples
        )

    def ours() -> int:
        pieces = [piece for file in files for piece in span_statistics.pieces(file)]
        found = span_statistics.extract(span_statistics.accumulate(pieces))
        return int(span_statistics.dataset(found).num_examples)

    def validation() -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = [str(Path(folder) / name) for name in ("statistics", "schema", "anomalies", "report.html")]
            validate_examples.validate_examples(str(examples), LABEL, *out)

    return {"tfdv": tfdv, "statistics": ours, "validation": validation}


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main(sys.argv[1:])
