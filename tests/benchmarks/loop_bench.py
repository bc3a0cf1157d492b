"""How long the loop takes on the flights, from raw Parquet to the answered prediction, and how good its model is.

Run with `make bench`. Each figure is the median of a few runs, beside what is wanted of it; wall time of the whole
command, the interpreter's start included. The model is compared with scikit-learn's HistGradientBoostingClassifier on
the same rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mainspring.pipelines import environments

MAINSPRING = str(Path(sys.executable).parent / "mainspring")
QUERY = "SELECT * EXCLUDE (year, flight, arr_delay), arr_delay > 15 AS late FROM source WHERE arr_delay IS NOT NULL"
BOOSTING = Path(__file__).with_name("gradient_boosting.py")
TRAINING = Path(__file__).with_name("training_bench.py")
FULL = 12
"""Months of the whole table."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times the continuous-training loop on the flights.")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure (default 3)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "flights"
        subprocess.run([MAINSPRING, "example", "flights", str(data)], check=True, stdout=subprocess.DEVNULL)
        print(f"{'figure':52} {'median':>8} {'of':>3} {'wanted':>8}")
        for months, wanted in ((6, 60.0), (FULL, 80.0)):
            _measure(data, [Path(folder) / f"{months}-{number}" for number in range(runs)], months, wanted)


def _measure(data: Path, roots: list[Path], months: int, wanted: float) -> None:
    runs = len(roots)
    measured = [_run(data, root, months) for root in roots]
    _print(f"{months} months, raw Parquet to answered prediction, s", [seconds for seconds, _ in measured], wanted)
    summary = measured[0][1]
    _print_stages(summary)
    _run(data, roots[0], months)  # There is a champion now: its standing evaluation enters the cache.
    _print(f"{months} months, unchanged, s", [_run(data, roots[0], months)[0] for _ in range(runs)], 8.0)
    ours = _outputs(summary, "evaluate-model")["metrics"]["metadata"]["auc"]
    theirs = _boosting_auc(_outputs(summary, "ingest-examples")["examples"]["uri"])
    print(f"{f'{months} months, AUC on eval':52} {ours:8.3f} {1:3} {theirs - 0.02:8.3f}")
    print(f"{'  HistGradientBoostingClassifier':52} {theirs:8.3f}", flush=True)
    if months == FULL:
        _bench_training(summary)
    for root in roots:
        command = [MAINSPRING, "endpoints", "stop", "--all", "--root", str(root)]
        subprocess.run(command, capture_output=True, check=True)


def _run(data: Path, root: Path, months: int) -> tuple[float, dict[str, Any]]:
    summary = root / "summary.json"
    command = [
        *(MAINSPRING, "run", "continuous_training", "--root", str(root), "--summary", str(summary)),
        *("-p", f"source={data}/flights-2013-{{SPAN}}.parquet", "-p", f"query={QUERY}", "-p", "label=late"),
        *("-p", "target=local://bench", "-p", f"span={months}", "-p", f"window={months}"),
    ]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stdout}{done.stderr}")
    return seconds, json.loads(summary.read_text(encoding="utf-8"))


def _outputs(summary: dict[str, Any], task: str) -> dict[str, Any]:
    return next(found["outputs"] for found in summary["tasks"] if found["name"] == task)


def _print(figure: str, seconds: list[float], wanted: float) -> None:
    print(f"{figure:52} {statistics.median(seconds):8.1f} {len(seconds):3} {wanted:8.1f}", flush=True)


def _print_stages(summary: dict[str, Any]) -> None:
    for task in summary["tasks"]:
        if task["state"] != "skipped":
            print(f"{'  ' + task['title']:52} {task['seconds']:8.1f}")


def _bench_training(summary: dict[str, Any]) -> None:
    examples = _outputs(summary, "ingest-examples")["examples"]["uri"]
    schema = _outputs(summary, "validate-examples")["schema"]["uri"]
    command = [str(environments.environment("training").python), str(TRAINING), examples, schema, "late"]
    subprocess.run(command, env=environments.task_variables(), check=True)


def _boosting_auc(examples: str) -> float:
    tools = ("scikit-learn==1.7.2", "pandas==2.3.3", "pyarrow==21.0.0")
    uv = [environments.uv(), "run", "--quiet", "--no-project", "--python", sys.executable]
    command = [*uv, *(part for tool in tools for part in ("--with", tool)), str(BOOSTING), examples]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main()
