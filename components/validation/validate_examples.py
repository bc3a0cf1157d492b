"""Whether examples are fit to train on: statistics, schema, anomalies, drift, and a verdict that fails closed."""

from __future__ import annotations

import dataclasses
import difflib
import time
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import SCHEMA_FILE, STATISTICS_FILE, ExamplesManifest
from mainspring.components.validation import (
    checks,
    drift,
    kinds,
    policy_yaml,
    schemas,
    span_statistics,
    validation_report,
)
from mainspring.components.validation.checks import Judgement, Scope
from mainspring.components.validation.schemas import UsedSchema
from mainspring.components.validation.span_statistics import Accumulator

NEWEST = "newest"
ALL = "all"
"""The only span of a source without `{SPAN}`."""
ANOMALIES_FILE = "anomalies.pbtxt"
VALIDATION_FILE = "validation.json"


class Validated(NamedTuple):
    """The verdict."""

    valid: bool
    """True only if every check was made and none failed."""
    reasons: str
    """What is wrong, a sentence a line; empty if valid."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The examples' statistics."""

    scopes: list[Scope]
    """Newest (if train has several spans), train and eval, in the order in which sentences prefer them."""
    parts: list[list[Accumulator]]
    """Accumulators of each of train's spans, oldest first; of pieces of the span if there is only one."""
    several_spans: bool

    def scope(self, name: str) -> Scope:
        """Returns `train` or `eval`."""
        return next(scope for scope in self.scopes if scope.name == name)

    @property
    def newest(self) -> Scope:
        """The newest span of train, which is train itself if the span is alone."""
        return self.scopes[0]


def validate_examples(
    examples: str,
    label: str,
    statistics: str,
    schema: str,
    anomalies: str,
    report: str,
    schema_uri: str = "",
    baseline_uri: str = "",
    min_rows: int = 100,
    policy: str = "",
) -> Validated:
    """Validates examples against a schema and a baseline; writes statistics, schema, anomalies and a report.

    Args:
        examples: Folder of the examples artifact.
        label: The label's column.
        statistics: Folder to write: `train/`, `eval/` and `newest/`, each with `FeatureStats.pb`.
        schema: Folder to write: `schema.pbtxt`.
        anomalies: Folder to write: `anomalies.pbtxt` and `validation.json`.
        report: HTML file to write.
        schema_uri: A curated schema: the file, or a folder with `schema.pbtxt`. Empty: the baseline's, else inferred.
        baseline_uri: Folder with `schema.pbtxt` and `statistics/`: what drift is measured against. Empty: no check.
        min_rows: Fewer rows in train are refused.
        policy: Severities, allowances and limits as YAML, or the path of a .yaml file; empty: the defaults.

    Raises:
        UserError: The examples or the schema cannot be read, or the label is unknown.
    """
    started = time.monotonic()
    folder = storage.as_path(examples)
    manifest = manifests.read(ExamplesManifest, folder / manifests.EXAMPLES_MANIFEST)
    loaded = _given_schema(schema_uri, baseline_uri)
    _refuse_unknown_label(label, manifest, loaded)
    columns = [*manifest.columns, *(feature.name for feature in (loaded.proto.feature if loaded else ()))]
    checked = policy_yaml.parse(policy, columns)
    measured = _measure(folder, manifest)
    used = loaded or _infer(measured, manifest, label)
    print(f"Schema: {used.source}, {len(used.proto.feature)} features.", flush=True)
    baseline, unreadable = _baseline_statistics(baseline_uri)
    judgement = Judgement(policy=checked)
    _judge(judgement, measured, used, label, int(min_rows), baseline, unreadable)
    reasons = judgement.reasons()
    print(f"Verdict after {time.monotonic() - started:.1f} s: {'valid' if not reasons else 'refused'}.", flush=True)
    for reason in reasons:
        print(f"  {reason}", flush=True)
    _publish_statistics(measured.scopes, Path(statistics))
    with storage.publishing_directory(Path(schema)) as aside:
        (aside / SCHEMA_FILE).write_text(used.text, encoding="utf-8", newline="")
    page = validation_report.page(measured.scopes, used, judgement, baseline, baseline_uri)
    storage.write_atomically(Path(report), page)
    with storage.publishing_directory(Path(anomalies)) as aside:
        text = text_format.MessageToString(judgement.anomalies, as_utf8=True)
        (aside / ANOMALIES_FILE).write_text(text, encoding="utf-8")
        storage.write_json(aside / VALIDATION_FILE, _content(measured, manifest, used, judgement, baseline_uri))
    return Validated(not reasons, "\n".join(reasons))


def _given_schema(schema_uri: str, baseline_uri: str) -> UsedSchema | None:
    if schema_uri:
        return schemas.load(schema_uri, "given")
    return schemas.load(schemas.schema_file(baseline_uri), "baseline") if baseline_uri else None


def _refuse_unknown_label(label: str, manifest: ExamplesManifest, schema: UsedSchema | None) -> None:
    """A label that no one ever knew is a mistake in the call; one that the schema knows has vanished from the data."""
    if label in manifest.columns or (schema and schema.knows(label)):
        return
    close = difflib.get_close_matches(label, manifest.columns, n=3, cutoff=0.5)
    hint = f"close to it: {', '.join(close)}" if close else f"the columns are {', '.join(manifest.columns)}"
    raise UserError(f"label={label!r} is not a column of the examples; {hint}")


