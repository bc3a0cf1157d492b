"""The published model: SavedModel, manifest, schema and a request to try it with, in one folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from mainspring.components.common import code, manifests, storage
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.training.features.columns import CATEGORICAL
from mainspring.components.training.features.labels import LabelSpec
from mainspring.components.training.features.preprocessing import Encoder
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.scores import main_metric
from mainspring.components.training.fitting.threshold import HALF, Threshold
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.publishing.exporting import export
from mainspring.components.training.resuming.warm_start import write_preprocessing
from mainspring.components.training.rows.preparing import Examples, Prepared, first_row


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, beside examples, schema and hyperparameters."""

    module: str
    """As the parameter has it; empty for the built-in model."""
    module_digest: str
    """Of its source."""
    parent: str
    """URI of the version it is to replace, or empty."""


@dataclass(frozen=True)
class Fitted:
    """A fitted model of whatever kind, as it is published and reported."""

    kind: str
    """`network`, `trees` or `linear`."""
    label: LabelSpec
    epochs: list[Epoch]
    """Of boosted trees, rounds."""
    kept: Epoch
    """The one whose model this is."""
    train_rows: int
    eval_rows: int
    sample_row: dict[str, object]
    """A row of eval as a V1 request states it."""
    treatments: list[tuple[str, str, str]]
    """What became of each feature: its name, its kind, and what is done with it."""
    write: Callable[[Path, float], None]
    """Writes the SavedModel with its threshold, and what belongs to it, into a folder."""
    threshold: Threshold | None = None
    """Of a label of two classes."""
    said: dict[str, str] = field(default_factory=dict)
    """More about it, for the page."""
    published: Callable[[], None] = lambda: None
    """Is called once it is published: what a retry would have gone on from may go."""


@dataclass(frozen=True)
class Tried:
    """What one kind of model reached on rows of train that were held out."""

    model: str
    loss: float
    metric: float
    seconds: float
    rows: int
    """Held out."""


def of_network(model: keras.Model, prepared: Prepared, epochs: list[Epoch], kept: Epoch, kind: str) -> Fitted:
    """Returns a Keras model over encoded rows, ready to be published."""

    def write(folder: Path, threshold: float) -> None:
        export(model, prepared.encoder, prepared.label, folder, threshold)
        write_preprocessing(model, prepared.encoder, prepared.label, folder)

    return Fitted(
        kind=kind,
        label=prepared.label,
        epochs=epochs,
        kept=kept,
        train_rows=prepared.train_rows,
        eval_rows=prepared.evaluation.rows,
        sample_row=first_row(prepared),
        treatments=encoder_treatments(prepared.encoder),
        write=write,
    )


def encoder_treatments(encoder: Encoder) -> list[tuple[str, str, str]]:
    """Returns what the encoder does with each feature."""
    statistics, found = encoder.statistics, []
    for place, feature in enumerate(statistics.numeric):
        bins = len(statistics.edges[place]) + 1
        mean, deviation = float(statistics.mean[place]) + feature.offset, float(statistics.deviation[place])
        treatment = f"{bins} bins; standardised (mean {mean:.4g}, deviation {deviation:.4g})"
        found.append((feature.name, feature.kind, treatment))
    for feature, vocabulary in zip(statistics.categorical, statistics.vocabularies, strict=True):
        found.append((feature.name, feature.kind, f"{len(vocabulary):,} known values, unseen, missing"))
    names, sizes = encoder.names[len(found) :], encoder.sizes[len(found) :]
    return found + [(name, "cross", f"{size:,} cells") for name, size in zip(names, sizes, strict=True)]


def publish(
    fitted: Fitted,
    examples: Examples,
    settings: Hyperparameters,
    origin: Origin,
    target: Path,
    tried: Sequence[Tried] = (),
) -> ModelManifest:
    """Publishes the model at `target`, which must not hold anything yet, and returns its manifest.

    Raises:
        UserError: `target` holds something.
        RetriableError: The disk is full.
    """
    label, threshold = fitted.label, fitted.threshold
    recorded = settings.recorded() | {"model": fitted.kind, "module": origin.module}
    recorded |= {"module_digest": f"sha256:{origin.module_digest}"} if origin.module else {}
    manifest = ModelManifest(
        task=label.task,
        label=label.name,
        classes=list(label.classes),
        features={feature.name: feature.kind for feature in examples.features},
        hyperparameters=recorded,
        seed=settings.seed,
        examples_fingerprint=examples.manifest.fingerprint,
        schema_fingerprint=f"sha256:{hashlib.sha256(examples.schema_text.encode()).hexdigest()}",
        parent=origin.parent,
        fingerprint="",
        versions=manifests.code_versions(
            "tensorflow", "keras", "numpy", "pyarrow", "scikit-learn", "tensorflow-metadata"
        ),
        metrics=_figures(fitted.kept, label),
        tried=[dataclasses.asdict(one) for one in tried],
        moments=[feature.name for feature in examples.features if feature.name in examples.manifest.moments],
        booleans=[name for name in examples.columns if name in examples.manifest.booleans],
        integers=[each.name for each in examples.features if each.kind == CATEGORICAL and each.is_integer],
        spans=examples.manifest.spans,
        threshold=threshold.value if threshold else None,
        threshold_by=threshold.by if threshold else "",
        code=code.code_fingerprint(),
        lock=code.lock_fingerprint("training"),
    )
    with storage.publishing_directory(target) as aside:
        fitted.write(aside, threshold.value if threshold else HALF)
        manifest = dataclasses.replace(manifest, fingerprint=storage.fingerprint_of_files(aside))
        storage.write_atomically(aside / manifests.SCHEMA_FILE, examples.schema_text)
        storage.write_json(aside / manifests.REQUEST_FILE, {"instances": [fitted.sample_row]})
        manifests.write(examples.manifest, aside / manifests.EXAMPLES_FILE)
        manifests.write(manifest, aside / manifests.MODEL_MANIFEST)
    return manifest


def _figures(kept: Epoch, label: LabelSpec) -> dict[str, float]:
    figures = {"loss": kept.loss, "eval_loss": kept.eval_loss, f"eval_{main_metric(label.task)}": kept.metric}
    return {name: value for name, value in figures.items() if np.isfinite(value)}
