"""What is wrong with the examples: TFDV's anomalies, and what TFDV does not look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tensorflow_data_validation.api.validation_api import validate_statistics
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.validation import drift, words
from mainspring.components.validation.schemas import UsedSchema
from mainspring.components.validation.span_statistics import by_name, common, value_counts

PRESENCE = "presence"
"""One column's anomalies of this kind are one reason, however many of TFDV's rules they break."""

PRESENCE_TYPES = {
    "SCHEMA_MISSING_COLUMN",
    "FEATURE_TYPE_NOT_PRESENT",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT",
    "FEATURE_TYPE_LOW_NUMBER_PRESENT",
    "FEATURE_TYPE_NO_VALUES",
    "INVALID_FEATURE_SHAPE",
    "COMPARATOR_TREATMENT_DATA_MISSING",
}

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


@dataclass(frozen=True)
class Finding:
    """Something that a check found."""

    feature: str
    kind: str
    """TFDV's type of anomaly in lower case, `presence`, or one of ours."""
    scope: str
    error: bool
    """Whether it refuses the examples; otherwise it is only mentioned."""
    sentence: str


@dataclass
class Judgement:
    """What the checks found so far."""

    findings: list[Finding] = field(default_factory=list)
    anomalies: anomalies_pb2.Anomalies = field(default_factory=anomalies_pb2.Anomalies)
    drifts: list[drift.Drift] = field(default_factory=list)
    made: dict[str, bool] = field(default_factory=dict)
    """Whether each check passed, by its name."""

    def reasons(self) -> list[str]:
        """Returns the sentences of all errors, one for each column and kind."""
        return [finding.sentence for finding in self.findings if finding.error]

    def add(self, check: str, findings: Sequence[Finding]) -> None:
        """Takes in a check's findings; a column's second finding of the same kind says nothing new."""
        self.made[check] = self.made.get(check, True) and not any(finding.error for finding in findings)
        known = {(finding.feature, finding.kind) for finding in self.findings}
        for finding in findings:
            if (finding.feature, finding.kind) not in known:
                self.findings.append(finding)
                known.add((finding.feature, finding.kind))


def against_schema(
    judgement: Judgement, scope: Scope, schema: UsedSchema, previous: DatasetFeatureStatisticsList | None = None
) -> None:
    """Validates one scope with TFDV, and its drift from earlier statistics if there are any."""
    found = validate_statistics(scope.statistics, schema.proto, schema.environment, previous_statistics=previous)
    findings = [
        _finding(scope, schema, info, reason, found, previous)
        for _, info in sorted(found.anomaly_info.items())
        for reason in info.reason
    ]
    if found.HasField("dataset_anomaly_info"):
        info = found.dataset_anomaly_info
        findings += [_finding(scope, schema, info, reason, found, previous) for reason in info.reason]
    shifts = [finding for finding in findings if finding.kind.startswith("comparator_")]
    judgement.add(f"schema: {scope.name}", [finding for finding in findings if finding not in shifts])
    if previous is not None:
        judgement.add("drift", shifts)
        judgement.drifts = drift.measured(found)
    _merge(judgement.anomalies, found)


def enough_rows(judgement: Judgement, scopes: Sequence[Scope], min_rows: int) -> None:
    """Refuses fewer than `min_rows` rows in train, and splits or newest spans without any row."""
    findings = []
    for scope in scopes:
        if scope.name == "train" and scope.rows < min_rows:
            sentence = f"train: {words.count(scope.rows, 'row')}; at least {min_rows:,} are needed (min_rows)"
        elif scope.rows == 0:
            sentence = f"{scope.words}: no rows; it cannot be judged"
        else:
            continue
        findings.append(Finding(DATASET, f"rows_{scope.name}", scope.name, True, sentence))
    _add_own(judgement, "rows", findings)