def _measure(folder: Path, manifest: ExamplesManifest) -> Measured:
    if not manifest.spans:
        raise UserError(f"{folder / manifests.EXAMPLES_MANIFEST}: names no spans; ingest the examples again")
    train_files = [folder / "train" / f"{span}.parquet" for span in manifest.spans]
    eval_files = [path for span in manifest.spans if (path := folder / "eval" / f"{span}.parquet").exists()]
    span_statistics.refuse_mixed_columns([*train_files, *eval_files])
    alone = len(train_files) == 1
    cut = {path: span_statistics.pieces(path) for path in eval_files}
    cut |= {path: span_statistics.pieces(path, span_statistics.PIECES_OF_A_LONE_SPAN * alone) for path in train_files}
    rows = {path: pieces[-1].stop for path, pieces in cut.items()}
    print(f"Reading {sum(rows.values()):,} rows from {len(rows)} files.", flush=True)
    flat = [piece for pieces in cut.values() for piece in pieces]
    by_file: dict[Path, list[Accumulator]] = {path: [] for path in cut}
    for piece, state in zip(flat, span_statistics.accumulate(flat), strict=True):
        by_file[piece.path].append(state)
    newest, of_newest = manifest.spans[-1], [path for path in cut if path.name == train_files[-1].name]

    def scope(name: str, words: str, paths: list[Path], files: list[Path]) -> Scope:
        statistics = span_statistics.extract([state for path in paths for state in by_file[path]])
        return Scope(name, words, sum(rows[path] for path in paths), statistics, files)

    if alone:
        scopes = [scope("train", "train" if newest == ALL else f"span {newest}", train_files, of_newest)]
    else:
        scopes = [
            scope(NEWEST, f"span {newest}", train_files[-1:], of_newest),
            scope("train", "train", train_files, train_files),
        ]
    scopes.append(scope("eval", "eval", eval_files, eval_files))
    parts = [[state] for state in by_file[train_files[0]]] if alone else [by_file[path] for path in train_files]
    return Measured(scopes, parts, not alone)


def _infer(measured: Measured, manifest: ExamplesManifest, label: str) -> UsedSchema:
    train, evaluation = measured.scope("train"), measured.scope("eval")
    if not train.rows:
        raise UserError(
            f"train has no rows in any of the spans {', '.join(manifest.spans)}; there is no schema to infer"
        )
    states = measured.parts[-drift.SPANS_COMPARED :]
    known = [measured.newest.statistics] if measured.several_spans else []
    parts = [span_statistics.extract(part) for part in states[: len(states) - len(known)]] + known
    return schemas.infer(train.statistics, evaluation.statistics, parts, label, measured.several_spans)


def _baseline_statistics(baseline_uri: str) -> tuple[DatasetFeatureStatisticsList | None, str]:
    """Returns the statistics of the baseline's newest span, or of its train split, or why there are none."""
    if not baseline_uri:
        return None, ""
    folder = storage.as_path(baseline_uri) / "statistics"
    path = next((path for name in (NEWEST, "train") if (path := folder / name / STATISTICS_FILE).exists()), None)
    if path is None:
        return None, f"baseline: {folder} holds no {NEWEST}/{STATISTICS_FILE}; drift cannot be judged"
    try:
        found = DatasetFeatureStatisticsList.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        return None, f"baseline: {path} cannot be read as TFDV statistics ({error}); drift cannot be judged"
    if len(found.datasets) != 1 or not found.datasets[0].num_examples:
        return None, f"baseline: {path} holds no statistics; drift cannot be judged"
    return found, ""


def _judge(
    judgement: Judgement,
    measured: Measured,
    schema: UsedSchema,
    label: str,
    min_rows: int,
    baseline: DatasetFeatureStatisticsList | None,
    unreadable: str,
) -> None:
    newest = measured.newest
    checks.enough_rows(judgement, measured.scopes, min_rows)
    checks.label_is_usable(judgement, measured.scopes, label)
    for scope in measured.scopes:
        if scope.rows:
            checks.against_schema(judgement, scope, schema, baseline if scope is newest else None)
    checks.columns_have_values(judgement, measured.scopes, schema)
    if unreadable:
        checks.cannot_judge(judgement, "drift", unreadable)


def _publish_statistics(scopes: list[Scope], target: Path) -> None:
    by_folder = {scope.name: scope for scope in scopes}
    by_folder.setdefault(NEWEST, by_folder["train"])
    with storage.publishing_directory(target) as aside:
        for name, scope in by_folder.items():
            (aside / name).mkdir()
            (aside / name / STATISTICS_FILE).write_bytes(scope.statistics.SerializeToString(deterministic=True))


def _content(
    measured: Measured, manifest: ExamplesManifest, schema: UsedSchema, judgement: Judgement, baseline_uri: str
) -> dict[str, Any]:
    """Returns what `validation.json` holds."""
    reasons = judgement.reasons()
    rows = {scope.name: scope.rows for scope in measured.scopes}
    return {
        "valid": not reasons,
        "reasons": reasons,
        "checks": [{"check": check, "passed": passed} for check, passed in judgement.made.items()],
        "warnings": [finding.sentence for finding in judgement.of_severity(kinds.WARNING)],
        "findings": [dataclasses.asdict(finding) for finding in judgement.findings],
        "drift": [dataclasses.asdict(found) for found in judgement.drifts],
        "rows": {NEWEST: rows["train"], **rows},
        "spans": manifest.spans,
        "examples_fingerprint": manifest.fingerprint,
        "schema": {"source": schema.source, "fingerprint": schema.fingerprint},
        "baseline_uri": baseline_uri,
    }
