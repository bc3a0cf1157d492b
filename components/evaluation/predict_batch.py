"""Bulk inference: a model over an examples artifact or over files, batch by batch, Parquet out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mainspring.components.common import found_files, manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.found_files import FoundFile
from mainspring.components.common.manifests import MULTICLASS, MULTILABEL, SPLITS, ExamplesManifest, ModelManifest
from mainspring.components.evaluation import deferred_imports
from mainspring.components.evaluation.model_manifest import read_manifest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from mainspring.components.evaluation.scoring.scoring import LoadedModel

PREDICTION, PREDICTED_CLASS, PREDICTED_CLASSES = "prediction", "predicted_class", "predicted_classes"

SOURCE = "source"
"""Put before the name of a column that an output has as well."""

THRESHOLD = 0.5
"""From which a probability names its class, where several may hold."""


class Predicted(NamedTuple):
    """What was written."""

    rows: int
    unusable: int
    """Rows whose prediction is NaN, infinite or no probability: null in the output."""


@dataclass(frozen=True)
class _Input:
    """Files to predict and what is known of them."""

    files: dict[str, FoundFile]
    """By the name of the output file, relative to the output folder."""
    columns: list[str]
    fingerprint: str
    """Of the examples; empty for a source."""


def preload() -> None:
    """Imports what prediction needs, TensorFlow with it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with deferred_imports.deferred():
        import mainspring.components.evaluation.scoring.scoring  # noqa: F401


def predict_batch(
    model: str,
    predictions: str,
    examples: str = "",
    source: str = "",
    split: str = "all",
    columns: Sequence[str] | None = None,
) -> Predicted:
    """Predicts every row and writes a Parquet file for each file read, rows in the same order.

    Args:
        model: Folder of the model.
        predictions: Folder to publish.
        examples: Folder of an examples artifact; or
        source: Parquet or CSV files, here or in a bucket: a file, a folder or a pattern.
        split: Of the examples: `train`, `eval` or `all`.
        columns: Columns to repeat beside the prediction; all if none are given.

    Returns:
        How many rows were predicted, and how many of them to no use.

    Raises:
        UserError: The split or a column is unknown, or rows or model cannot be read.
    """
    manifest = read_manifest(Path(model))
    if bool(examples) == bool(source):
        raise UserError("predict_batch: give examples or source, one of them")
    if split not in (*SPLITS, "all"):
        raise UserError(f"split: expected {', '.join(SPLITS)} or all, found {split!r}")
    found = _of_examples(Path(examples), split) if examples else _of_source(source)
    chosen = [str(name) for name in columns or found.columns]
    _refuse_unknown_columns(chosen, found, manifest, "examples" if examples else "source")
    kept = _named_apart(chosen, manifest)
    preload()
    from mainspring.components.evaluation.scoring import scoring

    loaded = scoring.load(Path(model), manifest)
    rows = unusable = 0
    with storage.publishing_directory(Path(predictions)) as aside:
        for name, file in found.files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            with found_files.local(file) as path:
                done = _predict_file(path, loaded, kept, aside / name)
            rows, unusable = rows + done.rows, unusable + done.unusable
            print(f"{name}: {done.rows:,} rows", flush=True)
        content = {
            "rows": rows,
            "unusable": unusable,
            "model_fingerprint": manifest.fingerprint,
            "examples_fingerprint": found.fingerprint,
            "source": {name: file.uri for name, file in found.files.items()} if source else {},
            "task": manifest.task,
            "classes": manifest.classes,
            "versions": manifests.code_versions("tensorflow"),
        }
        storage.write_json(aside / manifests.EXAMPLES_MANIFEST, content)
    return Predicted(rows, unusable)


def _of_examples(folder: Path, split: str) -> _Input:
    manifest = manifests.read(ExamplesManifest, folder / manifests.EXAMPLES_MANIFEST)
    splits = SPLITS if split == "all" else (split,)
    files = [path for name in splits for path in sorted((folder / name).glob("*.parquet"))]
    named = {f"{path.parent.name}/{path.name}": FoundFile(str(path), None, 0.0) for path in files}
    return _Input(named, list(manifest.columns), manifest.fingerprint)


