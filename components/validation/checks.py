"""What is wrong with the examples: TFDV's anomalies, and what TFDV does not look at."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics import drift, validating
from mainspring.components.statistics.span_statistics import by_name, common, value_counts
from mainspring.components.validation import kinds, samples, words
from mainspring.components.validation.confirm_verdict import Term
from mainspring.components.validation.policy import Decision, Policy
from mainspring.components.validation.schemas import UsedSchema

DATASET = ""
"""The feature of findings that are about the rows as a whole."""


@dataclass(frozen=True)
class Scope:
    """Rows that are judged together."""

    name: str
    """`newest`, `train` or `eval`."""
    words: str
    """How sentences call it, such as `span 8`."""
    rows: int
    statistics: DatasetFeatureStatisticsList
    files: Sequence[Path]
    """Where values are counted that a sentence names: all of a span's files, or those of the split."""

    @functools.cached_property
    def features(self) -> dict[str, Any]:
        """`FeatureNameStatistics` by column."""
        return by_name(self.statistics)


@dataclass(frozen=True)
class Finding:
    """Something that a check found."""

    feature: str
    kind: str
    """As in `kinds`."""
    scope: str
    error: bool
    """Whether it refuses the examples; otherwise it is only mentioned."""
    sentence: str
    severity: str = kinds.ERROR
    """`error`, `warning` or `ignore`: the kind's own, until the policy has been asked."""
    note: str = ""
    """What the policy says about it."""
    rows: Sequence[samples.Sample] = ()
    """Some of the rows that show it."""


