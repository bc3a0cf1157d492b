"""Rows without any value: one finding about the rows, not one for each column."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.statistics.span_statistics import common
from mainspring.components.validation import samples, words
from mainspring.components.validation.checks.row_identities import Identities
from mainspring.components.validation.judgement import DATASET, Judgement, Scope, add_own, own_finding
from mainspring.components.validation.policy import anomaly_kinds


def set_aside(judgement: Judgement, scopes: Sequence[Scope], found: Mapping[str, Sequence[Identities]]) -> list[Scope]:
    """Refuses empty rows, and returns the scopes with statistics as if there were none."""
    empty = {one.path: len(one.empty) for side in found.values() for one in side}
    total = sum(empty.values())
    findings = []
    if total:
        where = next(
            (scope.words for scope in scopes if sum(empty[path] for path in scope.files) == total), "train and eval"
        )
        rows: list[samples.Sample] = []
        for one in (one for side in found.values() for one in side):
            rows += samples.at(one.path, one.empty[: samples.ROWS_SHOWN - len(rows)].tolist())
        verb = "has no value in any column; leave it" if total == 1 else "have no value in any column; leave them"
        sentence = f"{words.count(total, 'row')} of {where} {verb} out in the query"
        findings.append(own_finding(DATASET, anomaly_kinds.EMPTY_ROWS, scopes[0].name, sentence, rows))
    add_own(judgement, "empty rows", findings)
    return [_without(scope, sum(empty[path] for path in scope.split)) for scope in scopes]


def _without(scope: Scope, rows: int) -> Scope:
    if not rows:
        return scope
    statistics = DatasetFeatureStatisticsList()
    statistics.CopyFrom(scope.statistics)
    dataset = statistics.datasets[0]
    dataset.num_examples -= rows
    for feature in dataset.features:
        for counts in (common(feature), *common(feature).presence_and_valency_stats):
            counts.num_missing -= min(rows, counts.num_missing)
    return dataclasses.replace(scope, rows=scope.rows - rows, statistics=statistics)
