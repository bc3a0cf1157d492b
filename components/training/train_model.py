"""Trains a model on examples and exports it as a SavedModel with its preprocessing inside."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported.

import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ExamplesManifest, ModelManifest
from mainspring.components.training import hyperparameters as hyper
from mainspring.components.training import network
from mainspring.components.training.context import ModelContext, inputs_of, load_builder
from mainspring.components.training.crosses import select_crosses
from mainspring.components.training.examples import read_split
from mainspring.components.training.exporting import export
from mainspring.components.training.features import CATEGORICAL, Feature, read_schema, select_features
from mainspring.components.training.fitting import Epoch, Split, fit
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.labels import LabelSpec, describe_label, labelled, targets
from mainspring.components.training.preprocessing import Encoder, describe, raw_columns
from mainspring.components.training.scores import main_metric
from mainspring.components.training.training_report import training_page


class Metrics(Protocol):
    """What is used of KFP's Metrics artifact."""

    def log_metric(self, metric: str, value: float) -> None:
        """Records one figure."""


def train_model(
    *,
    examples: str,
    schema: str,
    label: str,
    model: str,
    metrics: Metrics,
    report: str,
    task: str = "auto",
    hidden_units: Sequence[float] = (128, 64),
    embedding_size: int = 16,
    max_crosses: int = 8,
    dropout: float = 0.1,
    learning_rate: float = 0.001,
    batch_size: int = 2048,
    max_epochs: int = 0,
    patience: int = 2,
    exclude: Sequence[str] = (),
    seed: int = 20131,
    module: str = "",
    parent_uri: str = "",
) -> str:
    """Trains a model and publishes it at `model`; `component.py` documents the parameters.

    Returns:
        The fingerprint of the SavedModel's files.

    Raises:
        UserError: A parameter is out of range, the inputs do not fit together, or there is nothing to learn.
    """
    started = time.perf_counter()
    device = device_name()
    print(f"training on {device}", flush=True)
    settings = hyper.checked(
        hidden_units=hidden_units,
        embedding_size=embedding_size,
        max_crosses=max_crosses,
        dropout=dropout,
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed,
    )
    build = load_builder(module) if module else network.build_model
    keras.utils.set_random_seed(settings.seed)
    inputs = _read(storage.as_path(examples), storage.as_path(schema), label, exclude, hyper.checked_task(task))
    encoder, splits = _encoded(inputs, settings)
    network_ = build(_context(inputs, encoder, settings))
    prepared = time.perf_counter()
    epochs = fit(network_, splits["train"], splits["eval"], inputs.label, settings)
    fitted = time.perf_counter()

    manifest = _manifest(inputs, settings, _figures(epochs, inputs.label), module, parent_uri)
    with storage.publishing_directory(storage.as_path(model)) as aside:
        export(network_, encoder, inputs.label, aside)
        manifest = dataclasses.replace(manifest, fingerprint=storage.fingerprint_of_files(aside))
        storage.write_atomically(aside / manifests.SCHEMA_FILE, inputs.schema_text)
        storage.write_json(aside / manifests.REQUEST_FILE, {"instances": [_first_row(inputs)]})
        manifests.write(manifest, aside / manifests.MODEL_MANIFEST)
    exported = time.perf_counter()

    rows = {split: splits[split].rows for split in splits}
    seconds = (
        f"{exported - started:.1f} ({prepared - started:.1f} reading and preparing, {fitted - prepared:.1f} fitting, "
        f"{exported - fitted:.1f} exporting)"
    )
    rate = rows["train"] * len(epochs) / (fitted - prepared)
    facts = {
        "Device": device,
        "Seconds": seconds,
        "Rows a second while fitting": f"{rate:,.0f}",
        "Module": module or "none",
    }
    storage.write_atomically(Path(report), training_page(manifest, epochs, encoder, rows, facts))
    for name, value in (manifest.metrics | {f"{split}_rows": float(count) for split, count in rows.items()}).items():
        metrics.log_metric(name, value)
    print(f"seconds: {seconds}; best epoch {_best(epochs).number} of {len(epochs)}", flush=True)
    return manifest.fingerprint


@dataclasses.dataclass(frozen=True)
class _Inputs:
    """What was read, before anything is learned from it."""

    manifest: ExamplesManifest
    schema: schema_pb2.Schema
    schema_text: str
    features: list[Feature]
    label: LabelSpec
    tables: dict[str, pa.Table]
    """By split: the features and the label; only rows with a label that train has."""


def device_name() -> str:
    """Returns what TensorFlow will train on, such as `CPU (2 cores)`."""
    accelerators = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")
    if accelerators:
        return f"{len(accelerators)} {accelerators[0].device_type}"
    return f"CPU ({len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores)"


