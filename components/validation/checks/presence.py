"""Columns that are missing together in the same rows: one finding about the rows, not one for each column."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from mainspring.components.validation import samples, words
from mainspring.components.validation.judgement import DATASET, Finding, Judgement, Scope, own_finding
from mainspring.components.validation.policy import anomaly_kinds

COLUMNS_TOGETHER = 3
"""So many columns at least that miss the same rows are one finding."""

COLUMNS_NAMED = 3


def together(judgement: Judgement, scope: Scope, findings: Sequence[Finding]) -> list[Finding]:
    """Returns the findings, with those of columns that miss the very same rows as one.

    Columns whose missing values the policy does not take for an error stay by themselves.
    """
    single = {
        one.feature: one
        for one in findings
        if one.kind == anomaly_kinds.PRESENCE
        and one.feature in scope.features
        and "missing in all rows" not in one.sentence
        and judgement.decide(one.kind, one.feature, one.severity).severity == anomaly_kinds.ERROR
    }
    groups: dict[str, list[str]] = {}
    if len(single) >= COLUMNS_TOGETHER:
        for name in single:
            groups.setdefault(_where_missing(scope.files, name), []).append(name)
    joined = {names[0]: names for names in groups.values() if len(names) >= COLUMNS_TOGETHER}
    members = {name for names in joined.values() for name in names}
    rest = [one for one in findings if one.kind != anomaly_kinds.PRESENCE or one.feature not in members]
    return [*(_of_group(scope, names) for names in joined.values()), *rest]


def _of_group(scope: Scope, names: Sequence[str]) -> Finding:
    more = len(names) - COLUMNS_NAMED
    named = ", ".join(names[:COLUMNS_NAMED]) + (f" and {words.count(more, 'other column')}" if more > 0 else "")
    rows = samples.count(scope.files, names[0], pc.is_null)
    sentence = (
        f"{words.count(rows, 'row')} of {scope.words} without a value in {named}; the schema requires them: "
        f"leave the {'row' if rows == 1 else 'rows'} out in the query"
    )
    shown = samples.where(scope.files, names[0], pc.is_null)
    one = own_finding(DATASET, anomaly_kinds.PRESENCE, scope.name, sentence, shown)
    return Finding(**{**vars(one), "also": tuple(names)})


def _where_missing(files: Sequence[Path], column: str) -> str:
    digest = hashlib.sha256()
    for path in files:
        missing = pc.is_null(samples.opened(path)[0].read(columns=[column])[column]).to_numpy()
        digest.update(np.packbits(missing).tobytes())
    return digest.hexdigest()
