"""Whether examples are fit to train on: statistics, schema, anomalies, drift, and a verdict that fails closed."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import text_format
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import manifests, storage
from mainspring.components.common.buckets import local_copy
from mainspring.components.common.errors import UserError, visible
from mainspring.components.common.manifests import SCHEMA_FILE, STATISTICS_FILE, ExamplesManifest
from mainspring.components.statistics import (
    beam_statistics,
    categories,
    comparators,
    slice_statistics,
    statistics_files,
)
from mainspring.components.statistics.span_statistics import by_name
from mainspring.components.validation import confirm_verdict, growing, measuring, schemas, validation_report
from mainspring.components.validation.checks import (
    anomaly_checks,
    column_checks,
    empty_rows,
    own_checks,
    row_identities,
)
from mainspring.components.validation.checks.own_checks import Asked
from mainspring.components.validation.checks.row_identities import Identities, Repetition
from mainspring.components.validation.judgement import Judgement, Scope, cannot_judge
from mainspring.components.validation.measuring import NEWEST, Measured
from mainspring.components.validation.policy import anomaly_kinds, policy_yaml
from mainspring.components.validation.policy.policy import Policy
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
    accept: list[str] | None = None,
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
        accept: Columns that are meant to be otherwise from now on: the schema learns them anew from these rows.

    Raises:
        UserError: The examples or the schema cannot be read, or the label is unknown.
    """
    started = time.monotonic()
    folder = storage.as_path(examples)
    manifest = manifests.read(ExamplesManifest, folder / manifests.EXAMPLES_MANIFEST)
    loaded = _given_schema(schema_uri, baseline_uri)
    _refuse_unknown_label(label, manifest, loaded)
    asked = Asked(label, key or [], exclude or [], timestamp, float(max_age_days), accept or [])
    known = list(loaded.features) if loaded else []
    asked.refuse_nonsense(list(manifest.columns), known)
    if loaded:
        where, taken_back = f"the {loaded.source} schema", [*asked.exclude, *asked.accept]
        comparators.refuse_meaningless(loaded.proto, manifest.columns, where=where, exclude=taken_back)
    slice_statistics.refuse_unusable(slices or [], manifest.columns)
    beam_statistics.refuse_malformed(beam_options or [])
    checked = policy_yaml.parse(policy, [*manifest.columns, *known])
    categorical = tuple(
        name
        for name in categories.of_schema(loaded.proto if loaded else None)
        if manifest.columns.get(name) == "int64" and name not in asked.accept
    )
    scratch = Path(statistics).parent
    measured = measuring.measure(folder, manifest, slices or [], beam_options or [], scratch, categorical)
    limit = row_identities.limit_for(sum(scope.rows for scope in measured.scopes), len(manifest.columns))
    identities = {split: row_identities.read(paths, asked.key, limit) for split, paths in measured.files.items()}
    judgement = Judgement(policy=checked, exclude=asked.exclude, accept=asked.accept, learns=loaded is not None)
    scopes = empty_rows.set_aside(judgement, measured.scopes, identities)
    repetition = row_identities.repetition(identities["train"])
    inferred = None
    if loaded is None or asked.accept:
        inferred = _infer(measured, scopes, manifest, label, checked, repetition)
    used = schemas.learnt_anew(loaded, inferred, asked.accept) if loaded and inferred else loaded or inferred
    assert used is not None
    print(f"Schema: {used.source}, {len(used.proto.feature)} features.", flush=True)
    judgement.left_out = _left_out(used, manifest, checked, asked)
    judged = schemas.judging_drift(used, judgement.left_out, checked.judge)
    baseline, unreadable = _baseline_statistics(baseline_uri)
    _judge(judgement, measured, scopes, judged, asked, int(min_rows), baseline, unreadable, identities, repetition)
    if serving_statistics_uri:
        _judge_skew(judgement, scopes[0], judged, serving_statistics_uri)
    reasons = judgement.reasons()
    print(f"Verdict after {time.monotonic() - started:.1f} s: {'valid' if not reasons else 'refused'}.", flush=True)
    _tell(judgement, baseline is not None)
    _publish_statistics(measured.scopes, measured.sliced(), Path(statistics))
    with storage.publishing_directory(Path(schema)) as aside:
        (aside / SCHEMA_FILE).write_text(used.text, encoding="utf-8", newline="")
    told = validation_report.Told(
        judged, judgement, baseline, baseline_uri, manifest.moments, _version_of(baseline_uri)
    )
    page = validation_report.page(measured.scopes, told)
    storage.write_atomically(Path(report), page)
    with storage.publishing_directory(Path(anomalies)) as aside:
        text = text_format.MessageToString(judgement.anomalies, as_utf8=True)
        (aside / ANOMALIES_FILE).write_text(text, encoding="utf-8")
        storage.write_json(aside / VALIDATION_FILE, _content(measured, manifest, used, judgement, baseline_uri))
    together = judgement.all_accepted()
    said = [*reasons, *([f"to accept all of it at once: {together}"] if together else [])]
    return Validated(not reasons, "\n".join(said), confirm_verdict.as_text(judgement.terms))


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


