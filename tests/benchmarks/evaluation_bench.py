"""Evaluation beside TFMA on Beam: as TFX's Evaluator runs it, and the metric step alone. Run with `make bench`.

    python -m tests.benchmarks.evaluation_bench [--full] [--examples DIR --model DIR]

Without an examples artifact and a model, the loop makes them first from the flights of the year. Both sides run really,
each in a process of its own, imports left out, from the same files: the Evaluator's path is `tfma.run_model_analysis`
with the SavedModel over TFRecord files of tf.Examples on Beam's DirectRunner. Its results are held against ours. TFMA's
`analyze_raw_data` takes minutes for all rows of train: by default it gets `FEWER_ROWS` and half of them, to show that
its time grows with the rows, and is scaled up; `--full` gives it all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "late"
SLICES = ("carrier", "origin")
METRICS = ("ExampleCount", "AUC", "BinaryAccuracy", "BinaryCrossentropy", "Calibration", "Precision", "Recall")
STEP_METRICS = ("ExampleCount", "BinaryAccuracy", "AUC")
FEWER_ROWS = 16_000
TIMES = 30
TOLERANCE = 1e-6

Result = dict[str, Any]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times evaluation beside TFMA on Beam.")
    parser.add_argument("--full", action="store_true", help="TFMA's analyze_raw_data over every row of train")
    parser.add_argument("--examples", type=Path, help="an examples artifact of the flights")
    parser.add_argument("--model", type=Path, help="a model trained on it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        examples, model = (given.examples, given.model) if given.model else _made(Path(folder))
        records = Path(folder) / "eval.tfrecord"
        _in_process("records", examples, model, records)
        theirs = _in_process("evaluator", examples, model, records)
        ours = [_in_process("evaluation", examples, model) for _ in range(3)]
        seconds, cpu = (statistics.median(each[clock] for each in ours) for clock in ("seconds", "cpu"))
        print(f"whole evaluation, {ours[0]['rows']:,} rows, model loading and prediction included:")
        _compare(seconds, theirs["seconds"], 20)
        _compare(cpu, theirs["cpu"], 20, "of CPU time")
        _print_difference(ours[0]["values"], theirs["values"])
        _metric_step(examples, model, given.full)
        larger = _repeated(examples, Path(folder) / "larger")
        grown = _in_process("evaluation", larger, model)
        first = statistics.median(each["mebibytes"] for each in ours)
        print(f"{TIMES} times the rows: {grown['rows']:,} rows in {grown['seconds']:.1f} s against {seconds:.1f} s")
        print(
            f"  {grown['seconds'] / seconds:.1f} times the time, {grown['mebibytes']:.0f} MiB against {first:.0f} MiB"
        )


def _metric_step(examples: Path, model: Path, full: bool) -> None:
    ours = _in_process("step", examples, model)
    counts = [ours["rows"]] if full else [FEWER_ROWS // 2, FEWER_ROWS]
    theirs = [_in_process("raw", examples, model, count=count) for count in counts]
    print(f"metric step alone, {ours['rows']:,} rows, {len(ours['values'])} slices:")
    seconds = theirs[-1]["seconds"]
    if not full:
        growth = theirs[1]["seconds"] / theirs[0]["seconds"]
        scaled = seconds * ours["rows"] / FEWER_ROWS
        print(
            f"  analyze_raw_data took {seconds:.1f} s for {FEWER_ROWS:,} rows, {growth:.2f} times half of them: "
            f"scaled to {scaled:.0f} s"
        )
        seconds = scaled
    _compare(ours["seconds"], seconds, 100)
    _compare(ours["cpu"], theirs[-1]["cpu"] * (1 if full else ours["rows"] / FEWER_ROWS), 100, "of CPU time")
    same = ours if full else _in_process("step", examples, model, count=FEWER_ROWS)
    _print_difference(same["values"], theirs[-1]["values"])


def _compare(ours: float, theirs: float, wanted: float, clock: str = "") -> None:
    times = f"{theirs / ours:.0f} times as fast (wanted {wanted:.0f})"
    print(f"  {ours:8.2f} s against {theirs:8.1f} s {clock}: {times}".replace(" :", ":"), flush=True)


def _print_difference(ours: Result, theirs: Result) -> None:
    missing = [place for place in theirs if place not in ours]
    off = [
        abs(value - ours[place][name]) / max(abs(value), 1e-12)
        for place, values in theirs.items()
        if place in ours
        for name, value in values.items()
        if _is_finite(value) and _is_finite(ours[place].get(name))
    ]
    verdict = "equal" if off and max(off) <= TOLERANCE and not missing else "NOT EQUAL"
    print(f"  {len(off)} values compared, largest relative difference {max(off, default=float('nan')):.1e}: {verdict}")


def _is_finite(value: Any) -> bool:
    """Returns whether a metric is defined; where it is not, TFMA gives "NaN" or, for AUC of one class, 0."""
    return isinstance(value, int | float) and math.isfinite(value)


def _made(folder: Path) -> tuple[Path, Path]:
    """Returns examples and model of one run of the loop over the year."""
    from tests.benchmarks.loop_bench import MAINSPRING, QUERY

    data, summary = folder / "flights", folder / "summary.json"
    subprocess.run([MAINSPRING, "example", "flights", str(data)], check=True, stdout=subprocess.DEVNULL)
    command = [
        *(MAINSPRING, "run", "continuous_training", "--root", str(folder / "root"), "--summary", str(summary)),
        *("-p", f"source={data}/flights-2013-{{SPAN}}.parquet", "-p", f"query={QUERY}", "-p", f"label={LABEL}"),
        *("-p", "target=local://bench", "-p", "span=12", "-p", "window=12"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    stop = [MAINSPRING, "endpoints", "stop", "--all", "--root", str(folder / "root")]
    subprocess.run(stop, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stdout}{done.stderr}")
    tasks = {task["name"]: task["outputs"] for task in json.loads(summary.read_text(encoding="utf-8"))["tasks"]}
    examples, model = tasks["ingest-examples"]["examples"], tasks["train-model"]["model"]
    return Path(_uri(examples)), Path(_uri(model))


def _uri(artifact: Any) -> str:
    return artifact["uri"] if isinstance(artifact, dict) else str(artifact)


def _repeated(examples: Path, target: Path) -> Path:
    """Returns an examples artifact whose eval split is that of `examples`, `TIMES` times over."""
    (target / "eval").mkdir(parents=True)
    shutil.copy(examples / "manifest.json", target)
    for number in range(TIMES):
        for file in (examples / "eval").glob("*.parquet"):
            (target / "eval" / f"{number}-{file.name}").symlink_to(file)
    return target


def _in_process(what: str, examples: Path, model: Path, records: Path | None = None, count: int = 0) -> Result:
    from mainspring.pipelines import environments

    command = [environments.environment("evaluation").python, __file__, "--measure", what, examples, model]
    command += [records or "-", count]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=environments.task_variables()
    )
    if done.returncode:
        sys.exit(f"{what} failed:\n{done.stdout}{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure(what: str, examples: Path, model: Path, records: Path, count: int) -> None:
    import tensorflow_model_analysis as tfma  # noqa: F401
    from peak_memory import peak_mebibytes

    from mainspring.components.evaluation import evaluate_model

    evaluate_model.preload()
    ways: dict[str, Callable[[Path, Path, Path, int], Result]] = {
        "records": _write_records,
        "evaluator": _evaluator,
        "evaluation": _evaluation,
        "step": _step,
        "raw": _raw,
    }
    result = ways[what](examples, model, records, count)
    print("\n" + json.dumps({"mebibytes": peak_mebibytes(), **result}))


def _write_records(examples: Path, model: Path, records: Path, count: int) -> Result:
    """Writes the eval split as TFX's ExampleGen does: tf.Examples without the values that are missing."""
    import pyarrow.parquet as pq
    import tensorflow as tf

    def feature(value: Any) -> Any:
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))

    with tf.io.TFRecordWriter(str(records)) as writer:
        for file in sorted((examples / "eval").glob("*.parquet")):
            for row in pq.read_table(file).to_pylist():
                known = {name: feature(value) for name, value in row.items() if value is not None}
                example = tf.train.Example(features=tf.train.Features(feature=known))
                writer.write(example.SerializeToString())
    return {}


