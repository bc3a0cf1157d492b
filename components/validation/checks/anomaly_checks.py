"""What is wrong with the examples: TFDV's anomalies, and what TFDV does not look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics import comparing, drift, validating
from mainspring.components.statistics.comparators import DRIFT, SKEW
from mainspring.components.statistics.span_statistics import common
from mainspring.components.validation import cures, samples, words
from mainspring.components.validation.checks import column_checks, presence
from mainspring.components.validation.judgement import (
    DATASET,
    Finding,
    Judgement,
    Scope,
    add_own,
    add_tfdvs,
    cannot_judge,
    describe,
    own_finding,
)
from mainspring.components.validation.policy import anomaly_kinds
from mainspring.components.validation.schemas import UsedSchema

CAUSES = (anomaly_kinds.DATA_TYPE, anomaly_kinds.LABEL_BALANCE, anomaly_kinds.NON_FINITE)
"""Kinds that move a distribution by themselves."""


def against_schema(
    judgement: Judgement, scope: Scope, schema: UsedSchema, previous: DatasetFeatureStatisticsList | None = None
) -> None:
    """Validates one scope with TFDV, and its drift from earlier statistics if there are any."""
    before: Mapping[str, Any] = {}
    if previous is None:
        found = validating.validate(scope.statistics, schema.proto, schema.environment)
    else:
        suit = schema.source != "given"
        compared = comparing.compare(scope.statistics, schema.proto, previous, DRIFT, schema.environment, suit=suit)
        found, before = compared.anomalies, compared.before
        _say_unmeasured(judgement, "drift", compared.unmeasured, "the baseline's")
    measured = drift.measured(found)
    drifts = drift.worst(measured)
    infos = [info for _, info in sorted(found.anomaly_info.items())]
    if found.HasField("dataset_anomaly_info"):
        infos.append(found.dataset_anomaly_info)
    shifts: list[Finding] = []
    others: list[Finding] = []
    for info in infos:
        for reason in info.reason:
            finding = _finding(scope, schema, info, reason, drifts, before)
            is_shift = finding.kind == anomaly_kinds.DRIFT or finding.kind.startswith("comparator_")
            if finding.sentence:
                (shifts if is_shift else others).append(finding)
    judgement.add(f"schema: {scope.name}", presence.together(judgement, scope, others))
    if previous is not None:
        judgement.add("drift", [one for one in shifts if not _follows(judgement, one.feature)])
        judgement.drifts = measured
    add_tfdvs(judgement, found)


def _follows(judgement: Judgement, feature: str) -> bool:
    """Whether a shift is only what another finding means: one cause is one finding."""
    causes = [one for one in judgement.findings if one.feature == feature and one.kind in CAUSES]
    return any(one.error or one.kind != anomaly_kinds.LABEL_BALANCE for one in causes)


def against_serving(
    judgement: Judgement, newest: Scope, schema: UsedSchema, serving: DatasetFeatureStatisticsList
) -> None:
    """Measures the skew between the newest span and what was served."""
    judged = drift.with_skew_thresholds(schema.proto)
    known = [feature.name for feature in judged.feature if feature.HasField("skew_comparator")]
    if not known:
        reason = "skew: no feature of the schema has a skew_comparator or a drift_comparator; skew cannot be judged"
        return cannot_judge(judgement, "skew", reason)
    suit = schema.source != "given"
    compared = comparing.compare(newest.statistics, judged, serving, SKEW, schema.environment, suit=suit)
    found, served = compared.anomalies, compared.before
    _say_unmeasured(judgement, "skew", compared.unmeasured, "the serving")
    judgement.skews = drift.skew_measured(found)
    skews = drift.worst(judgement.skews)
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
            describe(entry)
            sentence = words.of_skew(name, reason, info.path.step[0], newest, skews, served)
            findings.append(own_finding(info.path.step[0], anomaly_kinds.SKEW, newest.name, sentence))
    judgement.add("skew", findings)
    add_tfdvs(judgement, skewed)
    return None


def enough_rows(judgement: Judgement, scopes: Sequence[Scope], min_rows: int) -> None:
    """Refuses fewer than `min_rows` rows in train, and splits or newest spans without any row."""
    findings = []
    for scope in scopes:
        if scope.name == "train" and scope.rows < min_rows:
            sentence = f"train: {words.count(scope.rows, 'row')}; at least {min_rows:,} are needed (min_rows)"
            findings.append(own_finding(DATASET, anomaly_kinds.TOO_FEW_ROWS, scope.name, sentence))
        elif scope.rows == 0:
            sentence = f"{scope.words}: no rows; it cannot be judged"
            findings.append(own_finding(DATASET, anomaly_kinds.CANNOT_JUDGE, scope.name, sentence))
    add_own(judgement, "rows", findings)


def label_is_usable(judgement: Judgement, scopes: Sequence[Scope], label: str) -> None:
    """Refuses a label that is not there, is missing in some rows, or has one value only in train."""
    findings = []
    for scope in (scope for scope in scopes if scope.rows):
        feature = scope.features.get(label)
        if feature is None:
            sentence = f"{label}: not a column of the examples any more; it is the label"
            one = own_finding(label, anomaly_kinds.PRESENCE, scope.name, sentence)
            findings.append(dataclasses.replace(one, instead=""))
            continue
        missing = common(feature).num_missing
        if missing:
            sentence = (
                f"{label}: missing in {words.of_rows(missing, scope.rows)} of {scope.measured}; it is the label: "
                "leave out the rows without it in the query"
            )
            rows = samples.where(scope.files, label, pc.is_null)
            one = own_finding(label, anomaly_kinds.PRESENCE, scope.name, sentence, rows)
            findings.append(dataclasses.replace(one, instead=""))
        only = column_checks.only_value(feature)
        if scope.name == "train" and only is not None:
            sentence = f"{label}: the same value ({only}) in every row of train; it is the label: nothing to learn"
            findings.append(own_finding(label, anomaly_kinds.LABEL_CONSTANT, scope.name, sentence))
    add_own(judgement, "label", findings)


def columns_have_values(judgement: Judgement, scopes: Sequence[Scope], schema: UsedSchema) -> None:
    """Refuses columns without any value in train, where the schema was learnt from it and cannot object."""
    findings = []
    for scope in scopes:
        if scope.name != "train":
            continue
        for name, feature in scope.features.items():
            learnt = schema.source == "inferred" or name in judgement.accept
            if learnt and not common(feature).num_non_missing:
                sentence = f"{name}: missing in all rows of train; leave the column out in the query"
                one = own_finding(name, anomaly_kinds.PRESENCE, scope.name, sentence)
                findings.append(dataclasses.replace(one, instead=cures.excluding(name)))
    add_own(judgement, "columns", findings)


def _say_unmeasured(judgement: Judgement, check: str, features: Sequence[str], whose: str) -> None:
    sentences = {
        name: f"{name}: its {check} cannot be measured on {whose} statistics, which do not count its values"
        for name in features
    }
    findings = [own_finding(name, anomaly_kinds.CANNOT_JUDGE, check, sentence) for name, sentence in sentences.items()]
    add_own(judgement, check, findings)


def _finding(
    scope: Scope,
    schema: UsedSchema,
    info: anomalies_pb2.AnomalyInfo,
    reason: anomalies_pb2.AnomalyInfo.Reason,
    drifts: Mapping[str, drift.Drift],
    before: Mapping[str, Any],
) -> Finding:
    name = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
    kind = anomaly_kinds.of_tfdv(name, anomaly_kinds.DRIFT)
    feature = info.path.step[0] if info.path.step else DATASET
    sentence = words.of_anomaly(name, reason, feature, scope, schema, drifts, before)
    severity = anomaly_kinds.WARNING if info.severity == anomalies_pb2.AnomalyInfo.WARNING else anomaly_kinds.ERROR
    expected = schema.features.get(feature)
    domain = words.domain(schema.proto, expected).value if expected is not None else ()
    rows = samples.of_anomaly(kind, feature, scope.files, expected, domain)
    values: list[str] = []
    if kind == anomaly_kinds.UNKNOWN_VALUES and expected is not None:
        values = words.unknown_values(feature, scope, schema, expected)
    gone = feature not in scope.features
    is_empty = kind == anomaly_kinds.PRESENCE and not gone and not common(scope.features[feature]).num_non_missing
    rebaseline = gone or _text_and_number(kind, scope, feature, expected) or (bool(values) and _is_label(expected))
    error = severity == anomaly_kinds.ERROR
    return Finding(
        feature,
        kind,
        scope.name,
        error,
        sentence,
        severity,
        rows=rows,
        values=values,
        rebaseline=rebaseline and feature != DATASET,
        instead=cures.excluding(feature) if is_empty else None,
    )


def _is_label(expected: schema_pb2.Feature | None) -> bool:
    return expected is not None and drift.SERVING in expected.not_in_environment


def _text_and_number(kind: str, scope: Scope, feature: str, expected: schema_pb2.Feature | None) -> bool:
    """Whether text became a number or a number text: a model takes the one or the other."""
    if kind != anomaly_kinds.DATA_TYPE or expected is None or feature not in scope.features:
        return False
    is_text = scope.features[feature].type == statistics_pb2.FeatureNameStatistics.STRING
    return is_text != (expected.type == schema_pb2.BYTES)
