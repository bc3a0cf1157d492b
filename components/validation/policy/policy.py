"""What a team makes of the anomalies: how severe each is, and which are allowed for a while."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from mainspring.components.validation.policy import anomaly_kinds


@dataclass(frozen=True)
class Rule:
    """The severity of some anomalies; an empty `anomaly` or `feature` stands for all of them."""

    severity: str
    """One of `kinds.SEVERITIES`."""
    anomaly: str = ""
    feature: str = ""

    def rank(self, kind: str, feature: str) -> int:
        """Returns how closely the rule fits, or -1 if it does not: a feature weighs more than a kind."""
        if self.anomaly not in ("", kind) or self.feature not in ("", feature):
            return -1
        return 2 * bool(self.feature) + bool(self.anomaly)


@dataclass(frozen=True)
class Allowance:
    """An anomaly that is known and accepted until a date."""

    anomaly: str
    feature: str
    reason: str
    expires: datetime.date
    """The last day on which it is allowed, in UTC."""

    def fits(self, kind: str, feature: str) -> bool:
        """Whether it is about this anomaly."""
        return self.anomaly in ("", kind) and self.feature in ("", feature)


@dataclass(frozen=True)
class Limits:
    """How far what TFDV does not look at may go."""

    max_row_factor: float = 2.0
    """The newest span may have this many times the rows of the baseline's, or as many times fewer. The months of the
    flights of 2013 differ by 1.2; half a month that failed to arrive differs by 2."""
    max_label_odds_factor: float = 4.0
    """The odds of a label's value may differ from the baseline's by this factor. Between any two months of the flights
    of 2013 the odds of being late differ by up to 3.1 (December and September), between neighbours by up to 2.4."""
    max_duplicate_share: float = 0.01
    """The share of rows that repeat an earlier one."""
    max_association: float = 0.98
    """How well one feature may predict the label by itself: see `association.py`."""


@dataclass(frozen=True)
class Decision:
    """What the policy makes of one anomaly."""

    severity: str
    note: str = ""
    """Why it is not an error, or that its allowance has expired; empty if there is nothing to say."""
    expires: datetime.date | None = None
    """The last day of the allowance that it rests on, if it rests on one."""


@dataclass(frozen=True)
class Policy:
    """Rules, allowances and limits; the defaults are those of `kinds.OURS`."""

    rules: tuple[Rule, ...] = ()
    allowances: tuple[Allowance, ...] = ()
    limits: Limits = field(default_factory=Limits)
    judge: tuple[str, ...] = ()
    """Columns whose drift is judged although they seem to grow by nature."""
    leave_out: tuple[str, ...] = ()
    """Columns whose drift and skew are not judged."""

    def decide(self, kind: str, feature: str, severity: str, today: datetime.date) -> Decision:
        """Returns how severe an anomaly is.

        Args:
            kind: As in `kinds`.
            feature: The column; empty for the rows as a whole.
            severity: The one it has if no rule fits.
            today: The day, in UTC.
        """
        if kind == anomaly_kinds.CANNOT_JUDGE:
            return Decision(anomaly_kinds.ERROR)
        rule = max(self.rules, key=lambda one: one.rank(kind, feature), default=None)
        if rule is not None and rule.rank(kind, feature) >= 0:
            severity = rule.severity
        fitting = [allowance for allowance in self.allowances if allowance.fits(kind, feature)]
        if severity != anomaly_kinds.ERROR or not fitting:
            return Decision(severity, "" if severity != anomaly_kinds.IGNORE else "ignored by the policy")
        latest = max(fitting, key=lambda allowance: allowance.expires)
        words = f"allowed until {latest.expires} ({latest.reason})"
        if latest.expires < today:
            return Decision(anomaly_kinds.ERROR, f"it was {words}; that has expired")
        return Decision(anomaly_kinds.IGNORE, words, latest.expires)
