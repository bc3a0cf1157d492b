"""The published model: SavedModel, manifest, schema and a request to try it with, in one folder."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from mainspring.components.common import manifests, storage
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.scores import main_metric
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.publishing.exporting import export
from mainspring.components.training.resuming.warm_start import write_preprocessing
from mainspring.components.training.rows.preparing import Prepared, first_row


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, beside examples, schema and hyperparameters."""

    module: str
    """As the parameter has it; empty for the built-in model."""
    module_digest: str
    """Of its source."""
    parent: str
    """URI of the version it is to replace, or empty."""


def publish(
    model: keras.Model,
    prepared: Prepared,
    settings: Hyperparameters,
    kept: Epoch,
    origin: Origin,
    target: Path,
) -> ModelManifest:
    """Publishes the model at `target`, which must not hold anything yet, and returns its manifest.

    Raises:
        UserError: `target` holds something.
        RetriableError: The disk is full.
    """
    examples = prepared.examples
    recorded = settings.recorded() | {"module": origin.module}
    recorded |= {"module_digest": f"sha256:{origin.module_digest}"} if origin.module else {}
    manifest = ModelManifest(
        task=prepared.label.task,
        label=prepared.label.name,
        classes=list(prepared.label.classes),
        features={feature.name: feature.kind for feature in examples.features},
        hyperparameters=recorded,
        seed=settings.seed,
        examples_fingerprint=examples.manifest.fingerprint,
        schema_fingerprint=f"sha256:{hashlib.sha256(examples.schema_text.encode()).hexdigest()}",
        parent=origin.parent,
        fingerprint="",
        versions=manifests.code_versions("tensorflow", "keras", "numpy", "pyarrow", "tensorflow-metadata"),
        metrics=_figures(kept, prepared.label),
    )
    with storage.publishing_directory(target) as aside:
        export(model, prepared.encoder, prepared.label, aside)
        write_preprocessing(model, prepared.encoder, prepared.label, aside)
        manifest = dataclasses.replace(manifest, fingerprint=storage.fingerprint_of_files(aside))
        storage.write_atomically(aside / manifests.SCHEMA_FILE, examples.schema_text)
        storage.write_json(aside / manifests.REQUEST_FILE, {"instances": [first_row(prepared)]})
        manifests.write(manifest, aside / manifests.MODEL_MANIFEST)
    return manifest


def _figures(kept: Epoch, label: LabelSpec) -> dict[str, float]:
    figures = {"loss": kept.loss, "eval_loss": kept.eval_loss, f"eval_{main_metric(label.task)}": kept.metric}
    return {name: value for name, value in figures.items() if np.isfinite(value)}
