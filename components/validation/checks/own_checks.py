"""What TFDV does not see: jumps in size, a label off balance, repeated rows, leaks, old data, numbers that are none."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common.errors import UserError
from mainspring.components.common.written.policy_text import suggestion
from mainspring.components.statistics import span_statistics
from mainspring.components.statistics.span_statistics import by_name, common, dataset, value_counts
from mainspring.components.validation import cures, samples, words
from mainspring.components.validation.checks import association, freshness, row_identities
from mainspring.components.validation.confirm_verdict import Term
from mainspring.components.validation.judgement import DATASET, Judgement, Scope, add_own, cannot_judge, own_finding
from mainspring.components.validation.policy import anomaly_kinds

ROWS_TO_ASSOCIATE = 100
"""With fewer rows, a perfect association may well be chance."""

DAYS_THAT_DATES_HAVE = 365_000
"""An age of more days than this is no limit, and its end no date."""

CLOCK_SKEW = datetime.timedelta(days=1)
"""How far in the future the newest row may lie: clocks and time zones differ."""


@dataclass(frozen=True)
class Asked:
    """What a call asks to check beyond the schema."""

    label: str
    key: Sequence[str] = ()
    """Columns that identify what must not lie in train and in eval."""
    exclude: Sequence[str] = ()
    """Columns that training leaves out."""
    timestamp: str = ""
    max_age_days: float = 0.0
    accept: Sequence[str] = ()
    """Columns that the schema is to learn anew."""

    def refuse_nonsense(self, columns: Sequence[str], features: Sequence[str]) -> None:
        """Checks the parameters.

        Args:
            columns: Of the examples.
            features: Of the schema; empty if it is to be inferred.

        Raises:
            UserError: A column is unknown, or the age is negative or lacks the other parameter.
        """
        row_identities.refuse_unknown_key(self.key, columns)
        for name in self.accept:
            if name not in (*columns, *features):
                every = list(dict.fromkeys([*columns, *features]))
                raise UserError(f"accept={name!r} is no column of examples or schema{suggestion(name, every)}")
        if self.timestamp and self.timestamp not in columns:
            known = ", ".join(columns)
            raise UserError(f"timestamp={self.timestamp!r} is not a column of the examples; the columns are {known}")
        if not 0 <= self.max_age_days < math.inf:
            raise UserError(f"max_age_days={self.max_age_days}: expected a number of days, 0 for any age")
        if bool(self.timestamp) != bool(self.max_age_days):
            raise UserError("timestamp and max_age_days go together: give both, or neither")


def row_count(judgement: Judgement, newest: Scope, baseline: DatasetFeatureStatisticsList) -> None:
    """Compares the newest span's rows with the baseline's."""
    before, limit = int(dataset(baseline).num_examples), judgement.policy.limits.max_row_factor
    findings = []
    if newest.rows and not before / limit <= newest.rows <= before * limit:
        sentence = (
            f"{newest.measured}: {words.count(newest.rows, 'row')}, the baseline had {before:,}; "
            f"at most {limit:g} times more or fewer are allowed (max_row_factor)"
        )
        findings.append(own_finding(DATASET, anomaly_kinds.ROW_COUNT, newest.name, sentence))
    add_own(judgement, "row count", findings)


def label_balance(judgement: Judgement, newest: Scope, baseline: DatasetFeatureStatisticsList, label: str) -> None:
    """Compares the odds of each of the label's values with the baseline's: of text, and of 0 and 1.

    Labels of other numbers are judged by their drift: statistics hold no counts of them.
    """
    limit, findings = judgement.policy.limits.max_label_odds_factor, []
    now, before = _label_shares(newest.statistics, label), _label_shares(baseline, label)
    # A value that one of the two does not have counts as half a row: odds of nothing have no ratio.
    half = 0.5 / max(1, min(newest.rows, int(dataset(baseline).num_examples)))
    for value in dict.fromkeys([*before, *now]) if now and before else ():
        shares = [min(max(found.get(value, 0.0), half), 1 - half) for found in (before, now)]
        odds = [share / (1 - share) for share in shares]
        if max(odds) > limit * min(odds):
            here, there = (words.percent(found.get(value, 0.0)) for found in (now, before))
            value_named = samples.clipped(value)
            sentence = (
                f'{label}: "{value_named}" is the label in {here} of the rows of {newest.measured}, in {there} '
                f"of the baseline's; its odds may differ by a factor of {limit:g} (max_label_odds_factor)"
            )
            findings.append(
                dataclasses.replace(
                    own_finding(label, anomaly_kinds.LABEL_BALANCE, newest.name, sentence), values=(value,)
                )
            )
    add_own(judgement, "label balance", findings)


def repeated_rows_and_keys(
    judgement: Judgement, found: Mapping[str, Sequence[row_identities.Identities]], key: Sequence[str]
) -> None:
    """Looks for rows that repeat, within a split or between them, and for keys that lie in train and in eval."""
    everywhere = [*found["train"], *found["eval"]]
    count, numbers = row_identities.repeated([one.rows for one in everywhere])
    total, limit = sum(len(one.rows) for one in everywhere), judgement.policy.limits.max_duplicate_share
    findings = []
    if count > limit * total:
        allowed = words.percent(limit) if limit else "none"
        sentence = (
            f"{words.count(count, 'row')} of {total:,} in train and eval ({words.percent(count / total)}) "
            f"{'repeats an earlier one' if count == 1 else 'repeat earlier ones'}; {allowed} allowed "
            "(max_duplicate_share)"
        )
        findings.append(
            own_finding(DATASET, anomaly_kinds.DUPLICATES, "train", sentence, _rows(everywhere, numbers[:1], "rows"))
        )
    add_own(judgement, "repeated rows", findings)
    if key:
        _keys_apart(judgement, found["train"], found["eval"], key)


def gives_the_label_away(judgement: Judgement, train_files: Sequence[Path], asked: Asked) -> None:
    """Looks for a feature that predicts the label almost perfectly by itself; see `association`."""
    limit, findings = judgement.policy.limits.max_association, []
    enough = sum(span_statistics.rows(path) for path in train_files) >= ROWS_TO_ASSOCIATE
    found = association.with_label(train_files, asked.label, asked.exclude) if enough else {}
    for feature, share in found.items():
        if share > limit:
            sentence = (
                f"{feature}: gives the label away: by itself it removes {words.percent(share)} of the error in "
                f"guessing {asked.label}, at most {words.percent(limit)} allowed (max_association); leave it out in "
                "the query, or exclude it from training"
            )
            one = own_finding(feature, anomaly_kinds.GIVEAWAY, "train", sentence)
            findings.append(dataclasses.replace(one, instead=cures.excluding(feature)))
    add_own(judgement, "label giveaways", findings)


def newest_row_is_young(judgement: Judgement, newest: Scope, asked: Asked, now: datetime.datetime) -> None:
    """Refuses a newest row that is older than asked, or from the future."""
    try:
        latest = freshness.newest(newest.files, asked.timestamp)
    except ValueError as error:
        cannot_judge(judgement, "age", f"{asked.timestamp}: the age of {newest.words} cannot be judged; {error}")
        return
    findings, age = [], (now - latest).total_seconds() / freshness.SECONDS_PER_DAY
    when = f"{asked.timestamp}: the newest row of {newest.words} is from {latest:%Y-%m-%d %H:%M} UTC"
    if age > asked.max_age_days:
        sentence = f"{when}, {age:,.1f} days ago; at most {asked.max_age_days:g} are allowed (max_age_days)"
        findings.append(own_finding(asked.timestamp, anomaly_kinds.TOO_OLD, newest.name, sentence))
    elif latest > now + CLOCK_SKEW:
        findings.append(
            own_finding(asked.timestamp, anomaly_kinds.TOO_OLD, newest.name, f"{when}, which is in the future")
        )
    add_own(judgement, "age", findings)
    decision = judgement.policy.decide(anomaly_kinds.TOO_OLD, asked.timestamp, anomaly_kinds.ERROR, judgement.today)
    if decision.severity == anomaly_kinds.ERROR and asked.max_age_days < DAYS_THAT_DATES_HAVE:
        limit = f"at most {asked.max_age_days:g} days of age are allowed (max_age_days)"
        end = latest + datetime.timedelta(days=asked.max_age_days)
        judgement.terms.append(Term(end, f"{when}; {limit}"))


def numbers_are_finite(judgement: Judgement, scopes: Sequence[Scope]) -> None:
    """Refuses columns with NaN or infinite numbers: they make means, deviations and quantiles meaningless."""
    findings = []
    for scope in scopes:
        for name, feature in scope.features.items():
            if not feature.HasField("num_stats") or not common(feature).num_non_missing:
                continue
            numbers = feature.num_stats
            undefined = int(max((histogram.num_nan for histogram in numbers.histograms), default=0))
            if undefined or not math.isfinite(numbers.min) or not math.isfinite(numbers.max):
                there = samples.count(scope.files, name, samples.non_finite)
                amount = f"{'NaN' if undefined else 'infinite numbers'} in {words.count(there, 'row')}"
                sentence = f"{name}: {amount} of {scope.words}; make them NULL in the query if they mean missing"
                rows = samples.where(scope.files, name, samples.non_finite)
                findings.append(own_finding(name, anomaly_kinds.NON_FINITE, scope.name, sentence, rows))
    add_own(judgement, "finite numbers", findings)


def _keys_apart(
    judgement: Judgement,
    train: Sequence[row_identities.Identities],
    evaluation: Sequence[row_identities.Identities],
    key: Sequence[str],
) -> None:
    both = row_identities.shared([one.keys for one in train], [one.keys for one in evaluation])
    findings = []
    if len(both):
        rows = sum(int(np.isin(one.keys, both).sum()) for one in evaluation)
        sentence = (
            f"{', '.join(key)}: {words.count(len(both), 'key')} in train and in eval, {words.count(rows, 'row')} of "
            "eval; the model would be judged on what it was trained on: split by hash of the key (split_columns)"
        )
        shown = [*_rows(train, both[:1], "keys")[:1], *_rows(evaluation, both[:1], "keys")[:1]]
        findings.append(own_finding(DATASET, anomaly_kinds.KEY_OVERLAP, "eval", sentence, shown))
    add_own(judgement, "keys apart", findings)


def _rows(
    found: Sequence[row_identities.Identities], numbers: row_identities.Numbers, which: str
) -> list[samples.Sample]:
    rows: list[samples.Sample] = []
    for one in found:
        here = np.flatnonzero(np.isin(getattr(one, which), numbers))[: samples.ROWS_SHOWN - len(rows)]
        rows += samples.at(one.path, here.tolist())
    return rows


def _label_shares(statistics: DatasetFeatureStatisticsList, label: str) -> dict[str, float]:
    feature = by_name(statistics).get(label)
    if feature is None or not common(feature).num_non_missing:
        return {}
    if feature.HasField("string_stats"):
        counts = value_counts(feature)
        return {value: rows / sum(counts.values()) for value, rows in counts.items()}
    numbers = feature.num_stats
    if feature.type != feature.INT or numbers.min < 0 or numbers.max > 1:
        return {}
    return {"1": numbers.mean}
