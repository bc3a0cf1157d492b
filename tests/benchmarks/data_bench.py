"""Ingestion, statistics and validation on the flights, beside DuckDB's bare COPY, TFDV's own call and TFX's path.

Run with `make bench` (`make bench TFX=1` for TFX's path as well: it needs an environment of its own, some gigabytes of
packages). Every figure is taken in a process of its own, imports left out, with the process's peak memory. The table is
the year of flights, repeated: 1x is 327,000 rows, 30x some 10 million.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

from mainspring.pipelines import environments

HERE = Path(__file__).parent
MAINSPRING = str(Path(sys.executable).parent / "mainspring")
FACTORS = (1, 10, 30)
TFDV_FACTORS = (1, 10)
"""TFDV's call takes all rows as one batch: at 30x it needs more memory than there may be."""
TFX = ("tfx==1.16.0", "setuptools<81", "dill")
YEAR = "SELECT * EXCLUDE (year, flight) FROM read_parquet('{files}')"


@dataclass(frozen=True)
class Figure:
    """What one process measured."""

    seconds: float
    mebibytes: float
    rows: int


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times ingestion and validation of the flights.")
    parser.add_argument("--tfx", action="store_true", help="run TFX's ExampleGen and StatisticsGen as well")
    parser.add_argument("--factors", type=int, nargs="+", default=FACTORS, help="sizes of the table (default 1 10 30)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        factors = sorted({1, *given.factors})
        tables = _tables(Path(folder), factors)
        print(f"{'':32} {'rows':>11} {'seconds':>8} {'MiB':>6}  ratio (wanted)")
        ours = {factor: _one_size(factor, tables[factor], Path(folder)) for factor in factors}
        for factor in factors[1:]:
            print(f"{factor}x over 1x, in seconds of ingestion and validation: {ours[factor] / ours[1]:.1f}")
        if given.tfx:
            theirs = _tfx(tables[1].parent)
            print(f"{'1x TFX, DirectRunner':32} {'':11} {theirs:8.2f} {'':6}  {theirs / ours[1]:.1f} (20 or more)")


def _tables(folder: Path, factors: list[int]) -> dict[int, Path]:
    """Writes the table in each size, each in a folder of its own."""
    subprocess.run([MAINSPRING, "example", "flights", str(folder / "flights")], check=True, stdout=subprocess.DEVNULL)
    year = YEAR.format(files=folder / "flights" / "*.parquet")
    tables = {}
    for factor in factors:
        tables[factor] = folder / f"{factor}x" / "flights.parquet"
        tables[factor].parent.mkdir()
        duckdb.execute(f"COPY (FROM ({year}), range({factor})) TO '{tables[factor]}' (FORMAT parquet)")
    return tables


def _one_size(factor: int, table: Path, folder: Path) -> float:
    """Prints the figures of one size; returns the seconds of ingestion, statistics and validation together."""
    examples = folder / f"examples-{factor}"
    copied = _measured("ingestion", "copy", table, folder / f"copy-{factor}.parquet")
    ingested = _measured("ingestion", "ingest", table, examples)
    _print(f"{factor}x DuckDB's bare COPY", copied)
    _print(f"{factor}x ingestion", ingested, f"{ingested.seconds / copied.seconds:.2f} (2 or less)")
    statistics = _measured("validation", "statistics", examples, folder)
    if factor in TFDV_FACTORS:
        theirs, plain = (_measured("validation", way, examples, folder) for way in ("tfdv", "tfdv_plain"))
        _print(f"{factor}x TFDV's call, the same protos", theirs)
        _print(f"{factor}x TFDV's call, its defaults", plain)
        ratios = [statistics.seconds / other.seconds for other in (theirs, plain)]
        _print(f"{factor}x statistics", statistics, f"{ratios[0]:.2f} (1 or less), {ratios[1]:.2f} of its defaults")
    else:
        _print(f"{factor}x statistics", statistics)
    validated = _measured("validation", "validation", examples, folder)
    _print(f"{factor}x validation, statistics included", validated, "(1,536 MiB or less)")
    return ingested.seconds + validated.seconds


def _measured(environment: str, what: str, source: Path, target: Path) -> Figure:
    command = [str(environments.environment(environment).python), str(HERE / "data_ways.py"), what]
    done = subprocess.run(
        [*command, str(source), str(target)],
        env=environments.task_variables() | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{what} failed:\n{done.stderr[-2000:]}")
    return Figure(**json.loads(done.stdout.splitlines()[-1]))


def _tfx(folder: Path) -> float:
    uv = [environments.uv(), "run", "--quiet", "--no-project", "--python", "3.11"]
    command = [*uv, *(part for tool in TFX for part in ("--with", tool)), str(HERE / "tfx_path.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"TFX failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _print(what: str, figure: Figure, ratio: str = "") -> None:
    print(f"{what:32} {figure.rows:11,} {figure.seconds:8.2f} {figure.mebibytes:6.0f}  {ratio}", flush=True)


if __name__ == "__main__":
    main()
