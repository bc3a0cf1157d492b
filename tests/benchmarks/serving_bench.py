"""Serving: a row's cost beside the bare TensorFlow call's, and a local target under load while it changes versions.

Called by `make bench` (`python -m tests.benchmarks.serving_bench [--requests N] [--version FOLDER]`). The model is the
one that a run on a month of flights deploys: twelve features. Costs are processor time, so that a busy machine changes
them little; latencies are wall time, of a client that sends without pause over a few connections.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAME = "bench"
REQUESTS = 100_000
LOADING_CONNECTIONS = 2
CALLS = 3000
STEADY_SECONDS = 15.0
STEPS, STEP_SECONDS = "0,10,50,100", 5.0
WANTED_RATIO, WANTED_P99 = 0.5, 3.0


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    from mainspring.pipelines import environments

    parser = argparse.ArgumentParser(description="Measures serving.")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--version", type=Path, help="a published version's folder; else one is trained")
    options = parser.parse_args(arguments)
    environments.ensure(["deployment", "serving"], lambda line: print(line, file=sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        variables = environments.task_variables() | {"MAINSPRING_ROOT": str(root)}
        source = options.version or _trained(Path(folder))
        for number in (1, 2):
            _published(source, root / "models" / NAME / str(number), number)
        deployment = [str(environments.environment("deployment").python), __file__]
        try:
            subprocess.run([*deployment, "--deploy", "1", "100"], env=variables, check=True, stdout=subprocess.DEVNULL)
            _compare_costs(root, str(environments.environment("serving").python), variables)
            _load(root, deployment, variables, options.requests)
        finally:
            subprocess.run([*deployment, "--stop"], env=variables, check=True, stdout=subprocess.DEVNULL)


def _trained(folder: Path) -> Path:
    mainspring = str(Path(sys.executable).parent / "mainspring")
    query = "SELECT * EXCLUDE (year, flight, arr_delay), arr_delay > 15 AS late FROM source WHERE arr_delay IS NOT NULL"
    data, root = folder / "flights", folder / "training"
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([mainspring, "example", "flights", str(data)], **quiet)
    parameters = {"source": f"{data}/flights-2013-{{SPAN}}.parquet", "query": query, "label": "late", "span": "1"}
    given = [part for key, value in parameters.items() for part in ("-p", f"{key}={value}")]
    command = [mainspring, "run", "continuous_training", "--root", str(root), *given, "-p", f"target=local://{NAME}"]
    subprocess.run(command, **quiet)
    subprocess.run([mainspring, "endpoints", "stop", "--all", "--root", str(root)], **quiet)
    return root / "models" / NAME / "1"


def _published(source: Path, target: Path, number: int) -> None:
    shutil.copytree(source, target)
    manifest = json.loads((source / "version.json").read_text())
    (target / "version.json").write_text(json.dumps(manifest | {"name": NAME, "version": number}))


def _compare_costs(root: Path, serving: str, variables: dict[str, str]) -> None:
    version = root / "models" / NAME / "1"
    bare = [json.loads(_said([serving, __file__, "--bare", str(version)], variables)) for _ in range(3)]
    cost = statistics.median(one["cpu"] for one in bare)
    print(f"{'figure':52} {'measured':>10} {'wanted':>8}")
    print(f"{'bare call of the signature, ready tensors, CPU ms':52} {cost * 1e3:10.3f}")
    server = json.loads((root / "endpoints" / NAME / "endpoint.json").read_text())["servers"][0]
    for connections in (1, 16):
        ours = []
        for _ in range(3):
            before, out = _processor_seconds(server["process"]["pid"]), root / "seen"
            _wait(_client(server["port"], version, CALLS, connections, out))
            done = _read(out)
            assert all(status == 200 for _, _, status, _ in done), "a request failed"
            ours.append((_processor_seconds(server["process"]["pid"]) - before) / len(done))
        print(
            f"{f'a row request to the server, {connections} at once, CPU ms':52} {statistics.median(ours) * 1e3:10.3f}"
        )
        ratio = cost / statistics.median(ours)
        _print("  requests per core beside bare calls, ratio", ratio, WANTED_RATIO, ratio >= WANTED_RATIO)


def _load(root: Path, deployment: list[str], variables: dict[str, str], requests: int) -> None:
    """Changes versions under load, which goes on all the while, and afterwards until all requests are sent."""
    port = json.loads((root / "endpoints" / NAME / "endpoint.json").read_text())["port"]
    out = root / "seen"
    client = _client(port, root / "models" / NAME / "1", requests, LOADING_CONNECTIONS, out)
    try:
        time.sleep(STEADY_SECONDS)
        began = time.monotonic()
        for order in (["--deploy", "2", STEPS], ["--rollback"]):
            _said([*deployment, *order], variables)
        ended = time.monotonic()
        _wait(client)
    finally:
        client.kill()
        client.wait()
    seen = _read(out)
    failed = sum(status != 200 for _, _, status, _ in seen)
    within = sorted(took for sent, took, _, _ in seen if began <= sent < ended)
    steady = sorted(took for sent, took, _, _ in seen if not began <= sent < ended)
    _print(f"{len(seen):,} requests, {LOADING_CONNECTIONS} at once: failed", failed, 0, not failed)
    answered = {int(version): sum(one[3] == version for one in seen) for version in {one[3] for one in seen}}
    print(f"{'  answered by version':52} {', '.join(f'{v}: {n:,}' for v, n in sorted(answered.items()))}")
    print(f"{'  steady: median and p99, ms':52} {_quantile(steady, 0.5):10.2f} {_quantile(steady, 0.99):8.2f}")
    print(
        f"{f'  deploy, canary, promotion, rollback ({ended - began:.0f} s): the same':52} "
        f"{_quantile(within, 0.5):10.2f} {_quantile(within, 0.99):8.2f}"
    )
    ratio = _quantile(within, 0.99) / _quantile(steady, 0.99)
    _print("  p99 during the switch beside steady, ratio", ratio, WANTED_P99, ratio <= WANTED_P99)
    assert {1, 2} <= set(answered), "one of the versions never answered"


def _client(port: int, version: Path, requests: int, connections: int, out: Path) -> subprocess.Popen[bytes]:
    given = [str(port), NAME, str(version / "request.json"), str(requests), str(connections), str(out)]
    return subprocess.Popen([sys.executable, str(HERE / "load_client.py"), *given], stdin=subprocess.PIPE)


def _wait(client: subprocess.Popen[bytes]) -> None:
    assert client.stdin is not None
    client.stdin.close()
    assert client.wait(600) == 0


def _read(out: Path) -> list[tuple[float, float, float, float]]:
    values = array.array("d", out.read_bytes())
    return list(zip(*(values[field::4] for field in range(4)), strict=True))  # type: ignore[arg-type]


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _said(command: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}")
    return done.stdout.splitlines()[-1] if done.stdout else ""


def _quantile(sorted_seconds: list[float], share: float) -> float:
    """Returns milliseconds."""
    return sorted_seconds[int(share * (len(sorted_seconds) - 1))] * 1e3


def _print(figure: str, value: float, wanted: float, is_met: bool) -> None:
    print(f"{figure:52} {value:10.2f} {wanted:8.1f}{'' if is_met else '   MISSED'}", flush=True)


def bare(version: str) -> None:
    """Times the signature itself on the version's sample row; runs in serving's environment."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    loaded = tf.saved_model.load(version)
    signature = loaded.signatures["serving_default"]
    row = json.loads((Path(version) / "request.json").read_text())["instances"][0]
    specs = signature.structured_input_signature[1]
    tensors = {name: tf.constant([row[name]], dtype=spec.dtype) for name, spec in specs.items()}
    for _ in range(200):
        signature(**tensors)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        signature(**tensors)["prediction"].numpy()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu / CALLS, "wall": wall / CALLS}))


def deploy(number: str, steps: str) -> None:
    """Deploys a version; runs in deployment's environment, as what follows."""
    from mainspring.components.deployment import rollouts
    from mainspring.components.deployment.local import local_target

    plan = rollouts.parse(steps, STEP_SECONDS)
    uri = Path(os.environ["MAINSPRING_ROOT"]) / "models" / NAME / number
    local_target.deploy(NAME, int(number), str(uri), plan if len(plan.percents) > 1 else None)


def rollback() -> None:
    """Goes back to the version before."""
    from mainspring.components.deployment.local import local_target

    local_target.rollback(NAME)


def stop() -> None:
    """Ends the endpoint."""
    from mainspring.components.deployment.local import local_target

    if local_target.list_endpoints():
        local_target.stop(NAME)


if __name__ == "__main__":
    orders = {"--bare": bare, "--deploy": deploy, "--rollback": rollback, "--stop": stop}
    if sys.argv[1:2] and sys.argv[1] in orders:
        orders[sys.argv[1]](*sys.argv[2:])
    else:
        main(sys.argv[1:])
