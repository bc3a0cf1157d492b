"""Whether examples are fit to train on: statistics, schema, anomalies, drift, and a verdict that fails closed."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import time
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import text_format
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import manifests, storage
from mainspring.components.common.buckets import local_copy
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import SCHEMA_FILE, STATISTICS_FILE, ExamplesManifest
from mainspring.components.statistics import (
    beam_statistics,
    categories,
    comparators,
    slice_statistics,
    statistics_files,
)
from mainspring.components.validation import confirm_verdict, measuring, schemas, validation_report
from mainspring.components.validation.checks import anomaly_checks, own_checks
from mainspring.components.validation.checks.own_checks import Asked
from mainspring.components.validation.judgement import Judgement, Scope, cannot_judge
from mainspring.components.validation.measuring import NEWEST, Measured
from mainspring.components.validation.policy import anomaly_kinds, policy_yaml
from mainspring.components.validation.schemas import UsedSchema

ANOMALIES_FILE = "anomalies.pbtxt"
VALIDATION_FILE = "validation.json"


class Validated(NamedTuple):
    """The verdict."""

    valid: bool
    """True only if every check was made and none failed."""
    reasons: str
    """What is wrong, a sentence a line; empty if valid."""
    terms: str
    """Until when the verdict holds, as `confirm_verdict` reads it; empty if that does not depend on the day."""


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
    key: list[str] | None = None,
    exclude: list[str] | None = None,
    timestamp: str = "",
    max_age_days: float = 0.0,
    serving_statistics_uri: str = "",
    slices: list[str] | None = None,
    beam_options: list[str] | None = None,
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
        key: Columns whose values together must not lie in train and in eval.
        exclude: Columns that training leaves out, and that may give the label away.
        timestamp: Column that says when a row is from; see `freshness`. Empty: the age is not judged.
        max_age_days: The newest row may be this old.
        serving_statistics_uri: Statistics of what was served, for skew: the file, or the folder that holds it.
        slices: Columns for each of whose values the published statistics hold a dataset as well.
        beam_options: Beam's pipeline options: statistics are computed there. Empty: here.

    Raises:
        UserError: The examples or the schema cannot be read, or the label is unknown.
    """
    started = time.monotonic()
    folder = storage.as_path(examples)
    manifest = manifests.read(ExamplesManifest, folder / manifests.EXAMPLES_MANIFEST)
    loaded = _given_schema(schema_uri, baseline_uri)
    _refuse_unknown_label(label, manifest, loaded)
    asked = Asked(label, key or [], exclude or [], timestamp, float(max_age_days))
    asked.refuse_nonsense(list(manifest.columns))
    if loaded:
        comparators.refuse_meaningless(
            loaded.proto, manifest.columns, where=f"the {loaded.source} schema", exclude=asked.exclude
        )
    slice_statistics.refuse_unusable(slices or [], manifest.columns)
    beam_statistics.refuse_malformed(beam_options or [])
    columns = [*manifest.columns, *(feature.name for feature in (loaded.proto.feature if loaded else ()))]
    checked = policy_yaml.parse(policy, columns)
    categorical = categories.of_schema(loaded.proto if loaded else None)
    scratch = Path(statistics).parent
    measured = measuring.measure(folder, manifest, slices or [], beam_options or [], scratch, categorical)
    used = loaded or _infer(measured, manifest, label)
    print(f"Schema: {used.source}, {len(used.proto.feature)} features.", flush=True)
    baseline, unreadable = _baseline_statistics(baseline_uri)
    judgement = Judgement(policy=checked)
    _judge(judgement, measured, used, asked, int(min_rows), baseline, unreadable)
    if serving_statistics_uri:
        _judge_skew(judgement, measured.newest, used, serving_statistics_uri)
    reasons = judgement.reasons()
    print(f"Verdict after {time.monotonic() - started:.1f} s: {'valid' if not reasons else 'refused'}.", flush=True)
    for reason in reasons:
        print(f"  {reason}", flush=True)
    _publish_statistics(measured.scopes, measured.sliced(), Path(statistics))
    with storage.publishing_directory(Path(schema)) as aside:
        (aside / SCHEMA_FILE).write_text(used.text, encoding="utf-8", newline="")
    page = validation_report.page(measured.scopes, used, judgement, baseline, baseline_uri)
    storage.write_atomically(Path(report), page)
    with storage.publishing_directory(Path(anomalies)) as aside:
        text = text_format.MessageToString(judgement.anomalies, as_utf8=True)
        (aside / ANOMALIES_FILE).write_text(text, encoding="utf-8")
        storage.write_json(aside / VALIDATION_FILE, _content(measured, manifest, used, judgement, baseline_uri))
    return Validated(not reasons, "\n".join(reasons), confirm_verdict.as_text(judgement.terms))


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