def _read(folder: Path, schema_path: Path, label: str, exclude: Sequence[str], task: str) -> _Inputs:
    manifest = manifests.read(ExamplesManifest, folder / manifests.EXAMPLES_MANIFEST)
    schema, text = read_schema(schema_path)
    features = select_features(schema, manifest.columns, label, list(exclude))
    columns = [*(feature.name for feature in features), label]
    tables = {split: read_split(folder, split, manifest, columns) for split in manifests.SPLITS}
    spec = describe_label(label, tables["train"][label], task)
    kept = {split: _rows_with_known_label(table, spec, split) for split, table in tables.items()}
    if not kept["eval"].num_rows:
        raise UserError(f"examples: eval has no row with a known {label!r}; raise eval_fraction in ingest_examples")
    print(
        f"{spec.task} of {label!r}: {kept['train'].num_rows:,} train and {kept['eval'].num_rows:,} eval rows, "
        f"{len(features)} features",
        flush=True,
    )
    return _Inputs(manifest, schema, text, features, spec, kept)


def _rows_with_known_label(table: pa.Table, spec: LabelSpec, split: str) -> pa.Table:
    column = table[spec.name]
    kept = table.filter(labelled(column))
    if len(kept) < len(table):
        print(f"{split}: {len(table) - len(kept):,} rows without a label are left out", flush=True)
    if not spec.classes:
        return kept
    known = targets(kept[spec.name], spec) >= 0
    if not known.all():
        print(f"{split}: {int((~known).sum()):,} rows of a class that train does not have are left out", flush=True)
        kept = kept.filter(pa.array(known))
    return kept


def _encoded(inputs: _Inputs, settings: Hyperparameters) -> tuple[Encoder, dict[str, Split]]:
    """Learns the preprocessing from train, and applies it to both splits."""
    raw = {split: raw_columns(table, inputs.features) for split, table in inputs.tables.items()}
    wanted = {split: targets(table[inputs.label.name], inputs.label) for split, table in inputs.tables.items()}
    statistics = describe(raw["train"], inputs.features)
    train_ids = Encoder(statistics).encode(raw["train"])["ids"]
    crosses = select_crosses(
        train_ids,
        statistics.sizes,
        len(statistics.numeric),
        wanted["train"],
        inputs.label,
        settings.max_crosses,
        settings.seed,
    )
    encoder = Encoder(statistics, crosses, train_ids)
    if crosses:
        print(f"crosses: {', '.join(encoder.names[len(statistics.names) :])}", flush=True)
    return encoder, {split: Split(encoder.encode(raw[split]), wanted[split], len(crosses)) for split in raw}


def _first_row(inputs: _Inputs) -> dict[str, object]:
    """Returns eval's first row as a V1 request states it: null where a value is missing or no number."""
    row = inputs.tables["eval"].slice(0, 1).to_pylist()[0]
    stated: dict[str, object] = {}
    for feature in inputs.features:
        value = row[feature.name]
        missing = value is None or (isinstance(value, float) and not np.isfinite(value))
        stated[feature.name] = None if missing else str(value) if feature.kind == CATEGORICAL else value
    return stated


def _context(inputs: _Inputs, encoder: Encoder, settings: Hyperparameters) -> ModelContext:
    return ModelContext(
        schema=inputs.schema,
        task=inputs.label.task,
        label=inputs.label.name,
        classes=inputs.label.classes,
        features={feature.name: feature.kind for feature in inputs.features},
        id_columns=tuple(encoder.names),
        id_counts=tuple(encoder.sizes),
        number_columns=tuple(feature.name for feature in encoder.statistics.numeric),
        units=inputs.label.units,
        hyperparameters=settings,
        seed=settings.seed,
        inputs=inputs_of(len(encoder.sizes), len(encoder.statistics.numeric)),
    )


def _manifest(
    inputs: _Inputs, settings: Hyperparameters, figures: dict[str, float], module: str, parent: str
) -> ModelManifest:
    recorded = dataclasses.asdict(settings) | {"hidden_units": list(settings.hidden_units), "module": module}
    return ModelManifest(
        task=inputs.label.task,
        label=inputs.label.name,
        classes=list(inputs.label.classes),
        features={feature.name: feature.kind for feature in inputs.features},
        hyperparameters={name: value for name, value in recorded.items() if name != "seed"},
        seed=settings.seed,
        examples_fingerprint=inputs.manifest.fingerprint,
        schema_fingerprint=f"sha256:{hashlib.sha256(inputs.schema_text.encode()).hexdigest()}",
        parent=parent,
        fingerprint="",
        versions=manifests.code_versions("tensorflow", "keras", "numpy", "pyarrow", "tensorflow-metadata"),
        metrics=figures,
    )


def _best(epochs: list[Epoch]) -> Epoch:
    return min(epochs, key=lambda epoch: epoch.eval_loss)


def _figures(epochs: list[Epoch], label: LabelSpec) -> dict[str, float]:
    """Returns the metrics of the best epoch, whose weights the model has."""
    best = _best(epochs)
    figures = {"loss": best.loss, "eval_loss": best.eval_loss, f"eval_{main_metric(label.task)}": best.metric}
    return {name: value for name, value in figures.items() if np.isfinite(value)}
