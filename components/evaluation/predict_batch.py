"""Bulk inference: a model over an examples artifact, batch by batch, Parquet in and Parquet out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import MULTICLASS, SPLITS, ExamplesManifest, ModelManifest
from mainspring.components.evaluation.model_manifest import read_manifest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from mainspring.components.evaluation.scoring import LoadedModel

PREDICTION, PREDICTED_CLASS = "prediction", "predicted_class"


class Predicted(NamedTuple):
    """What was written."""

    rows: int
    unusable: int
    """Rows whose prediction is NaN, infinite or no probability: null in the output."""


def preload() -> None:
    """Imports what prediction needs, TensorFlow with it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import mainspring.components.evaluation.scoring  # noqa: F401


def predict_batch(
    examples: str, model: str, predictions: str, split: str = "all", columns: list[str] | None = None
) -> Predicted:
    """Predicts every row and writes `<split>/<file>.parquet` for each of the examples' files, rows in the same order.

    Args:
        examples: Folder of the examples artifact.
        model: Folder of the model.
        predictions: Folder to publish.
        split: `train`, `eval` or `all`.
        columns: Columns of the examples to repeat beside the prediction; all if none are given.

    Returns:
        How many rows were predicted, and how many of them to no use.

    Raises:
        UserError: The split or a column is unknown, or examples or model cannot be read.
    """
    manifest = read_manifest(Path(model))
    examples_manifest = manifests.read(ExamplesManifest, Path(examples) / manifests.EXAMPLES_MANIFEST)
    if split not in (*SPLITS, "all"):
        raise UserError(f"split: expected {', '.join(SPLITS)} or all, found {split!r}")
    kept = [str(name) for name in columns or examples_manifest.columns]
    for what, names in (("columns", kept), ("examples", manifest.features)):
        missing = [name for name in names if name not in examples_manifest.columns]
        if missing:
            raise UserError(
                f"{what}: {missing[0]!r} is no column of the examples: {', '.join(examples_manifest.columns)}"
            )
    taken = {PREDICTION, PREDICTED_CLASS, *_class_columns(manifest)} & set(kept)
    if taken:
        raise UserError(f"columns: {min(taken)!r} is the name of an output; choose columns without it")
    preload()
    from mainspring.components.evaluation import scoring

    loaded = scoring.load(Path(model), manifest)
    rows = unusable = 0
    with storage.publishing_directory(Path(predictions)) as aside:
        for name in SPLITS if split == "all" else [split]:
            for path in sorted((Path(examples) / name).glob("*.parquet")):
                (aside / name).mkdir(exist_ok=True)
                found = _predict_file(path, loaded, kept, aside / name / path.name)
                rows, unusable = rows + found.rows, unusable + found.unusable
                print(f"{name}/{path.name}: {found.rows:,} rows", flush=True)
        content = {
            "rows": rows,
            "unusable": unusable,
            "model_fingerprint": manifest.fingerprint,
            "examples_fingerprint": examples_manifest.fingerprint,
            "task": manifest.task,
            "classes": manifest.classes,
            "versions": manifests.code_versions("tensorflow"),
        }
        storage.write_json(aside / manifests.EXAMPLES_MANIFEST, content)
    return Predicted(rows, unusable)


def _predict_file(path: Path, model: LoadedModel, kept: list[str], target: Path) -> Predicted:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mainspring.components.evaluation import rows as reading
    from mainspring.components.evaluation import scoring

    count = unusable = 0
    writer = None
    try:
        for batch in reading.read_batches_of(path, list(dict.fromkeys([*kept, *model.manifest.features]))):
            if not batch.num_rows:
                continue
            values = scoring.predict({"model": model}, batch)["model"]
            added, bad = _columns(values, model.manifest)
            table = pa.table({name: batch.column(name) for name in kept} | added)
            writer = writer or pq.ParquetWriter(target, table.schema)
            writer.write_table(table)
            count, unusable = count + batch.num_rows, unusable + bad
    finally:
        if writer:
            writer.close()
    return Predicted(count, unusable)


def _columns(values: NDArray[Any], manifest: ModelManifest) -> tuple[dict[str, pa.Array], int]:
    import numpy as np
    import pyarrow as pa

    usable = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if manifest.classes:
        usable &= ((values >= 0) & (values <= 1)).reshape(len(values), -1).all(axis=1)
    unusable = int((~usable).sum())
    if not manifest.classes:
        return {PREDICTION: pa.array(values, mask=~usable)}, unusable
    chosen = values.argmax(axis=1) if values.ndim == 2 else (values > 0.5).astype(np.int64)
    classes = {PREDICTED_CLASS: pa.array(np.array(manifest.classes, object)[chosen], pa.string(), mask=~usable)}
    if manifest.task != MULTICLASS:
        return {PREDICTION: pa.array(values, mask=~usable), **classes}, unusable
    each = {name: pa.array(values[:, i], mask=~usable) for i, name in enumerate(_class_columns(manifest))}
    return {**each, **classes}, unusable


def _class_columns(manifest: ModelManifest) -> list[str]:
    return [f"{PREDICTION}_{name}" for name in manifest.classes] if manifest.task == MULTICLASS else []