def _infer(measured: Measured, manifest: ExamplesManifest, label: str) -> UsedSchema:
    train, evaluation = measured.scope("train"), measured.scope("eval")
    if not train.rows:
        raise UserError(
            f"train has no rows in any of the spans {', '.join(manifest.spans)}; there is no schema to infer"
        )
    return schemas.infer(train.statistics, evaluation.statistics, measured.parts(), label, measured.several_spans)


def _baseline_statistics(baseline_uri: str) -> tuple[DatasetFeatureStatisticsList | None, str]:
    """Returns the statistics of the baseline's newest span, or of its train split, or why there are none."""
    if not baseline_uri:
        return None, ""
    folder = local_copy(baseline_uri) / "statistics"
    path = next((path for name in (NEWEST, "train") if (path := folder / name / STATISTICS_FILE).exists()), None)
    if path is None:
        return None, f"baseline: {folder} holds no {NEWEST}/{STATISTICS_FILE}; drift cannot be judged"
    found, problem = statistics_files.read(path)
    return found, f"baseline: {problem}; drift cannot be judged" if problem else ""


def _judge_skew(judgement: Judgement, newest: Scope, schema: UsedSchema, uri: str) -> None:
    path = local_copy(uri)
    serving, problem = statistics_files.read(path / STATISTICS_FILE if path.is_dir() else path)
    if serving is None:
        cannot_judge(judgement, "skew", f"serving_statistics_uri: {problem}; skew cannot be judged")
    elif newest.rows:
        anomaly_checks.against_serving(judgement, newest, schema, serving)


def _judge(
    judgement: Judgement,
    measured: Measured,
    schema: UsedSchema,
    asked: Asked,
    min_rows: int,
    baseline: DatasetFeatureStatisticsList | None,
    unreadable: str,
) -> None:
    newest = measured.newest
    anomaly_checks.enough_rows(judgement, measured.scopes, min_rows)
    anomaly_checks.label_is_usable(judgement, measured.scopes, asked.label)
    for scope in measured.scopes:
        if scope.rows:
            anomaly_checks.against_schema(judgement, scope, schema, baseline if scope is newest else None)
    anomaly_checks.columns_have_values(judgement, measured.scopes, schema)
    own_checks.numbers_are_finite(judgement, measured.scopes)
    own_checks.repeated_rows_and_keys(judgement, measured.files, asked.key)
    own_checks.gives_the_label_away(judgement, measured.files["train"], asked)
    if asked.timestamp:
        own_checks.newest_row_is_young(judgement, newest, asked, datetime.datetime.now(datetime.timezone.utc))
    if baseline is not None:
        own_checks.row_count(judgement, newest, baseline)
        own_checks.label_balance(judgement, newest, baseline, asked.label)
    if unreadable:
        cannot_judge(judgement, "drift", unreadable)


def _publish_statistics(scopes: list[Scope], sliced: dict[str, DatasetFeatureStatisticsList], target: Path) -> None:
    by_folder = {scope.name: scope.statistics for scope in scopes}
    by_folder.setdefault(NEWEST, by_folder["train"])
    with storage.publishing_directory(target) as aside:
        for name, whole in by_folder.items():
            content = statistics_files.with_slices(whole, sliced[name]) if name in sliced else whole
            (aside / name).mkdir()
            (aside / name / STATISTICS_FILE).write_bytes(content.SerializeToString(deterministic=True))


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
        "warnings": [finding.sentence for finding in judgement.of_severity(anomaly_kinds.WARNING)],
        "findings": [dataclasses.asdict(finding) for finding in judgement.findings],
        "drift": [dataclasses.asdict(found) for found in judgement.drifts],
        "skew": [dataclasses.asdict(found) for found in judgement.skews],
        "rows": {NEWEST: rows["train"], **rows},
        "spans": manifest.spans,
        "examples_fingerprint": manifest.fingerprint,
        "schema": {"source": schema.source, "fingerprint": schema.fingerprint},
        "baseline_uri": baseline_uri,
    }
