"""What a column is by itself: always the same, always different, or text of very many values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainspring.components.statistics.span_statistics import common, value_counts
from mainspring.components.validation import samples, words
from mainspring.components.validation.checks.row_identities import Repetition
from mainspring.components.validation.judgement import Finding, Judgement, Scope, add_own, own_finding
from mainspring.components.validation.policy import anomaly_kinds

MANY_VALUES = 1000
"""Text of more different values than this is said: most of them are rare, and a model can learn little of each."""

ENOUGH_ROWS = 100
"""Among fewer rows, values that are all different say nothing."""


def only_value(feature: Any) -> str | None:
    """Returns the value that a column has in every row that has one; None if there are several, or none."""
    if not common(feature).num_non_missing:
        return None
    if feature.HasField("string_stats"):
        values = value_counts(feature)
        return samples.clipped(next(iter(values))) if len(values) == 1 else None
    numbers = feature.num_stats
    return words.number(numbers.min) if numbers.min == numbers.max else None


def say_what_they_are(judgement: Judgement, train: Scope, label: str, repetition: Mapping[str, Repetition]) -> None:
    """Says which columns never vary, are different in every row, or hold text of very many values."""
    findings: list[Finding] = []
    for name, feature in train.features.items():
        if name == label or name in judgement.exclude:
            continue
        finding = _finding(name, feature, train, repetition.get(name))
        if finding:
            findings.append(finding)
    add_own(judgement, "columns that say little", findings)


def _finding(name: str, feature: Any, train: Scope, found: Repetition | None) -> Finding | None:
    only, rows = only_value(feature), common(feature).num_non_missing
    if only is not None and rows > 1:
        which = "every row" if not common(feature).num_missing else "every row that has a value"
        sentence = f"{name}: the same value ({only}) in {which} of train; a model can learn nothing from it"
        return own_finding(name, anomaly_kinds.CONSTANT, train.name, sentence)
    if found is None or rows < ENOUGH_ROWS:
        return None
    if found.unique:
        sentence = f"{name}: a different value in every row of train, as ids have; exclude it unless it says something"
        return own_finding(name, anomaly_kinds.UNIQUE, train.name, sentence)
    if feature.type == feature.STRING and found.different > MANY_VALUES:
        sentence = (
            f"{name}: text of {found.different:,.0f} different values in {rows:,} rows of train; "
            "a model can learn little of each: exclude it, or group its values in the query"
        )
        return own_finding(name, anomaly_kinds.MANY_VALUES, train.name, sentence)
    return None


def constants_that_moved(judgement: Judgement, newest: Scope, before: Mapping[str, Any], label: str) -> None:
    """Says which columns had one value in the baseline and have another one, or several, now."""
    findings = []
    drifted = {finding.feature for finding in judgement.findings if finding.kind == anomaly_kinds.DRIFT}
    for name, feature in newest.features.items():
        was = only_value(before[name]) if name in before else None
        if (
            was is None
            or name in (label, *judgement.left_out)
            or name in drifted
            or not common(feature).num_non_missing
        ):
            continue
        if before[name].WhichOneof("stats") != feature.WhichOneof("stats") or only_value(feature) == was:
            continue
        sentence = f"{name}: was {was} in every row of the baseline, is {_now(feature)} of {newest.measured}"
        findings.append(own_finding(name, anomaly_kinds.CONSTANT_MOVED, newest.name, sentence))
    add_own(judgement, "constants", findings)


def _now(feature: Any) -> str:
    only = only_value(feature)
    if only is not None:
        return f"{only} in every row"
    if feature.HasField("string_stats"):
        named = ", ".join(samples.clipped(value) for value in list(value_counts(feature))[:3])
        return f"{words.count(feature.string_stats.unique, 'value')} ({named}) in the rows"
    numbers = feature.num_stats
    return f"{words.number(numbers.min)} to {words.number(numbers.max)} in the rows"