def _config(metrics: tuple[str, ...], label: str, signature: str = "") -> Any:
    from tensorflow_model_analysis.proto import config_pb2

    spec = config_pb2.ModelSpec(signature_name=signature, label_key=label, prediction_key="prediction")
    return config_pb2.EvalConfig(
        model_specs=[spec],
        slicing_specs=[config_pb2.SlicingSpec(), *(config_pb2.SlicingSpec(feature_keys=[name]) for name in SLICES)],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name=name) for name in metrics])],
    )


def _evaluator(examples: Path, model: Path, records: Path, count: int) -> Result:
    import tensorflow_model_analysis as tfma

    config = _config(METRICS, LABEL, "serving_examples")
    started = _clocks()
    with tempfile.TemporaryDirectory() as folder:
        shared = tfma.default_eval_shared_model(str(model), eval_config=config)
        result = tfma.run_model_analysis(shared, config, data_location=str(records), output_path=folder)
        return {**_since(started), "values": _values_of(result)}


def _values_of(result: Any) -> Result:
    return {
        ",".join(f"{feature}={value}" for feature, value in key): {
            name: metric.get("doubleValue") for name, metric in by_output[""][""].items()
        }
        for key, by_output in result.slicing_metrics
    }


def _policy() -> str:
    gate = "gates: [{metric: AUC, better_than_trivial: true}]"
    return f"metrics: [{', '.join(METRICS)}]\nslices: [{', '.join(SLICES)}]\nmin_slice_rows: 1\nworst_slices: 0\n{gate}"


