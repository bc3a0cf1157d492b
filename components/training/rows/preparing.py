"""From the examples artifact to encoded rows: reads it, learns the preprocessing from train, and applies it.

A table that fits is read once and stays in memory. A larger one is read three times, a part at a time, and its encoded
rows go to disk; what is held in memory no longer depends on how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2

from mainspring.components.common import manifests
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import BINARY, ExamplesManifest
from mainspring.components.common.written import written_values
from mainspring.components.training.features import surveying
from mainspring.components.training.features.columns import CATEGORICAL, Feature, read_schema, select_features
from mainspring.components.training.features.crosses import select_crosses
from mainspring.components.training.features.labels import (
    LabelSpec,
    LabelValues,
    describe_label,
    labelled,
    targets,
    told_task,
)
from mainspring.components.training.features.preprocessing import (
    Cross,
    Encoder,
    RawColumns,
    cells_of,
    encoding,
    raw_columns,
)
from mainspring.components.training.hyperparameters import Hyperparameters
from mainspring.components.training.resuming.warm_start import Champion
from mainspring.components.training.rows.allocating import give_large_arrays_back
from mainspring.components.training.rows.blocks import Blocks, Layout, deal, pack
from mainspring.components.training.rows.examples import count_rows, read_batches
from mainspring.components.training.rows.feed import Split
from mainspring.components.training.rows.offsets import with_offsets

KNOWN_CELL_ROWS = 2
"""A cross's cell with fewer rows in train is unknown."""
JUDGED_CELLS = 2_000_000
"""Of an eval of more rows times columns than that, training is judged on a sample; `evaluate_model` judges on all."""
ARROW_TYPES = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}


@dataclass(frozen=True)
class Examples:
    """What is trained on, before anything is learned from it."""

    folder: Path
    manifest: ExamplesManifest
    schema: schema_pb2.Schema
    schema_text: str
    features: list[Feature]
    label: str

    @property
    def columns(self) -> list[str]:
        """The features' columns and the label's."""
        return [*(feature.name for feature in self.features), self.label]

    def batches(self, split: str) -> Iterator[pa.Table]:
        """Yields a split's rows, a part at a time."""
        return read_batches(self.folder, split, self.manifest, self.columns)


def rarer_share(examples: Examples, task: str) -> float | None:
    """Returns the rarer class's share of train's rows with a label; None where the label is not of two classes."""
    values = LabelValues()
    for table in read_batches(examples.folder, "train", examples.manifest, [examples.label]):
        values.add(table[examples.label])
    distinct = sorted(values.rows)
    if len(distinct) != 2 or told_task(examples.manifest.columns[examples.label], distinct, task) != BINARY:
        return None
    return min(values.rows.values()) / values.count


@dataclass(frozen=True)
class Shard:
    """Which of the rows this worker trains on: each `count`-th."""

    number: int = 0
    count: int = 1


@dataclass(frozen=True)
class Prepared:
    """Examples as a model eats them."""

    examples: Examples
    label: LabelSpec
    encoder: Encoder
    train: Blocks
    evaluation: Split
    """Eval, or a sample of it where it is large: what training is judged by."""
    train_rows: int
    """Train's rows with a label, of all workers."""
    class_rows: tuple[int, ...]
    """Of those, how many each class has."""
    sample_row: pa.Table
    """One row of eval."""
    notes: tuple[str, ...]
    """What of the columns cannot be learned as it is, and what to do."""
    champion: Champion | None
    """Whose preprocessing it is and whose weights to start from; None for a cold start."""


def open_examples(folder: Path, schema_path: Path, label: str, exclude: Sequence[str]) -> Examples:
    """Reads the manifest and the schema, and chooses the features.

    Raises:
        UserError: One of them cannot be read, or they do not fit together.
    """
    manifest = manifests.read(ExamplesManifest, folder / manifests.EXAMPLES_MANIFEST)
    schema, text = read_schema(schema_path)
    features = with_offsets(select_features(schema, manifest.columns, label, list(exclude)), folder, manifest)
    return Examples(folder, manifest, schema, text, features, label)


