"""Training beside a bare Keras `fit` of the same model, memory from 1 to 30 times the rows, and one served row.

    python tests/benchmarks/training_bench.py EXAMPLES SCHEMA LABEL [FACTOR]

Runs in training's environment, on an examples artifact of `ingest_examples` and its schema. Each measurement has a
process of its own. Rows per second are those of all epochs over the whole time from the Parquet files to the trained
model, imports and export left out; Keras gets the encoded rows as arrays in memory, at the same batch size. Both
include the tracing of the model's graph, once.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peak_memory import peak_mebibytes

BATCH = 1024
EPOCHS = 3
MEMORY_BATCH = 8192
"""Where only memory is measured, one epoch of larger steps says as much in less time."""
REPEATS = 3
LARGE = 30
REQUESTS = 2000
WANTED_RATIO, WANTED_GROWTH, WANTED_MILLISECONDS = 0.9, 1.1, 1.0


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    examples, schema, label = Path(arguments[0]), arguments[1], arguments[2]
    factor = int(arguments[3]) if len(arguments) > 3 else LARGE
    ours, theirs = [], []
    for _ in range(REPEATS):  # In turn, so that a busy moment of the machine hits both.
        ours.append(_measured("ours", examples, schema, label))
        theirs.append(_measured("keras", examples, schema, label))
    ratio = statistics.median(one["rate"] / other["rate"] for one, other in zip(ours, theirs, strict=True))
    rates = {name: statistics.median(run["rate"] for run in runs) for name, runs in (("ours", ours), ("keras", theirs))}
    print(f"{'train_model, Parquet to trained model, rows/s':52} {rates['ours']:10,.0f}")
    print(f"{'Keras fit, arrays in memory, rows/s':52} {rates['keras']:10,.0f}")
    _print("ratio of the two", ratio, WANTED_RATIO, ratio >= WANTED_RATIO)
    by_processor = statistics.median(one["cpu"] / other["cpu"] for one, other in zip(ours, theirs, strict=True))
    print(f"{'  the same by processor time':52} {by_processor:10.2f}", flush=True)
    milliseconds = statistics.median(run["milliseconds"] for run in ours)
    _print("one row through the signature, ms", milliseconds, WANTED_MILLISECONDS, milliseconds < WANTED_MILLISECONDS)
    with tempfile.TemporaryDirectory() as folder:
        large = _repeated(examples, factor, Path(folder) / "examples")
        peaks = [_measured("memory", table, schema, label)["mebibytes"] for table in (examples, large)]
    print(f"{'peak memory, 1x rows, MiB':52} {peaks[0]:10,.0f}")
    growth = peaks[1] / peaks[0]
    print(f"{f'peak memory, {factor}x rows, MiB':52} {peaks[1]:10,.0f}")
    _print("ratio of the two", growth, WANTED_GROWTH, growth <= WANTED_GROWTH)


def _print(figure: str, value: float, wanted: float, is_met: bool) -> None:
    print(f"{figure:52} {value:10.2f}   wanted {wanted}{'' if is_met else '   MISSED'}", flush=True)


def _repeated(examples: Path, factor: int, target: Path) -> Path:
    """Copies an examples artifact, each file `factor` times over as further spans."""
    manifest = json.loads((examples / "manifest.json").read_text())
    for split in manifest["rows"]:
        (target / split).mkdir(parents=True)
        for file in (examples / split).glob("*.parquet"):
            for copy in range(factor):
                (target / split / f"{file.stem}-{copy}.parquet").symlink_to(file.resolve())
        manifest["rows"][split] *= factor
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def _measured(what: str, *arguments: Any) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{what} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(what: str, examples: str, schema: str, label: str) -> dict[str, float]:
    """Measures one of the ways."""
    from mainspring.components.training import hyperparameters
    from mainspring.components.training.fitting import trainer
    from mainspring.components.training.hardware import devices
    from mainspring.components.training.model.context import Folders
    from mainspring.components.training.rows.preparing import open_examples, prepare

    epochs, batch = (1, MEMORY_BATCH) if what == "memory" else (EPOCHS, BATCH)
    settings = hyperparameters.checked(batch_size=batch, max_epochs=epochs, patience=epochs)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        hardware = devices.choose_hardware("cpu")
        clocks = (time.perf_counter, time.process_time)
        started = [clock() for clock in clocks]
        prepared = prepare(open_examples(Path(examples), Path(schema), label, ()), "auto", settings, scratch)
        job = trainer.Job(prepared, settings, hardware, Folders(scratch, scratch / "logs", ""))
        if what == "keras":
            seconds = _keras(job, clocks)
            return {
                name: EPOCHS * prepared.train_rows / taken for name, taken in zip(("rate", "cpu"), seconds, strict=True)
            }
        trained = trainer.train(job)
        seconds = [clock() - start for clock, start in zip(clocks, started, strict=True)]
        rates = [prepared.train_rows * len(trained.epochs) / taken for taken in seconds]
        found = {"rate": rates[0], "cpu": rates[1], "mebibytes": peak_mebibytes()}
        return found | ({"milliseconds": _served(trained.model, prepared, scratch)} if what == "ours" else {})


def _keras(job: Any, clocks: Sequence[Callable[[], float]]) -> list[float]:
    """Returns the seconds of a bare `fit` of the same model, by each clock: no metrics, and never judged on eval."""
    import keras
    import numpy as np

    from mainspring.components.training.fitting import trainer
    from mainspring.components.training.model import network
    from mainspring.components.training.rows.feed import train_batches

    prepared = job.prepared
    # One pass of our own feed gives the encoded rows as arrays.
    batches = list(train_batches(prepared.train, BATCH, 1, seed=1).as_numpy_iterator())
    inputs = {name: np.concatenate([batch[0][name] for batch in batches]) for name in ("ids", "numbers")}
    targets = np.concatenate([batch[1] for batch in batches])
    keras.utils.set_random_seed(job.settings.seed)
    started = [clock() for clock in clocks]
    model = network.build_model(trainer._context(job, []))
    model.compile(
        optimizer=keras.optimizers.Adam(job.settings.learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(inputs, targets, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return [clock() - start for clock, start in zip(clocks, started, strict=True)]


def _served(model: Any, prepared: Any, folder: Path) -> float:
    """Returns the median milliseconds of one row through the exported model's serving signature."""
    import tensorflow as tf

    from mainspring.components.training.publishing.exporting import export
    from mainspring.components.training.rows.preparing import first_row

    export(model, prepared.encoder, prepared.label, folder / "model")
    serve = tf.saved_model.load(str(folder / "model")).signatures["serving_default"]
    kinds = {name: spec.dtype for name, spec in serve.structured_input_signature[1].items()}
    missing = {tf.string: "", tf.float32: float("nan")}
    row = {
        name: tf.constant([missing[kinds[name]] if value is None else value], kinds[name])
        for name, value in first_row(prepared).items()
    }
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        serve(**row)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main(sys.argv[1:])
