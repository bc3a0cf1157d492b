"""`auto` beside scikit-learn's HistGradientBoosting with its defaults, on public tables. Run with `make bench-models`.

    python -m tests.benchmarks.model_sweep [TABLE ...]

Each table is divided by chance: a quarter to be judged on, which no training sees. A tenth of the rest is eval; both
learn from what remains. `auto` gets the label's name and nothing else; HistGradientBoosting gets texts as categories
where it can (255 values), else as numbers. The verdict is by the rows judged: a model is better where the 95 % interval
of the paired difference (bootstrap over those rows) leaves zero out. Prints a Markdown table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.public_tables import TABLES, PublicTable, content, install

JUDGED, EVAL = 0.25, 0.1
RESAMPLES = 400
MOST_CATEGORIES = 255
SEED = 1
MARK = "row: "
WANTED_BETTER = 1 / 3


def main(names: list[str]) -> None:
    """Installs the tables, and measures them in training's environment."""
    from mainspring.pipelines import environments

    environments.ensure(["training"], print)
    env = environments.environment("training")
    archive = install(environments.base_folder() / "public-tables", environments.uv())
    variables = environments.task_variables()
    variables["PYTHONPATH"] += os.pathsep + str(Path(__file__).parents[2])
    command = [str(env.python), "-m", "tests.benchmarks.model_sweep", "--measure", str(archive), *names]
    rows = []
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(MARK):
                rows.append(json.loads(line.removeprefix(MARK)))
                print(_line(rows[-1]), flush=True)
    if process.returncode:
        sys.exit(process.returncode)
    worse = [row["table"] for row in rows if row["verdict"] == "worse"]
    better = sum(row["verdict"] == "better" for row in rows)
    print(f"\n{len(rows)} tables: {better} better, {len(rows) - better - len(worse)} level, {len(worse)} worse")
    print(f"worse than wanted on: {', '.join(worse) or 'none'}")
    print(f"better on a third: {'yes' if better >= WANTED_BETTER * len(rows) else 'MISSED'}")


def _line(row: dict[str, Any]) -> str:
    if row["first"]:
        print(
            "| table | rows | measure | auto | HistGradientBoosting | auto is | kind | seconds |\n" + "|---" * 8 + "|"
        )
    low, high = row["interval"]
    return (
        f"| {row['table']} | {row['rows']:,} | {row['measure']} | {row['ours']:.4g} | {row['theirs']:.4g} | "
        f"{row['verdict']} ({low:+.2g} to {high:+.2g}) | {row['kind']} | {row['seconds']:.0f} against "
        f"{row['their_seconds']:.1f} |"
    )


def measure(archive: Path, names: list[str]) -> None:
    """Measures the tables, and prints what came of each."""
    chosen = [table for table in TABLES if not names or table.name in names or table.path in names]
    for number, table in enumerate(chosen):
        try:
            found = _measured(archive, table) | {"first": not number}
        except Exception as error:
            raise RuntimeError(f"{table.name}: {error}") from error
        print(f"\n{MARK}{json.dumps(found)}", flush=True)


def _measured(archive: Path, table: PublicTable) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa

    rows = _read(archive, table)
    random = np.random.default_rng(SEED)
    place = random.random(len(rows))
    judged = rows.filter(pa.array(place < JUDGED))
    rest = place[place >= JUDGED]
    known = rows.filter(pa.array(place >= JUDGED))
    is_eval = rest < JUDGED + EVAL * (1 - JUDGED)
    train, evaluation = known.filter(pa.array(~is_eval)), known.filter(pa.array(is_eval))
    started = time.perf_counter()
    ours, classes, kind = _ours(table, train, evaluation, judged)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    theirs = _theirs(table, train, judged, classes)
    their_seconds = time.perf_counter() - started
    measure, of_rows = _measure_of(table, judged, classes)
    everything = np.arange(len(judged))
    differences = []
    for _ in range(RESAMPLES):
        sample = random.integers(0, len(judged), len(judged))
        differences.append(of_rows(ours, sample) - of_rows(theirs, sample))
    low, high = np.nanpercentile(differences, [2.5, 97.5])
    sign = 1 if measure == "AUC" else -1
    low, high = sorted([sign * low, sign * high])
    return {
        "table": table.name,
        "rows": len(rows),
        "measure": measure,
        "ours": float(of_rows(ours, everything)),
        "theirs": float(of_rows(theirs, everything)),
        "interval": [float(low), float(high)],
        "verdict": "better" if low > 0 else "worse" if high < 0 else "level",
        "kind": kind,
        "seconds": seconds,
        "their_seconds": their_seconds,
    }


