"""Memory does not grow with a window: not with its requests, their size or its labels. Measured in fresh processes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import duckdb
import pytest

REQUESTS = 1_000_000
LARGE_REQUESTS = 150

BEGIN = """
import json, math, sys
from pathlib import Path
import duckdb
from benchmarks.peak_memory import peak_mebibytes
from mainspring.components.monitoring.logs import gathering, records, traffic
from mainspring.components.monitoring.logs.record_faults import Faults
from mainspring.components.monitoring.logs.gathering import Served, Window

folder, window, faults = Path(sys.argv[1]), Window(-math.inf, math.inf), Faults()

before = peak_mebibytes()
"""
PAIR = """
with traffic.database(folder) as connection:
    volume = traffic.pair(connection, folder, Served({"hour": "integer"}, ["0", "1"]), "1", window, faults)
print(json.dumps({"requests": volume.requests, "grown": peak_mebibytes() - before}))
"""
GATHER = """
gatherer, batches = gathering.Gatherer(folder, Served({"text": "text"}, []), window, faults), 0
for batch in records.read(folder / "log.json", "log.json", 0.0, records.Reading(faults)):
    gatherer.add(batch)
    batches += 1
gatherer.close()
print(json.dumps({"batches": batches, "grown": peak_mebibytes() - before}))
"""
QUALITY = """
from mainspring.components.common import storage
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.monitoring import policy
from mainspring.components.monitoring.judging import labels, quality

manifest = ModelManifest(**storage.read_json(Path(sys.argv[2]) / "manifest.json"))
asked, source = policy.parse(""), labels.LabelSource(str(folder / "labels.csv"), "", ("id", "row"))
kinds, columns = {"hour": "integer", "distance": "number", "origin": "text"}, ["hour", "origin"]
with labels.loaded(source, {"this": folder / "served.parquet"}, columns, kinds, False, folder) as connection:
    told = labels.prepare(connection, source, kinds, manifest.classes)
    labelled = labels.join(connection, source, "this", columns, kinds, told)
    found = quality.of_window(connection, labelled, "this", manifest, asked, quality.Baseline(0.5), columns)
    labels.count_unjoined(connection, source, ["this"], told)
slices = {one.slice.get("hour", one.slice.get("origin")): [one.rows, one.live] for one in found.slices}
print(json.dumps({
    "labelled": found.labelled, "auc": found.overall.live, "slices": slices, "grown": peak_mebibytes() - before
}))
"""


def measured(code, folder, *more):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", BEGIN + code, str(folder), *map(str, more)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_many_requests_are_paired_in_bounded_memory(tmp_path):
    numbers = f"range(1, {2 * REQUESTS + 1}) AS numbers(n)"
    for name, query in {
        "records": "SELECT n AS seq, printf('%032x', (n - 1) // 2) AS id, if(n % 2 = 1, 'request', 'response') AS kind,"
        f" n::DOUBLE AS time, '1' AS version, 1::BIGINT AS rows, true AS readable,"
        f" false AS error, n AS digest FROM {numbers}",
        "rows": f"SELECT n AS __seq, 0::BIGINT AS __row, n % 24 AS hour FROM {numbers} WHERE n % 2 = 1",
        "predicted": "SELECT n AS seq, 0::BIGINT AS row, n::DOUBLE AS prediction, '1' AS class"
        f" FROM {numbers} WHERE n % 2 = 0",
    }.items():
        duckdb.execute(f"COPY ({query}) TO '{tmp_path / name}.parquet' (ROW_GROUP_SIZE 32768)")
    found = measured(PAIR, tmp_path)
    assert found["requests"] == REQUESTS
    fitting = "hour = __time::BIGINT % 24 AND __prediction = __time + 1"
    counted = f"SELECT count(*), count(*) FILTER ({fitting}) FROM '{tmp_path / 'served.parquet'}'"
    assert duckdb.execute(counted).fetchone() == (REQUESTS, REQUESTS)
    assert found["grown"] < 260


def test_many_labels_are_joined_and_judged_in_bounded_memory(tmp_path, version):
    score = "(n * 2654435761 % 1000003 / 1000003.0)"
    for name, query in {
        "served.parquet": f"n % 24 AS hour, ['EWR', 'JFK', 'LGA'][1 + n % 3] AS origin, {score} AS __prediction,"
        " '1' AS __class, printf('%032x', n) AS __id, 0::BIGINT AS __row_number",
        "labels.csv": f"printf('%032x', n) AS id, 0 AS row, ({score} + n * 40503 % 65536 / 65536 > 1)::INT AS label",
    }.items():
        duckdb.execute(f"COPY (SELECT {query} FROM range({REQUESTS}) AS numbers(n)) TO '{tmp_path / name}'")
    found = measured(QUALITY, tmp_path, version)
    assert found["labelled"] == REQUESTS
    # The label is 1 where a score and chance together are more than 1: of all pairs, 5/6 are in order.
    assert found["auc"] == pytest.approx(5 / 6, abs=0.002)
    assert found["slices"].keys() == {*map(str, range(24)), "EWR", "JFK", "LGA"}
    assert found["slices"]["JFK"] == [333333, pytest.approx(5 / 6, abs=0.004)]
    assert found["grown"] < 260


def test_large_requests_are_gathered_in_bounded_memory(tmp_path):
    body = base64.b64encode(json.dumps({"instances": [{"text": "x" * 2**20}]}).encode()).decode()
    with (tmp_path / "log.json").open("w") as log:
        for number in range(LARGE_REQUESTS):
            log.write(json.dumps({"id": str(number), "reqType": "x.request", "bytes": body}) + "\n")
    found = measured(GATHER, tmp_path)
    assert duckdb.execute(f"SELECT count(*) FROM '{tmp_path / 'rows.parquet'}'").fetchone() == (LARGE_REQUESTS,)
    assert found["batches"] > 1
    assert found["grown"] < 330