def _evaluation(examples: Path, model: Path, records: Path, count: int) -> Result:
    from mainspring.components.common import manifests
    from mainspring.components.common.manifests import ExamplesManifest
    from mainspring.components.evaluation import evaluation
    from mainspring.components.evaluation.model_manifest import read_manifest
    from mainspring.components.evaluation.policy import policy_yaml

    of_examples = manifests.read(ExamplesManifest, examples / manifests.EXAMPLES_MANIFEST)
    of_model = read_manifest(model)
    policy = policy_yaml.parse(_policy(), of_model, of_examples.columns)
    started = _clocks()
    found = evaluation.evaluate(examples, of_examples, model, of_model, "", policy)
    taken = _since(started)
    assert found.overall is not None
    measured = {_place(each.slice.values): dict(each.values["challenger"]) for each in [found.overall, *found.slices]}
    return {**taken, "rows": found.rows, "values": measured}


def _place(values: Any) -> str:
    return ",".join(f"{feature}={value}" for feature, value in values.items())


def _scored(examples: Path, model: Path, count: int) -> tuple[Any, Any]:
    """Returns the first rows of train, predicted, and the model's manifest."""
    from mainspring.components.evaluation.model_manifest import read_manifest
    from mainspring.components.evaluation.scoring import scoring

    manifest = read_manifest(model)
    scored = scoring.score(examples / "train", {"challenger": scoring.load(model, manifest)}, SLICES)
    return scored, manifest


def _step(examples: Path, model: Path, records: Path, count: int) -> Result:
    import numpy as np

    from mainspring.components.evaluation.metrics import measuring
    from mainspring.components.evaluation.policy.policy import Metric
    from mainspring.components.evaluation.slices import slices

    scored, manifest = _scored(examples, model, count)
    rows = np.random.default_rng(1).permutation(len(scored))[: count or None]
    labels, predictions = scored.labels[rows], scored.predictions["challenger"][rows]
    columns = {name: type(column)(column.codes[rows], column.names) for name, column in scored.slices.items()}
    taken = []
    for _ in range(3):
        started = _clocks()
        measure = measuring.measure_with([Metric(name) for name in STEP_METRICS], manifest)
        found = {"": measure(labels, predictions)}
        for name in SLICES:
            for part in slices.slices_of(columns, [name], 1)[0]:
                found[_place(part.values)] = measure(part.of(labels), part.of(predictions))
        taken.append(_since(started))
    medians = {clock: statistics.median(each[clock] for each in taken) for clock in taken[0]}
    return {**medians, "rows": len(labels), "values": found}


def _raw(examples: Path, model: Path, records: Path, count: int) -> Result:
    import numpy as np
    import pandas as pd
    import tensorflow_model_analysis as tfma

    scored, _ = _scored(examples, model, count)
    rows = np.random.default_rng(1).permutation(len(scored))[:count]
    columns = {name: np.array(column.names, object)[column.codes[rows]] for name, column in scored.slices.items()}
    labels = scored.labels[rows].astype(np.float64)
    frame = pd.DataFrame({"label": labels, "prediction": scored.predictions["challenger"][rows], **columns})
    started = _clocks()
    result = tfma.analyze_raw_data(frame, _config(STEP_METRICS, "label"))
    return {**_since(started), "rows": len(frame), "values": _values_of(result)}


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(started: tuple[float, float]) -> dict[str, float]:
    """Returns wall and CPU seconds: on a machine that others use too, the second is the fairer comparison."""
    now = _clocks()
    return {"seconds": now[0] - started[0], "cpu": now[1] - started[1]}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        way, examples_, model_, records_, count_ = sys.argv[2:]
        _measure(way, Path(examples_), Path(model_), Path(records_), int(count_))
    else:
        main()
