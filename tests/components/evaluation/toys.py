"""Small models whose predictions the test chooses row by row, and examples for them."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

BINARY, MULTICLASS, REGRESSION = "binary_classification", "multiclass_classification", "regression"
MULTILABEL, RANKING = "multilabel_classification", "ranking"


class Recorder:
    """KFP's Metrics artifact, as far as components use it."""

    def __init__(self):
        self.logged = {}

    def log_metric(self, name, value):
        self.logged[name] = value


def write_model(
    folder,
    features,
    *,
    task=BINARY,
    label="y",
    classes=("0", "1"),
    fingerprint="sha256:1",
    broken=None,
    texts=("carrier",),
    clipped=False,
    query="",
):
    """Writes a model that predicts its numeric features' own values: one feature, or one for each class."""

    class PassThrough(tf.Module):
        @tf.function(autograph=False)
        def serve(self, **inputs):
            columns = [inputs[name] for name in features]
            # A text feature takes part, so that its feed is tested; it changes nothing.
            ignored = 0.0 * tf.add_n([tf.cast(tf.strings.length(inputs[name]), tf.float32) for name in texts])
            several = task in (MULTICLASS, MULTILABEL)
            prediction = tf.stack(columns, axis=1) if several else columns[0] + ignored
            if clipped:
                prediction = tf.clip_by_value(tf.where(tf.math.is_nan(prediction), 0.5, prediction), 0.0, 1.0)
            return {"score" if broken == "output" else "prediction": prediction}

    specs = {name: tf.TensorSpec([None], tf.float32, name=name) for name in features}
    specs |= {name: tf.TensorSpec([None], tf.string, name=name) for name in texts}
    module = PassThrough()
    tf.saved_model.save(
        module, str(folder), signatures={"serving_default": module.serve.get_concrete_function(**specs)}
    )
    kinds = dict.fromkeys(features, "numeric") | dict.fromkeys(texts, "categorical")
    write_manifest(folder, kinds, task=task, label=label, classes=classes, fingerprint=fingerprint, query=query)
    return folder


def write_manifest(folder, features, *, task, label, classes, fingerprint, query=""):
    manifest = {
        "task": task,
        "label": label,
        "classes": list(classes),
        "features": features,
        "hyperparameters": {},
        "seed": 1,
        "examples_fingerprint": "",
        "schema_fingerprint": "",
        "parent": "",
        "fingerprint": fingerprint,
        "versions": {},
        "query": query,
    }
    Path(folder, "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def write_examples(folder, columns, files=2, fingerprint="sha256:rows", train=None):
    """Writes an examples artifact whose eval split holds `columns`, in several files, and train the same or `train`."""
    table = pa.table(columns)
    size = math.ceil(table.num_rows / files) or 1
    (folder / "eval").mkdir(parents=True)
    (folder / "train").mkdir()
    for number in range(files):
        pq.write_table(table.slice(number * size, size), folder / "eval" / f"{number + 1}.parquet")
    pq.write_table(pa.table(train or columns), folder / "train" / "1.parquet")
    kinds = {pa.int64(): "int64", pa.float64(): "double", pa.string(): "string", pa.list_(pa.string()): "string"}
    manifest = {
        "rows": {"train": 0, "eval": table.num_rows},
        "columns": {field.name: kinds[field.type] for field in table.schema},
        "spans": [str(number + 1) for number in range(files)],
        "fingerprint": fingerprint,
        "source": {},
        "query": "",
        "versions": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def binary_columns(rows=1200, seed=1):
    """Returns labels, features to slice by, and scores: `good` knows the label better than `fair`, `bad` nothing."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, rows)

    def scores(strength):
        return 1 / (1 + np.exp(-(strength * (y - 0.5) + random.normal(size=rows))))

    return {
        "y": y,
        "carrier": [["UA", "AA", "B6"][i] for i in random.integers(0, 3, rows)],
        "origin": [["EWR", None][i] for i in random.integers(0, 2, rows)],
        "good": scores(4.0),
        "fair": scores(2.0),
        "bad": scores(0.0),
    }
