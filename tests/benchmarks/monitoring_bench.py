"""Monitoring a million logged requests: seconds and peak memory, beside what is wanted of it.

Called by `make bench` (`python -m tests.benchmarks.monitoring_bench`). The logs are KServe's Parquet records, 10,000 a
file, a row a request, like the rows that the version was trained on; a tenth of the requests is measured as well, to
show what grows.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REQUESTS = 1_000_000
RECORDS_PER_FILE = 10_000
WANTED_SECONDS = 60.0
FIELDS = (
    *("url", "bytes", "contentType", "reqType", "id", "sourceUri", "inferenceService", "namespace"),
    *("component", "endpoint", "metadata", "annotations", "certName"),
)


def main(arguments: list[str]) -> None:
    """Goes over into monitoring's environment."""
    from mainspring.pipelines import environments

    environments.ensure(["monitoring"], lambda line: print(line, file=sys.stderr))
    python = str(environments.environment("monitoring").python)
    command = [python, __file__, "--here", *arguments]
    subprocess.run(command, env=environments.task_variables(), stderr=subprocess.DEVNULL, check=True)


def compare(requests: int) -> None:
    """Writes the logs, measures in fresh processes, and prints a line per size."""
    print(f"{'logged requests':>16} {'seconds':>8} {'wanted':>8} {'CPU s':>7} {'MiB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for count in (requests // 10, requests):
            logs = Path(folder) / str(count)
            write_logs(logs, count)
            done = subprocess.run(
                [sys.executable, __file__, "--measure", str(logs), folder], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["requests"] == count, found
            wanted = f"{WANTED_SECONDS:.1f}" if count == REQUESTS else ""
            print(
                f"{count:16,} {found['seconds']:8.1f} {wanted:>8} {found['cpu']:7.1f} {found['mebibytes']:7.0f}",
                flush=True,
            )


def write_logs(folder: Path, requests: int) -> None:
    """Writes requests and responses as KServe's Parquet marshaller does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sys.path.insert(0, str(tests()))
    from logs import exchange

    folder.mkdir()
    bodies = [[base64.b64decode(one["bytes"]) for one in exchange(number)] for number in range(5000)]
    encoded = [[base64.b64encode(body).decode() for body in pair] for pair in bodies]
    fixed = dict.fromkeys(FIELDS, "") | {"inferenceService": "flights", "annotations": '{"mainspring.dev/version":"1"}'}
    for start in range(0, requests, RECORDS_PER_FILE // 2):
        numbers = range(start, min(start + RECORDS_PER_FILE // 2, requests))
        size = 2 * len(numbers)
        columns = {name: [value] * size for name, value in fixed.items()}
        columns["id"] = [f"{number:032x}" for number in numbers for _ in range(2)]
        columns["reqType"] = [
            f"org.kubeflow.serving.inference.{kind}" for _ in numbers for kind in ("request", "response")
        ]
        columns["bytes"] = [body for number in numbers for body in encoded[number % len(encoded)]]
        pq.write_table(pa.table(columns), folder / f"{start:09d}-request.parquet")


def measure(logs: Path, scratch: Path) -> None:
    """Monitors the logs once, and prints what it took as JSON; imports are counted."""
    started = time.perf_counter()
    from mainspring.components.monitoring.monitor_endpoint import monitor_endpoint

    sys.path.insert(0, str(tests()))
    from logs import publish
    from peak_memory import peak_mebibytes

    version = scratch / "version"
    if not version.is_dir():
        publish(version)
    prepared = time.perf_counter() - started
    started = time.perf_counter() - prepared
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out)
        files = {"monitoring": str(folder / "m"), "report": str(folder / "report.html"), "journal": str(folder / "j")}
        found = monitor_endpoint(logs=str(logs), version_uri=str(version), **files)
    seconds = time.perf_counter() - started
    figures = {"seconds": seconds, "cpu": time.process_time(), "mebibytes": peak_mebibytes()}
    print(json.dumps({"requests": found.requests, **figures}))


def tests() -> Path:
    """Returns the folder of monitoring's tests, which know how KServe writes its logs."""
    return Path(__file__).parents[1] / "components" / "monitoring"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--here"]:
        compare(int((sys.argv[2:] or [str(REQUESTS)])[0]))
    else:
        main(sys.argv[1:])
