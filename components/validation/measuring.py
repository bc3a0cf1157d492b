"""The examples' statistics: of each split, of the newest span, and of the parts that drift is calibrated on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import manifests
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ExamplesManifest
from mainspring.components.statistics import beam_statistics, drift, slice_statistics, span_statistics, statistics_files
from mainspring.components.statistics.span_statistics import Accumulator, Piece
from mainspring.components.validation.judgement import Scope

NEWEST = "newest"
ALL = "all"
"""The only span of a source without `{SPAN}`."""

Groups = dict[str, list[Piece]]


@dataclass(frozen=True)
class Measured:
    """The examples' statistics."""

    scopes: list[Scope]
    """Newest (if train has several spans), train and eval, in the order in which sentences prefer them."""
    parts: Callable[[], list[DatasetFeatureStatisticsList]]
    """Gives the statistics of train's newest spans, oldest first; of pieces of the span if there is only one."""
    sliced: Callable[[], dict[str, DatasetFeatureStatisticsList]]
    """Gives the slices' statistics of newest, train and eval; of none if no slices are asked for."""
    several_spans: bool
    files: dict[str, list[Path]]
    """The files of train and of eval."""

    def scope(self, name: str) -> Scope:
        """Returns `train` or `eval`."""
        return next(scope for scope in self.scopes if scope.name == name)

    @property
    def newest(self) -> Scope:
        """The newest span of train, which is train itself if the span is alone."""
        return self.scopes[0]


def measure(
    folder: Path,
    manifest: ExamplesManifest,
    slices: Sequence[str],
    beam_options: Sequence[str],
    scratch: Path,
    categorical: tuple[str, ...] = (),
) -> Measured:
    """Computes the statistics, here or on Beam.

    Args:
        folder: Of the examples artifact.
        manifest: Its manifest.
        slices: Columns for each of whose values statistics are wanted as well.
        beam_options: Beam's pipeline options; empty: here.
        scratch: A folder that Beam's workers can write as well.
        categorical: Columns of whole numbers that are counted by value, as text is.

    Raises:
        UserError: A file is missing, damaged, or of other columns than the first.
    """
    if not manifest.spans:
        raise UserError(f"{folder / manifests.EXAMPLES_MANIFEST}: names no spans; ingest the examples again")
    train = [folder / "train" / f"{span}.parquet" for span in manifest.spans]
    held_out = [path for span in manifest.spans if (path := folder / "eval" / f"{span}.parquet").exists()]
    span_statistics.refuse_mixed_columns([*train, *held_out])
    alone = len(train) == 1
    cut = {path: span_statistics.pieces(path) for path in held_out}
    cut |= {path: span_statistics.pieces(path, span_statistics.PIECES_OF_A_LONE_SPAN * alone) for path in train}
    rows = {path: pieces[-1].stop for path, pieces in cut.items()}
    print(f"Reading {sum(rows.values()):,} rows from {len(rows)} files.", flush=True)
    groups = {"train": [piece for path in train for piece in cut[path]], NEWEST: list(cut[train[-1]])}
    groups["eval"] = [piece for path in held_out for piece in cut[path]]
    parts = [[piece] for piece in cut[train[0]]] if alone else [cut[path] for path in train[-drift.SPANS_COMPARED :]]
    files = {"train": train, "eval": held_out}
    if beam_options:
        found = _on_beam(groups, parts, slices, beam_options, scratch, categorical)
    else:
        found = _here(groups, parts, {**files, NEWEST: train[-1:]}, slices, categorical)
    newest = manifest.spans[-1]
    of_newest = [path for path in cut if path.name == train[-1].name]
    number = {name: sum(piece.stop - piece.start for piece in pieces) for name, pieces in groups.items()}
    scopes = [Scope("eval", "eval", number["eval"], found.whole["eval"], held_out, held_out)]
    if alone and newest == ALL:
        scopes.insert(0, Scope("train", "train", number["train"], found.whole["train"], train, train))
    elif alone:
        scopes.insert(0, Scope("train", f"span {newest}", number["train"], found.whole["train"], of_newest, train))
    else:
        scopes.insert(0, Scope("train", "train", number["train"], found.whole["train"], train, train))
        scopes.insert(0, Scope(NEWEST, f"span {newest}", number[NEWEST], found.whole[NEWEST], of_newest, train[-1:]))
    return Measured(scopes, found.parts, found.sliced, not alone, files)


@dataclass(frozen=True)
class _Found:
    """Statistics by group, and what gives those of the parts and of the slices."""

    whole: dict[str, DatasetFeatureStatisticsList]
    parts: Callable[[], list[DatasetFeatureStatisticsList]]
    sliced: Callable[[], dict[str, DatasetFeatureStatisticsList]]


def _here(
    groups: Groups,
    parts: list[list[Piece]],
    files: Mapping[str, list[Path]],
    slices: Sequence[str],
    categorical: tuple[str, ...],
) -> _Found:
    every = list(dict.fromkeys(piece for pieces in groups.values() for piece in pieces))
    states: dict[Piece, Accumulator] = dict(zip(every, span_statistics.accumulate(every, categorical), strict=True))

    def extracted(pieces: Sequence[Piece]) -> DatasetFeatureStatisticsList:
        return span_statistics.extract([states[piece] for piece in pieces])

    def sliced() -> dict[str, DatasetFeatureStatisticsList]:
        if not slices:
            return {}
        return {name: slice_statistics.of_files(paths, slices, categorical) for name, paths in files.items()}

    # A lone span is train and the newest at once.
    once = {pieces: extracted(pieces) for pieces in {tuple(pieces) for pieces in groups.values()}}
    whole = {name: once[tuple(pieces)] for name, pieces in groups.items()}
    return _Found(whole, lambda: [extracted(part) for part in parts], sliced)


def _on_beam(
    groups: Groups,
    parts: list[list[Piece]],
    slices: Sequence[str],
    options: Sequence[str],
    scratch: Path,
    categorical: tuple[str, ...],
) -> _Found:
    numbered = {f"part {number}": part for number, part in enumerate(parts)}
    print(f"Statistics by Beam: {' '.join(options)}", flush=True)
    of_parts = beam_statistics.of_groups(numbered, [], options, scratch, categorical)
    with_slices = beam_statistics.of_groups(groups, slices, options, scratch, categorical)
    whole = {name: statistics_files.without_slices(one) for name, one in with_slices.items()}
    sliced = {name: statistics_files.slices_of(one) for name, one in with_slices.items()} if slices else {}
    return _Found(whole, lambda: list(of_parts.values()), lambda: sliced)