def _infer(
    measured: Measured,
    scopes: list[Scope],
    manifest: ExamplesManifest,
    label: str,
    policy: Policy,
    repetition: Mapping[str, Repetition],
) -> UsedSchema:
    train, evaluation = (next(scope for scope in scopes if scope.name == name) for name in ("train", "eval"))
    if not train.rows:
        raise UserError(
            f"train has no rows in any of the spans {', '.join(manifest.spans)}; there is no schema to infer"
        )
    parts, several = measured.parts(), measured.several_spans
    unique = [name for name, found in repetition.items() if found.unique]
    left_out = growing.at_first(train.statistics, parts, manifest.moments, unique, several_spans=several)
    left_out.pop(label, None)
    left_out |= dict.fromkeys(policy.leave_out, growing.ASKED)
    return schemas.infer(train.statistics, evaluation.statistics, parts, label, several, left_out, policy.judge)


def _left_out(used: UsedSchema, manifest: ExamplesManifest, policy: Policy, asked: Asked) -> dict[str, str]:
    """Returns why columns are left out of drift: as the schema says, dates, and what call and policy leave out."""
    found = growing.marked(used.proto)
    if used.source != "given":
        found |= {name: growing.DATE for name in manifest.moments if name in used.features and name != asked.label}
    found |= dict.fromkeys(policy.leave_out, growing.ASKED)
    found |= {name: "training leaves it out (exclude)" for name in asked.exclude if name in used.features}
    found |= {name: "this run learns it anew (accept)" for name in asked.accept if name in used.features}
    return {name: why for name, why in found.items() if name not in policy.judge or name in asked.accept}


def _tell(judgement: Judgement, compared: bool) -> None:
    """Prints what was found, with what can be done about it."""
    for finding in judgement.findings:
        if finding.error:
            print(f"  {finding.reason}", flush=True)
            print(
                f"    what follows from allowing it: {finding.consequence or 'nothing may: it is not known'}",
                flush=True,
            )
        elif finding.severity == anomaly_kinds.WARNING:
            print(f"  warning: {finding.sentence} [{finding.kind}]", flush=True)
    if judgement.all_accepted():
        print(f"  To accept all of it at once: {judgement.all_accepted()}", flush=True)
    if compared and judgement.left_out:
        named = ", ".join(f"{visible(name)} ({why})" for name, why in judgement.left_out.items())
        print(f"Left out of drift: {named}. The policy's drift: {{judge: [COLUMN]}} has one judged.", flush=True)


def _version_of(baseline_uri: str) -> str:
    """Returns the published version that a baseline is, in words; empty if it is none."""
    path = local_copy(baseline_uri) / manifests.VERSION_MANIFEST if baseline_uri else None
    if path is None or not path.exists():
        return ""
    version = manifests.read(manifests.VersionManifest, path)
    return f"version {version.version} of {version.name}, the served model when this run began"


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
    scopes: list[Scope],
    schema: UsedSchema,
    asked: Asked,
    min_rows: int,
    baseline: DatasetFeatureStatisticsList | None,
    unreadable: str,
    identities: Mapping[str, Sequence[Identities]],
    repetition: Mapping[str, Repetition],
) -> None:
    newest = scopes[0]
    anomaly_checks.enough_rows(judgement, scopes, min_rows)
    anomaly_checks.label_is_usable(judgement, scopes, asked.label)
    own_checks.numbers_are_finite(judgement, scopes)
    if baseline is not None and newest.rows:
        own_checks.label_balance(judgement, newest, baseline, asked.label)
    for scope in scopes:
        if scope.rows:
            anomaly_checks.against_schema(judgement, scope, schema, baseline if scope is newest else None)
    anomaly_checks.columns_have_values(judgement, scopes, schema)
    train = next(scope for scope in scopes if scope.name == "train")
    column_checks.say_what_they_are(judgement, train, asked.label, repetition)
    own_checks.repeated_rows_and_keys(judgement, identities, asked.key)
    own_checks.gives_the_label_away(judgement, measured.files["train"], asked)
    if asked.timestamp:
        own_checks.newest_row_is_young(judgement, newest, asked, datetime.datetime.now(datetime.timezone.utc))
    if baseline is not None:
        own_checks.row_count(judgement, newest, baseline)
        column_checks.constants_that_moved(judgement, newest, by_name(baseline), asked.label)
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
        "accept": judgement.all_accepted(),
        "left_out_of_drift": judgement.left_out,
        "drift": [dataclasses.asdict(found) for found in judgement.drifts],
        "skew": [dataclasses.asdict(found) for found in judgement.skews],
        "rows": {NEWEST: rows["train"], **rows},
        "spans": manifest.spans,
        "examples_fingerprint": manifest.fingerprint,
        "schema": {"source": schema.source, "fingerprint": schema.fingerprint},
        "baseline_uri": baseline_uri,
    }