def _read(archive: Path, table: PublicTable) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pv

    options = pv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    rows = pv.read_csv(content(archive, table), convert_options=options)
    rows = rows.select([name for name in rows.column_names[1:] if name not in table.exclude])
    for place, field in enumerate(rows.schema):
        if pa.types.is_boolean(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.int64()))
        elif pa.types.is_null(field.type):
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.string()))
    return rows.filter(pc.is_valid(rows[table.label]))


def _ours(table: PublicTable, train: Any, evaluation: Any, judged: Any) -> tuple[Any, list[str], str]:
    """Returns what `auto` predicts for the judged rows, the classes, and the kind of model."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import tensorflow as tf

    from mainspring.components.common import signature_names
    from mainspring.components.training.reporting.figures import Figures
    from mainspring.components.training.train_model import train_model

    kinds = {pa.int64(): "INT", pa.float64(): "FLOAT", pa.string(): "BYTES"}
    names = {pa.int64(): "int64", pa.float64(): "double", pa.string(): "string"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split, part in (("train", train), ("eval", evaluation)):
            (folder / split).mkdir()
            pq.write_table(part, folder / split / "all.parquet")
        manifest: dict[str, Any] = {"rows": {"train": len(train), "eval": len(evaluation)}, "spans": ["all"]}
        manifest |= {"columns": {field.name: names[field.type] for field in train.schema}}
        manifest |= {"fingerprint": "", "source": {}, "query": "", "versions": {}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "schema.pbtxt").write_text(
            "".join(f"feature {{ name: {json.dumps(f.name)} type: {kinds[f.type]} }}\n" for f in train.schema)
        )
        out = {"model": str(folder / "model"), "metrics": Figures(), "report": str(folder / "report.html")}
        train_model(examples=name, schema=name, label=table.label, model_kind="auto", **out)  # type: ignore[arg-type]
        made = json.loads((folder / "model" / "manifest.json").read_text())
        signature = tf.saved_model.load(str(folder / "model")).signatures["serving_default"]
        fed = {}
        for given, spec in signature.structured_input_signature[1].items():
            column = judged[signature_names.column(given)]
            if spec.dtype == tf.string:
                fed[given] = tf.constant([value or "" for value in column.cast(pa.string()).to_pylist()])
            else:
                fed[given] = tf.constant(column.cast(pa.float64()).to_numpy(), spec.dtype)
        predicted = signature(**fed)["prediction"].numpy()
    return predicted, made["classes"], made["hyperparameters"]["model"]


def _theirs(table: PublicTable, train: Any, judged: Any, classes: list[str]) -> Any:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    features = [name for name in train.column_names if name != table.label]
    columns, categories = [], []
    for name in features:
        values, is_category = _codes(train[name], judged[name])
        columns.append(values)
        categories.append(is_category)
    learned, asked = (np.column_stack([column[side] for column in columns]) for side in (0, 1))
    learner = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    targets = [_class_name(value) for value in train[table.label].to_pylist()] if classes else train[table.label]
    model = learner(categorical_features=categories, random_state=SEED).fit(learned, np.asarray(targets))
    if not classes:
        return model.predict(asked)
    scores = model.predict_proba(asked)
    places = [list(model.classes_).index(name) for name in classes]
    return scores[:, places[1]] if len(classes) == 2 else scores[:, places]


def _codes(train: Any, judged: Any) -> tuple[tuple[Any, Any], bool]:
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_string(train.type):
        return (train.cast(pa.float64()).to_numpy(), judged.cast(pa.float64()).to_numpy()), False
    places = {value: float(place) for place, value in enumerate(sorted(set(train.drop_null().to_pylist())))}
    sides = [np.array([places.get(value, np.nan) for value in part.to_pylist()]) for part in (train, judged)]
    return (sides[0], sides[1]), len(places) <= MOST_CATEGORIES


def _measure_of(table: PublicTable, judged: Any, classes: list[str]) -> tuple[str, Callable[[Any, Any], float]]:
    import numpy as np
    from sklearn.metrics import roc_auc_score

    if not classes:
        labels = judged[table.label].to_numpy().astype(float)
        return "RMSE", lambda scores, rows: float(np.sqrt(np.mean((scores[rows] - labels[rows]) ** 2)))
    places = {name: place for place, name in enumerate(classes)}
    found = np.array([places.get(_class_name(value), 0) for value in judged[table.label].to_pylist()])
    if len(classes) == 2:
        return "AUC", lambda scores, rows: float(roc_auc_score(found[rows], scores[rows]))
    return "log loss", lambda scores, rows: float(-np.log(np.clip(scores[rows, found[rows]], 1e-7, 1)).mean())


def _class_name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), sys.argv[3:])
    else:
        main(sys.argv[1:])