@dataclass
class Judgement:
    """What the checks found so far."""

    findings: list[Finding] = field(default_factory=list)
    anomalies: anomalies_pb2.Anomalies = field(default_factory=anomalies_pb2.Anomalies)
    drifts: list[drift.Drift] = field(default_factory=list)
    skews: list[drift.Drift] = field(default_factory=list)
    made: dict[str, bool] = field(default_factory=dict)
    """Whether each check passed, by its name."""
    policy: Policy = field(default_factory=Policy)
    today: datetime.date = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc).date())
    """The day, in UTC, by which allowances expire."""
    terms: list[Term] = field(default_factory=list)
    """Until when what was found holds, where it does not hold for ever."""

    def reasons(self) -> list[str]:
        """Returns the sentences of all errors, one for each column and kind."""
        return [finding.sentence for finding in self.findings if finding.error]

    def of_severity(self, severity: str) -> list[Finding]:
        """Returns the findings of a severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def add(self, check: str, findings: Sequence[Finding]) -> list[Finding]:
        """Takes in a check's findings, as severe as the policy says; returns them so.

        A column's second finding of the same kind says nothing new, nor does a second one about the same rows.
        """
        decisions = [self.policy.decide(one.kind, one.feature, one.severity, self.today) for one in findings]
        decided = [_decided(finding, decision) for finding, decision in zip(findings, decisions, strict=True)]
        self.made[check] = self.made.get(check, True) and not any(finding.error for finding in decided)
        known = {_identity(finding) for finding in self.findings}
        for finding, decision in zip(decided, decisions, strict=True):
            if _identity(finding) not in known:
                self.findings.append(finding)
                self.terms += _terms(finding, decision)
                known.add(_identity(finding))
        return decided


def _decided(finding: Finding, decision: Decision) -> Finding:
    error = decision.severity == kinds.ERROR
    sentence = f"{finding.sentence} ({decision.note})" if error and decision.note else finding.sentence
    return dataclasses.replace(finding, error=error, severity=decision.severity, note=decision.note, sentence=sentence)


def _terms(finding: Finding, decision: Decision) -> list[Term]:
    if decision.expires is None:
        return []
    end = datetime.datetime.combine(decision.expires, datetime.time.max, datetime.timezone.utc)
    return [Term(end, f"{finding.sentence} (it was {decision.note}; that has expired)")]


def own_finding(feature: str, kind: str, scope: str, sentence: str, rows: Sequence[samples.Sample] = ()) -> Finding:
    """Returns a finding of ours, as severe as its kind is by itself."""
    severity = kinds.OURS.get(kind, kinds.ERROR)
    return Finding(feature, kind, scope, severity == kinds.ERROR, sentence, severity, rows=rows)


def against_schema(
    judgement: Judgement, scope: Scope, schema: UsedSchema, previous: DatasetFeatureStatisticsList | None = None
) -> None:
    """Validates one scope with TFDV, and its drift from earlier statistics if there are any."""
    judged = schema.proto
    if previous is not None and schema.source != "given":
        judged = drift.suited(judged, previous, scope.statistics)
    found = validating.validate(scope.statistics, judged, schema.environment, previous=previous)
    measured = drift.measured(found)
    drifts, before = {one.feature: one for one in measured}, by_name(previous) if previous is not None else {}
    infos = [info for _, info in sorted(found.anomaly_info.items())]
    if found.HasField("dataset_anomaly_info"):
        infos.append(found.dataset_anomaly_info)
    shifts: list[Finding] = []
    others: list[Finding] = []
    for info in infos:
        for reason in info.reason:
            finding = _finding(scope, schema, info, reason, drifts, before)
            is_shift = finding.kind == kinds.DRIFT or finding.kind.startswith("comparator_")
            (shifts if is_shift else others).append(finding)
    judgement.add(f"schema: {scope.name}", others)
    if previous is not None:
        judgement.add("drift", shifts)
        judgement.drifts = measured
    _merge(judgement, found)


def against_serving(
    judgement: Judgement, newest: Scope, schema: UsedSchema, serving: DatasetFeatureStatisticsList
) -> None:
    """Measures the skew between the newest span and what was served."""
    judged = drift.with_skew_thresholds(schema.proto)
    if schema.source != "given":
        judged = drift.suited(judged, serving, newest.statistics)
    known = [feature.name for feature in judged.feature if feature.HasField("skew_comparator")]
    if not known:
        reason = "skew: no feature of the schema has a skew_comparator or a drift_comparator; skew cannot be judged"
        return cannot_judge(judgement, "skew", reason)
    found = validating.validate(newest.statistics, judged, schema.environment, serving=serving)
    judgement.skews = drift.skew_measured(found)
    skews, served = {one.feature: one for one in judgement.skews}, by_name(serving)
    skewed = anomalies_pb2.Anomalies()
    skewed.drift_skew_info.extend(found.drift_skew_info)
    findings = []
    for key, info in sorted(found.anomaly_info.items()):
        for reason in info.reason:
            name = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
            if not name.startswith("COMPARATOR_"):
                continue
            entry = skewed.anomaly_info[key]
            entry.path.CopyFrom(info.path)
            entry.severity = info.severity
            entry.reason.append(reason)
            _describe(entry)
            sentence = words.of_skew(name, reason, info.path.step[0], newest, skews, served)
            findings.append(own_finding(info.path.step[0], kinds.SKEW, newest.name, sentence))
    judgement.add("skew", findings)
    _merge(judgement, skewed)
    return None


def enough_rows(judgement: Judgement, scopes: Sequence[Scope], min_rows: int) -> None:
    """Refuses fewer than `min_rows` rows in train, and splits or newest spans without any row."""
    findings = []
    for scope in scopes:
        if scope.name == "train" and scope.rows < min_rows:
            sentence = f"train: {words.count(scope.rows, 'row')}; at least {min_rows:,} are needed (min_rows)"
            findings.append(own_finding(DATASET, kinds.TOO_FEW_ROWS, scope.name, sentence))
        elif scope.rows == 0:
            sentence = f"{scope.words}: no rows; it cannot be judged"
            findings.append(own_finding(DATASET, kinds.CANNOT_JUDGE, scope.name, sentence))
    add_own(judgement, "rows", findings)


def label_is_usable(judgement: Judgement, scopes: Sequence[Scope], label: str) -> None:
    """Refuses a label that is not there, is missing in some rows, or has one value only in train."""
    findings = []
    for scope in (scope for scope in scopes if scope.rows):
        feature = scope.features.get(label)
        if feature is None:
            sentence = f"{label}: not a column of the examples any more; it is the label"
            findings.append(own_finding(label, kinds.PRESENCE, scope.name, sentence))
            continue
        missing = common(feature).num_missing
        if missing:
            share = words.of_rows(missing, scope.rows)
            sentence = (
                f"{label}: missing in {share} of {scope.words}; it is the label: "
                "leave out the rows without it in the query"
            )
            rows = samples.where(scope.files, label, pc.is_null)
            findings.append(own_finding(label, kinds.PRESENCE, scope.name, sentence, rows))
        only = _only_value(feature)
        if scope.name == "train" and only is not None:
            sentence = f"{label}: the same value ({only}) in every row of train; it is the label: nothing to learn"
            findings.append(own_finding(label, kinds.LABEL_CONSTANT, scope.name, sentence))
    add_own(judgement, "label", findings)


def columns_have_values(judgement: Judgement, scopes: Sequence[Scope], schema: UsedSchema) -> None:
    """Refuses columns without any value in train, where the schema was inferred from it and cannot object."""
    findings = []
    for scope in scopes:
        if scope.name != "train" or schema.source != "inferred":
            continue
        for name, feature in scope.features.items():
            if not common(feature).num_non_missing:
                sentence = f"{name}: missing in all rows of train; leave the column out in the query"
                findings.append(own_finding(name, kinds.PRESENCE, scope.name, sentence))
    add_own(judgement, "columns", findings)


def cannot_judge(judgement: Judgement, check: str, reason: str) -> None:
    """Refuses the examples because a check could not be made."""
    add_own(judgement, check, [own_finding(DATASET, kinds.CANNOT_JUDGE, check, reason)])


def _finding(
    scope: Scope,
    schema: UsedSchema,
    info: anomalies_pb2.AnomalyInfo,
    reason: anomalies_pb2.AnomalyInfo.Reason,
    drifts: Mapping[str, drift.Drift],
    before: Mapping[str, Any],
) -> Finding:
    name = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
    kind = kinds.of_tfdv(name, kinds.DRIFT)
    feature = info.path.step[0] if info.path.step else DATASET
    sentence = words.of_anomaly(name, reason, feature, scope, schema, drifts, before)
    severity = kinds.WARNING if info.severity == anomalies_pb2.AnomalyInfo.WARNING else kinds.ERROR
    expected = schema.features.get(feature)
    domain = words.domain(schema.proto, expected).value if expected is not None else ()
    rows = samples.of_anomaly(kind, feature, scope.files, expected, domain)
    return Finding(feature, kind, scope.name, severity == kinds.ERROR, sentence, severity, rows=rows)


def _identity(finding: Finding) -> tuple[str, str, str]:
    return finding.feature, finding.kind, finding.scope if finding.feature == DATASET else ""


def _only_value(feature: object) -> str | None:
    counts = common(feature)
    if not counts.num_non_missing:
        return None
    if feature.HasField("string_stats"):  # type: ignore[attr-defined]
        values = value_counts(feature)
        return next(iter(values)) if len(values) == 1 else None
    numbers = feature.num_stats  # type: ignore[attr-defined]
    return f"{numbers.min:g}" if numbers.min == numbers.max else None


def add_own(judgement: Judgement, check: str, findings: Sequence[Finding]) -> None:
    """Adds findings that TFDV did not make, to its proto as well, as custom validations."""
    for finding in judgement.add(check, findings):
        if finding.feature == DATASET:
            info = judgement.anomalies.dataset_anomaly_info
        else:
            info = judgement.anomalies.anomaly_info[finding.feature]
            info.path.step[:] = [finding.feature]
        severity = anomalies_pb2.AnomalyInfo.ERROR if finding.error else anomalies_pb2.AnomalyInfo.WARNING
        info.severity = max(info.severity, severity)
        reason = info.reason.add(type=anomalies_pb2.AnomalyInfo.CUSTOM_VALIDATION)
        reason.short_description = finding.kind.replace("_", " ").capitalize()
        reason.description = finding.sentence
        _describe(info)


def _merge(judgement: Judgement, found: anomalies_pb2.Anomalies) -> None:
    """Adds TFDV's anomalies as they are, but no more severe than the policy finds them."""
    into = judgement.anomalies
    errors = {finding.feature for finding in judgement.findings if finding.error}
    for key, info in found.anomaly_info.items():
        target = into.anomaly_info[key]
        target.path.CopyFrom(info.path)
        is_error = not info.path.step or info.path.step[0] in errors
        target.severity = max(target.severity, info.severity if is_error else anomalies_pb2.AnomalyInfo.WARNING)
        target.reason.extend(reason for reason in info.reason if reason not in target.reason)
        _describe(target)
    into.drift_skew_info.extend(found.drift_skew_info)
    into.anomaly_name_format = found.anomaly_name_format
    if found.HasField("dataset_anomaly_info"):
        into.dataset_anomaly_info.MergeFrom(found.dataset_anomaly_info)


def _describe(info: anomalies_pb2.AnomalyInfo) -> None:
    """Sums up an anomaly's reasons as TFDV does."""
    info.description = " ".join(reason.description for reason in info.reason)
    info.short_description = info.reason[0].short_description if len(info.reason) == 1 else "Multiple errors"