def label_is_usable(judgement: Judgement, scopes: Sequence[Scope], label: str) -> None:
    """Refuses a label that is not there, is missing in some rows, or has one value only in train."""
    findings = []
    for scope in (scope for scope in scopes if scope.rows):
        feature = by_name(scope.statistics).get(label)
        if feature is None:
            sentence = f"{label}: not a column of the examples any more; it is the label"
            findings.append(Finding(label, PRESENCE, scope.name, True, sentence))
            continue
        missing = common(feature).num_missing
        if missing:
            share = words.of_rows(missing, scope.rows)
            sentence = (
                f"{label}: missing in {share} of {scope.words}; it is the label: "
                "leave out the rows without it in the query"
            )
            findings.append(Finding(label, PRESENCE, scope.name, True, sentence))
        only = _only_value(feature)
        if scope.name == "train" and only is not None:
            sentence = f"{label}: the same value ({only}) in every row of train; it is the label: nothing to learn"
            findings.append(Finding(label, "label_constant", scope.name, True, sentence))
    _add_own(judgement, "label", findings)


def columns_have_values(judgement: Judgement, scopes: Sequence[Scope], schema: UsedSchema) -> None:
    """Refuses columns without any value in train, where the schema was inferred from it and cannot object."""
    findings = []
    for scope in scopes:
        if scope.name != "train" or schema.source != "inferred":
            continue
        for name, feature in by_name(scope.statistics).items():
            if not common(feature).num_non_missing:
                sentence = f"{name}: missing in all rows of train; leave the column out in the query"
                findings.append(Finding(name, PRESENCE, scope.name, True, sentence))
    _add_own(judgement, "columns", findings)


def cannot_judge_drift(judgement: Judgement, reason: str) -> None:
    """Refuses the examples because the comparison with the baseline could not be made."""
    _add_own(judgement, "drift", [Finding(DATASET, "baseline", "newest", True, reason)])


def _finding(
    scope: Scope,
    schema: UsedSchema,
    info: anomalies_pb2.AnomalyInfo,
    reason: anomalies_pb2.AnomalyInfo.Reason,
    found: anomalies_pb2.Anomalies,
    previous: DatasetFeatureStatisticsList | None,
) -> Finding:
    kind = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
    feature = info.path.step[0] if info.path.step else DATASET
    sentence = words.of_anomaly(kind, reason, feature, scope, schema, found, previous)
    error = info.severity != anomalies_pb2.AnomalyInfo.WARNING
    return Finding(feature, PRESENCE if kind in PRESENCE_TYPES else kind.lower(), scope.name, error, sentence)


def _only_value(feature: object) -> str | None:
    counts = common(feature)
    if not counts.num_non_missing:
        return None
    if feature.HasField("string_stats"):  # type: ignore[attr-defined]
        values = value_counts(feature)
        return next(iter(values)) if len(values) == 1 else None
    numbers = feature.num_stats  # type: ignore[attr-defined]
    return f"{numbers.min:g}" if numbers.min == numbers.max else None


def _add_own(judgement: Judgement, check: str, findings: Sequence[Finding]) -> None:
    """Adds findings that TFDV did not make, to its proto as well, as custom validations."""
    judgement.add(check, findings)
    for finding in findings:
        if finding.feature == DATASET:
            info = judgement.anomalies.dataset_anomaly_info
        else:
            info = judgement.anomalies.anomaly_info[finding.feature]
            info.path.step[:] = [finding.feature]
        info.severity = anomalies_pb2.AnomalyInfo.ERROR
        reason = info.reason.add(type=anomalies_pb2.AnomalyInfo.CUSTOM_VALIDATION)
        reason.short_description = finding.kind.replace("_", " ").capitalize()
        reason.description = finding.sentence
        _describe(info)


def _merge(into: anomalies_pb2.Anomalies, found: anomalies_pb2.Anomalies) -> None:
    for key, info in found.anomaly_info.items():
        target = into.anomaly_info[key]
        target.path.CopyFrom(info.path)
        target.severity = max(target.severity, info.severity)
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
