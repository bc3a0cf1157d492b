"""Predictions by an Apache Beam runner: a file each worker, for more rows than one machine predicts in good time.

What comes back is what one machine would have: the labels, predictions and slices of each row, some bytes a row. The
metrics are summed here, so the verdict is the same whoever predicted.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from numpy.typing import NDArray

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.policy.policy import Buckets
from mainspring.components.evaluation.scoring import rows, scoring
from mainspring.components.evaluation.scoring.scoring import LoadedModel, ScoredRows
from mainspring.components.evaluation.slices import slice_columns


def score(
    folder: Path,
    models: Mapping[str, LoadedModel],
    slice_features: Sequence[str],
    buckets: Mapping[str, Buckets],
    others: Mapping[str, scoring.Predictor],
    options: Sequence[str],
) -> ScoredRows:
    """Runs all models over the rows of `folder` on a Beam runner; see `scoring.score`.

    Args:
        folder: The split's folder, which the workers reach under the same path.
        models: By role; the workers load them from the same folders.
        slice_features: Columns to keep for slicing.
        buckets: How to cut those of them that are numbers.
        others: By role, further predictors.
        options: Beam's pipeline options; `--temp_location` is where workers leave what they scored.

    Raises:
        ModelFailure: A model cannot predict the rows.
        UserError: A file cannot be read, an option is wrong, or the runner fails.
    """
    edges = scoring.edges_by_feature(folder, {name: buckets[name] for name in slice_features if name in buckets})
    files = [str(path) for path in rows.files(folder)]
    if not files:
        return scoring.score_files([], models, slice_features, edges)
    folders = {role: (model.folder, model.manifest) for role, model in models.items()}
    with tempfile.TemporaryDirectory() as here:
        try:
            parsed = PipelineOptions(list(options))
            shared = parsed.view_as(GoogleCloudOptions).temp_location or here
            work = _ScoreFile(folders, slice_features, edges, others, shared)
            with beam.Pipeline(options=parsed) as pipeline:
                _ = pipeline | beam.Create(list(enumerate(files))) | beam.Reshuffle() | beam.ParDo(work)
            names = [_part(shared, number) for number in range(len(files))]
            parts = [_read(name) for name in names]
            FileSystems.delete(names)
        except (Exception, SystemExit) as error:  # A runner wraps what a worker raised in errors of its own.
            raise _as_users(error) from error
    return joined(parts)


def joined(parts: Sequence[ScoredRows]) -> ScoredRows:
    """Returns the rows of several parts as one, in their order."""
    filled = [part for part in parts if len(part)] or list(parts[:1])
    queries = tuple(dict.fromkeys(name for part in filled for name in part.queries))
    number = {name: index for index, name in enumerate(queries)}
    labels = [_renumbered(part, number) if queries else part.labels for part in filled]
    roles, features = filled[0].predictions, filled[0].slices
    return ScoredRows(
        labels=np.concatenate(labels),
        predictions={role: np.concatenate([part.predictions[role] for part in filled]) for role in roles},
        slices={name: slice_columns.joined([part.slices[name] for part in filled]) for name in features},
        unlabelled=sum(part.unlabelled for part in parts),
        seconds=sum(part.seconds for part in parts),
        queries=queries,
    )


class _ScoreFile(beam.DoFn):
    """Scores one file and leaves what came of it in the shared folder."""

    def __init__(
        self,
        folders: Mapping[str, tuple[Path, ModelManifest]],
        slice_features: Sequence[str],
        edges: Mapping[str, NDArray[np.float64]],
        others: Mapping[str, scoring.Predictor],
        shared: str,
    ) -> None:
        self._folders, self._features, self._edges, self._others = folders, slice_features, edges, others
        self._shared = shared
        self._models: dict[str, LoadedModel] = {}

    def setup(self) -> None:
        """Loads the models, once for each worker."""
        self._models = {role: scoring.load(folder, manifest) for role, (folder, manifest) in self._folders.items()}

    def process(self, element: tuple[int, str]) -> Iterator[int]:
        """Scores a file; the same file again writes the same part again."""
        number, file = element
        scored = scoring.score_files([Path(file)], self._models, self._features, self._edges, self._others)
        with FileSystems.create(_part(self._shared, number), mime_type="application/octet-stream") as target:
            target.write(_as_bytes(scored))
        yield number


def _part(shared: str, number: int) -> str:
    return str(FileSystems.join(shared, f"scored-{number:05d}"))


def _as_bytes(scored: ScoredRows) -> bytes:
    """Returns rows as numpy's archive of plain arrays: nothing in it is code, so reading it back runs none."""
    described = {
        "names": {feature: column.names for feature, column in scored.slices.items()},
        "roles": list(scored.predictions),
        "unlabelled": scored.unlabelled,
        "seconds": scored.seconds,
        "queries": scored.queries,
    }
    arrays = {f"role.{number}": array for number, array in enumerate(scored.predictions.values())}
    arrays |= {f"slice.{number}": column.codes for number, column in enumerate(scored.slices.values())}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, described=np.array(json.dumps(described)), labels=scored.labels, **arrays)
    return content.getvalue()


def _from_bytes(content: bytes) -> ScoredRows:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        described = json.loads(str(arrays["described"]))
        return ScoredRows(
            labels=arrays["labels"],
            predictions={role: arrays[f"role.{number}"] for number, role in enumerate(described["roles"])},
            slices={
                feature: slice_columns.SliceColumn(arrays[f"slice.{number}"], names)
                for number, (feature, names) in enumerate(described["names"].items())
            },
            unlabelled=described["unlabelled"],
            seconds=described["seconds"],
            queries=tuple(described["queries"]),
        )


def _read(name: str) -> ScoredRows:
    with FileSystems.open(name, mime_type="application/octet-stream") as file:
        return _from_bytes(file.read())


def _renumbered(part: ScoredRows, number: Mapping[str, int]) -> NDArray[Any]:
    table = np.array([number[name] for name in part.queries], np.float64)
    return np.column_stack([part.labels[:, 0], table[part.labels[:, 1].astype(np.int64)]])


def _as_users(error: BaseException) -> UserError:
    """Returns the user's mistake inside a runner's error, which wraps it, or the runner's failure as one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return UserError(f"beam_options: the Beam runner failed: {type(error).__name__}: {str(error)[:300]}")