def prepare(
    examples: Examples,
    task: str,
    settings: Hyperparameters,
    scratch: Path,
    shard: Shard = Shard(),
    champion: Champion | None = None,
) -> Prepared:
    """Learns the preprocessing from train, and encodes train and eval.

    Args:
        examples: From `open_examples`.
        task: One of the tasks, or `auto`.
        settings: Seed, batch size and how many crosses.
        scratch: Folder for encoded rows that do not stay in memory.
        shard: This worker's part of train; the preprocessing is learned from all of it.
        champion: A model to start from: its preprocessing is taken over where features and label are the same.

    Raises:
        UserError: The label cannot be learned, there is nothing to judge by, a file cannot be read, or the disk is
            too small.
    """
    give_large_arrays_back()
    most = max(surveying.RESIDENT_CELLS // len(examples.columns), 1)
    rows = count_rows(examples.folder, "train", examples.manifest)
    train = surveying.survey(examples.batches("train"), examples.features, examples.label, rows, most, settings.seed)
    if train.rows != rows:
        raise UserError(f"examples: train has {train.rows:,} rows, not {rows:,} as its manifest says; ingest it again")
    _say_left_out("train", train)
    kind, is_boolean = examples.manifest.columns[examples.label], examples.label in examples.manifest.booleans
    label = describe_label(examples.label, kind, train.labels, task, is_boolean)
    evaluation = _judging_rows(examples, label, max(JUDGED_CELLS // len(examples.columns), 1), settings.seed)
    print(
        f"{label.task} of {label.name!r}: {train.labelled_rows:,} train and {len(evaluation):,} eval rows, "
        f"{len(examples.features)} features",
        flush=True,
    )
    notes = tuple(train.resolution.notes())
    sample = _table(examples, train.sample)
    raw = raw_columns(sample, examples.features)
    is_resident = rows <= most
    if champion and (problem := champion.problem_with(examples.features, label)):
        print(f"cold start, not from {champion.uri}: {problem}", flush=True)
        champion = None
    if champion:
        encoder, label = champion.encoder, champion.label
    else:
        encoder = _learned_encoder(examples, train, sample, raw, label, settings, is_resident)
        notes = tuple(surveying.notes(train, encoder.statistics))
    if label.needs_doubles:
        notes += (f"{label.name}: float32 would lose what is learned of it, so predictions are served as float64",)
    for note in notes:
        print(note, flush=True)
    encode, layout = encoding(encoder), _layout(encoder, label)

    def packed(table: pa.Table) -> np.ndarray:
        return pack(encode(raw_columns(table, examples.features)), targets(table[label.name], label))

    if is_resident:
        own = pack(encode(raw), targets(sample[label.name], label))[shard.number :: shard.count]
        own = own[: train.labelled_rows // shard.count]
        blocks = Blocks(layout, (len(own),), own, ())
    else:
        del sample, raw  # What was learned from is not to be held beside what is trained on.
        train.sample.clear()
        own_rows = train.labelled_rows // shard.count
        print(f"train does not stay in memory: {own_rows:,} encoded rows go to {scratch}", flush=True)
        parts = _own_rows(_labelled_batches(examples), shard, own_rows)
        blocks = deal(map(packed, parts), layout, own_rows, settings.batch_size, scratch, settings.seed)
    inputs = encode(raw_columns(evaluation, examples.features))
    judged = Split(inputs, targets(evaluation[label.name], label))
    class_rows = tuple(train.labels.rows[value] for value in sorted(train.labels.rows)) if label.classes else ()
    sample_row = evaluation.slice(0, 1)
    return Prepared(
        examples, label, encoder, blocks, judged, train.labelled_rows, class_rows, sample_row, notes, champion
    )


def _learned_encoder(
    examples: Examples,
    train: surveying.Survey,
    sample: pa.Table,
    raw: RawColumns,
    label: LabelSpec,
    settings: Hyperparameters,
    is_resident: bool,
) -> Encoder:
    statistics = surveying.statistics(train, raw)
    encode = encoding(Encoder(statistics))
    ids = encode(raw)["ids"]
    crosses = select_crosses(
        ids,
        statistics.sizes,
        len(statistics.numeric),
        targets(sample[label.name], label),
        label,
        settings.max_crosses,
        settings.seed,
    )
    if not crosses:
        return Encoder(statistics)
    parts = [ids] if is_resident else _ids_of(examples, encode)
    encoder = Encoder(statistics, crosses, _known_cells(crosses, parts))
    print(f"crosses: {', '.join(encoder.names[len(statistics.names) :])}", flush=True)
    return encoder


def _ids_of(examples: Examples, encode: Callable[[RawColumns], dict[str, np.ndarray]]) -> Iterator[np.ndarray]:
    for table in _labelled_batches(examples):
        yield encode(raw_columns(table, examples.features))["ids"]


def _known_cells(crosses: Sequence[Cross], parts: Iterator[np.ndarray] | list[np.ndarray]) -> list[np.ndarray]:
    counts = [np.zeros(cross.cells, np.int64) for cross in crosses]
    for ids in parts:
        for cross, count in zip(crosses, counts, strict=True):
            count += np.bincount(cells_of(cross, ids), minlength=cross.cells)
    return [count >= KNOWN_CELL_ROWS for count in counts]


def judging_rows(examples: Examples, encoder: Encoder, label: LabelSpec, seed: int) -> tuple[Split, pa.Table]:
    """Returns eval's rows (a sample where there are many) as an encoder and a label learned before have them.

    Args:
        examples: From `open_examples`.
        encoder: The preprocessing.
        label: The label.
        seed: Of the sample.

    Returns:
        The encoded rows, and one row as it is.

    Raises:
        UserError: There is none.
    """
    table = _judging_rows(examples, label, max(JUDGED_CELLS // len(examples.columns), 1), seed)
    inputs = encoding(encoder)(raw_columns(table, examples.features))
    return Split(inputs, targets(table[label.name], label)), table.slice(0, 1)


def _judging_rows(examples: Examples, label: LabelSpec, most: int, seed: int) -> pa.Table:
    """Returns eval's rows with a label that train has, a sample where there are more than `most`."""
    rows = count_rows(examples.folder, "eval", examples.manifest)
    seen = surveying.survey(examples.batches("eval"), [], label.name, rows, most, seed)
    _say_left_out("eval", seen)
    table = _table(examples, seen.sample)
    if rows > most:
        print(f"eval: training is judged on {len(table):,} of {seen.labelled_rows:,} rows", flush=True)
    if label.classes:
        known = targets(table[label.name], label) >= 0
        if not known.all():
            print(f"eval: {int((~known).sum()):,} rows of a class that train does not have are left out", flush=True)
            table = table.filter(pa.array(known))
    if not len(table):
        raise UserError(
            f"examples: eval has no row with a known {label.name!r}; raise eval_fraction in ingest_examples"
        )
    return table


def _say_left_out(split: str, seen: surveying.Survey) -> None:
    if seen.labelled_rows < seen.rows:
        print(f"{split}: {seen.rows - seen.labelled_rows:,} rows without a label are left out", flush=True)


def _labelled_batches(examples: Examples) -> Iterator[pa.Table]:
    for table in examples.batches("train"):
        yield table.filter(labelled(table[examples.label]))


def _own_rows(batches: Iterator[pa.Table], shard: Shard, rows: int) -> Iterator[pa.Table]:
    """Yields each `count`-th row, `rows` in all: as many as every other worker has."""
    seen = given = 0
    for table in batches:
        places = np.arange((shard.number - seen) % shard.count, len(table), shard.count)[: rows - given]
        seen, given = seen + len(table), given + len(places)
        yield table if shard.count == 1 else table.take(pa.array(places))


def _table(examples: Examples, parts: list[pa.Table]) -> pa.Table:
    kinds = [pa.field(name, ARROW_TYPES[examples.manifest.columns[name]]) for name in examples.columns]
    try:
        return pa.concat_tables([pa.schema(kinds).empty_table(), *parts], promote_options="permissive")
    except pa.ArrowException as error:
        raise UserError(
            f"examples: {examples.folder} holds columns of other types than its manifest says ({error}); "
            "ingest it again"
        ) from error


def _layout(encoder: Encoder, label: LabelSpec) -> Layout:
    return Layout(
        ids=len(encoder.sizes),
        crosses=len(encoder.crosses),
        numbers=2 * len(encoder.statistics.numeric),
        has_float_target=not label.classes,
    )


def first_row(prepared: Prepared) -> dict[str, object]:
    """Returns a row of eval as a V1 request states it."""
    return stated_row(prepared.sample_row, prepared.examples)


def stated_row(table: pa.Table, examples: Examples) -> dict[str, object]:
    """Returns a table's first row as a V1 request states it, as its source has it: null where a value is missing."""
    manifest = examples.manifest
    row = table.slice(0, 1).to_pylist()[0]
    stated: dict[str, object] = {}
    for feature in examples.features:
        value = row[feature.name]
        missing = value is None or (isinstance(value, float) and not np.isfinite(value))
        if missing:
            stated[feature.name] = None
        elif feature.name in manifest.booleans:
            stated[feature.name] = bool(value)
        elif feature.name in manifest.moments:
            stated[feature.name] = written_values.moment(value)
        else:
            stated[feature.name] = str(value) if feature.kind == CATEGORICAL else value
    return stated
