"""What a validation found: findings with their severity, and the anomalies proto that says the same in TFDV's words."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common.errors import visible
from mainspring.components.statistics import drift
from mainspring.components.statistics.span_statistics import by_name
from mainspring.components.validation import cures, samples
from mainspring.components.validation.confirm_verdict import Term
from mainspring.components.validation.policy import anomaly_kinds
from mainspring.components.validation.policy.policy import Decision, Policy

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
    split: Sequence[Path] = ()
    """The files that the statistics are of."""

    @property
    def measured(self) -> str:
        """How sentences call the rows that the statistics are of, such as `train of span 8`."""
        return f"train of {self.words}" if self.words not in ("train", "eval") else self.words

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
    severity: str = anomaly_kinds.ERROR
    """`error`, `warning` or `ignore`: the kind's own, until the policy has been asked."""
    note: str = ""
    """What the policy says about it."""
    rows: Sequence[samples.Sample] = ()
    """Some of the rows that show it."""
    values: Sequence[str] = ()
    """Values that it is about, for the picture."""
    also: Sequence[str] = ()
    """Columns that it is about, where they are several."""
    instead: str | None = None
    """Parameters that help where `accept` does not; empty if none does."""
    rebaseline: bool = False
    """Whether the champion cannot be measured on such rows."""
    accept: str = ""
    """Parameters of `continuous_training` with which the schema learns the column anew; empty if that is no help."""
    policy: str = ""
    """A line of the policy that allows it for a while; empty if nothing can."""
    consequence: str = ""
    """What follows from allowing it."""

    @property
    def reason(self) -> str:
        """The sentence, the name that a policy knows it by, and what can be done."""
        return f"{self.sentence} [{self.kind}: {cures.Cure(self.accept, self.policy)}]"


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
    exclude: Collection[str] = ()
    """Columns that training leaves out: nothing about them refuses the examples but a row's age, where asked for."""
    accept: Collection[str] = ()
    """Columns that the schema has learnt anew in this run."""
    learns: bool = True
    """Whether the schema was there before the rows, so that it could learn a column anew."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Columns that drift is not judged of, and why."""

    def reasons(self) -> list[str]:
        """Returns what refuses the examples, a line for each column and kind, with what can be done about it."""
        return [finding.reason for finding in self.findings if finding.error]

    def all_accepted(self) -> str:
        """Returns the parameters that accept all columns that can be accepted; empty for fewer than two."""
        found = [one for one in self.findings if one.error and one.accept and one.instead is None]
        names = list(dict.fromkeys(one.feature for one in found))
        return cures.accepting(names, rebaseline=any(one.rebaseline for one in found)) if len(names) > 1 else ""

    def decide(self, kind: str, feature: str, severity: str) -> Decision:
        """Returns how severe an anomaly is, by the call's own words and by the policy."""
        if feature in self.exclude and kind != anomaly_kinds.TOO_OLD:
            return Decision(anomaly_kinds.IGNORE, "excluded from training (exclude)")
        if feature in self.accept and kind in anomaly_kinds.JUDGED_BESIDE:
            return Decision(anomaly_kinds.IGNORE, "accepted for this run (accept)")
        return self.policy.decide(kind, feature, severity, self.today)

    def of_severity(self, severity: str) -> list[Finding]:
        """Returns the findings of a severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def add(self, check: str, findings: Sequence[Finding]) -> list[Finding]:
        """Takes in a check's findings, as severe as the policy says; returns them so.

        A column's second finding of the same kind says nothing new, nor does a second one about the same rows.
        """
        decisions = [self.decide(one.kind, one.feature, one.severity) for one in findings]
        decided = [_decided(one, decision, self) for one, decision in zip(findings, decisions, strict=True)]
        self.made[check] = self.made.get(check, True) and not any(finding.error for finding in decided)
        known = {identity for finding in self.findings for identity in _identities(finding)}
        for finding, decision in zip(decided, decisions, strict=True):
            if not known.issuperset(_identities(finding)):
                self.findings.append(finding)
                self.terms += _terms(finding, decision)
                known.update(_identities(finding))
        return decided


def own_finding(feature: str, kind: str, scope: str, sentence: str, rows: Sequence[samples.Sample] = ()) -> Finding:
    """Returns a finding of ours, as severe as its kind is by itself."""
    severity = anomaly_kinds.OURS.get(kind, anomaly_kinds.ERROR)
    return Finding(feature, kind, scope, severity == anomaly_kinds.ERROR, sentence, severity, rows=rows)


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
        describe(info)


def cannot_judge(judgement: Judgement, check: str, reason: str) -> None:
    """Refuses the examples because a check could not be made."""
    add_own(judgement, check, [own_finding(DATASET, anomaly_kinds.CANNOT_JUDGE, check, reason)])


def add_tfdvs(judgement: Judgement, found: anomalies_pb2.Anomalies) -> None:
    """Adds TFDV's anomalies as they are, but no more severe than the policy finds them."""
    into = judgement.anomalies
    errors = {name for finding in judgement.findings if finding.error for name in (finding.feature, *finding.also)}
    for key, info in found.anomaly_info.items():
        target = into.anomaly_info[key]
        target.path.CopyFrom(info.path)
        is_error = not info.path.step or info.path.step[0] in errors
        target.severity = max(target.severity, info.severity if is_error else anomalies_pb2.AnomalyInfo.WARNING)
        target.reason.extend(reason for reason in info.reason if reason not in target.reason)
        describe(target)
    into.drift_skew_info.extend(found.drift_skew_info)
    into.anomaly_name_format = found.anomaly_name_format
    if found.HasField("dataset_anomaly_info"):
        into.dataset_anomaly_info.MergeFrom(found.dataset_anomaly_info)


def describe(info: anomalies_pb2.AnomalyInfo) -> None:
    """Sums up an anomaly's reasons as TFDV does."""
    info.description = " ".join(reason.description for reason in info.reason)
    info.short_description = info.reason[0].short_description if len(info.reason) == 1 else "Multiple errors"


def _decided(finding: Finding, decision: Decision, judgement: Judgement) -> Finding:
    error = decision.severity == anomaly_kinds.ERROR
    sentence = f"{finding.sentence} ({decision.note})" if error and decision.note else finding.sentence
    # Names and values of the data stand in sentences, and a sentence is a line of the verdict.
    sentence = visible(sentence)
    cure = cures.of(finding.kind, finding.feature, judgement.today, rebaseline=finding.rebaseline)
    if finding.instead is not None or not judgement.learns:
        cure = dataclasses.replace(cure, accept=finding.instead or "")
    return dataclasses.replace(
        finding,
        error=error,
        severity=decision.severity,
        note=decision.note,
        sentence=sentence,
        accept=cure.accept,
        policy=cure.policy,
        consequence=cure.consequence,
    )


def _terms(finding: Finding, decision: Decision) -> list[Term]:
    if decision.expires is None:
        return []
    end = datetime.datetime.combine(decision.expires, datetime.time.max, datetime.timezone.utc)
    return [Term(end, f"{finding.sentence} (it was {decision.note}; that has expired)")]


def _identities(finding: Finding) -> set[tuple[str, str, str]]:
    if finding.also:
        return {(name, finding.kind, "") for name in finding.also}
    return {(finding.feature, finding.kind, finding.scope if finding.feature == DATASET else "")}