def _of_source(source: str) -> _Input:
    from mainspring.components.evaluation.scoring import sources

    files = sources.files_of(source)
    stems = [file.uri.rpartition("/")[2].split(".")[0] or "rows" for file in files]
    numbered = len(set(stems)) < len(stems)  # Files of one name in several folders.
    names = [f"{number:05d}-{stem}" if numbered else stem for number, stem in enumerate(stems)]
    named = {f"{name}.parquet": file for name, file in zip(names, files, strict=True)}
    with found_files.local(files[0]) as path:
        return _Input(named, sources.columns_of(path), "")


def _refuse_unknown_columns(kept: Sequence[str], found: _Input, manifest: ModelManifest, where: str) -> None:
    for what, names in (("columns", kept), (where, manifest.features)):
        missing = [name for name in names if name not in found.columns]
        if missing:
            raise UserError(f"{what}: {missing[0]!r} is no column of the {where}: {', '.join(found.columns)}")


def _named_apart(columns: Sequence[str], manifest: ModelManifest) -> dict[str, str]:
    """Returns the names to write columns under: those that outputs have as well get another one, which is said."""
    outputs = {PREDICTION, PREDICTED_CLASS, PREDICTED_CLASSES, *_class_columns(manifest)}
    names: dict[str, str] = {}
    for column in columns:
        name = column
        while name in outputs or (name != column and name in columns):
            name = f"{SOURCE}_{name}"
        names[column] = name
        if name != column:
            print(f"the column {column!r} is written as {name!r}: {column!r} is what the model says", flush=True)
    return names


def _predict_file(path: Path, model: LoadedModel, kept: Mapping[str, str], target: Path) -> Predicted:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mainspring.components.evaluation.scoring import scoring

    count = unusable = 0
    writer = None
    try:
        for batch in _batches(path, list(dict.fromkeys([*kept, *model.manifest.features])), model.manifest):
            if not batch.num_rows:
                continue
            values = scoring.predict({"model": model}, batch)["model"]
            added, bad = _columns(values, model.manifest)
            table = pa.table({name: batch.column(column) for column, name in kept.items()} | added)
            writer = writer or pq.ParquetWriter(target, table.schema)
            writer.write_table(table)
            count, unusable = count + batch.num_rows, unusable + bad
    finally:
        if writer:
            writer.close()
    return Predicted(count, unusable)


def _batches(path: Path, columns: list[str], manifest: ModelManifest) -> Iterator[pa.RecordBatch]:
    from mainspring.components.evaluation.scoring import sources

    return sources.batches_of(path, columns, manifest.features)


def _columns(values: NDArray[Any], manifest: ModelManifest) -> tuple[dict[str, pa.Array], int]:
    import numpy as np
    import pyarrow as pa

    from mainspring.components.evaluation.metrics.named_class import is_positive

    usable = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if manifest.classes:
        usable &= ((values >= 0) & (values <= 1)).reshape(len(values), -1).all(axis=1)
    unusable = int((~usable).sum())
    if not manifest.classes:
        return {PREDICTION: pa.array(values, mask=~usable)}, unusable
    names = np.array(manifest.classes, object)
    each = {name: pa.array(values[:, i], mask=~usable) for i, name in enumerate(_class_columns(manifest))}
    if manifest.task == MULTILABEL:
        chosen = [list(names[row > THRESHOLD]) if fine else None for row, fine in zip(values, usable, strict=True)]
        return {**each, PREDICTED_CLASSES: pa.array(chosen, pa.list_(pa.string()))}, unusable
    likeliest = values.argmax(axis=1) if values.ndim == 2 else is_positive(values, manifest.threshold).astype(np.int64)
    classes = {PREDICTED_CLASS: pa.array(names[likeliest], pa.string(), mask=~usable)}
    return (each or {PREDICTION: pa.array(values, mask=~usable)}) | classes, unusable


def _class_columns(manifest: ModelManifest) -> list[str]:
    several = manifest.task in (MULTICLASS, MULTILABEL)
    return [f"{PREDICTION}_{name}" for name in manifest.classes] if several else []
