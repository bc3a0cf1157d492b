"""What can be done about a finding, ready to paste: a parameter that accepts it, a line of a policy that allows it."""

from __future__ import annotations

import datetime
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from mainspring.components.validation.policy import anomaly_kinds

ALLOWED_DAYS = 30
"""How long the policy line allows a finding."""

REBASELINE = "-p on_broken_champion=rebaseline"
"""Evaluation cannot measure the champion on rows without its feature, or of another type or classes."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Cure:
    """What can be done about one finding."""

    accept: str = ""
    """Parameters of `continuous_training` with which the schema learns the column anew; empty if that is no help."""
    policy: str = ""
    """A line of the validation policy that allows it for a while; empty if nothing can."""
    consequence: str = ""
    """What follows from allowing it."""

    def __str__(self) -> str:
        """Says it in half a line."""
        ways = [f"if it is meant to be so, run with {self.accept}"] if self.accept else []
        ways += [f"to pass it for a while, policy {self.policy}"] if self.policy else ["no policy passes it"]
        return "; ".join(ways)


def of(kind: str, feature: str, today: datetime.date, *, rebaseline: bool = False) -> Cure:
    """Returns what can be done about a finding.

    Args:
        kind: As in `anomaly_kinds`.
        feature: The column; empty for the rows as a whole.
        today: The day, in UTC.
        rebaseline: Whether the champion cannot be measured on such rows.
    """
    if kind == anomaly_kinds.CANNOT_JUDGE:
        return Cure()
    accept = accepting([feature], rebaseline=rebaseline) if feature and kind in anomaly_kinds.LEARNT else ""
    about = f", feature: {_yaml(feature)}" if feature else ""
    expires = today + datetime.timedelta(days=ALLOWED_DAYS)
    policy = f"allow: [{{anomaly: {kind}{about}, reason: WHY, expires: {expires}}}]"
    return Cure(accept, policy, anomaly_kinds.CONSEQUENCES.get(kind, "the run goes on as if it were not there"))


def accepting(features: Sequence[str], *, rebaseline: bool = False) -> str:
    """Returns the parameters that accept these columns."""
    named = [f"-p accept={shlex.quote(name) if name.isprintable() else _yaml(name)}" for name in features]
    return " ".join([*named, *([REBASELINE] if rebaseline else [])])


def excluding(feature: str) -> str:
    """Returns the parameter that leaves a column out of training."""
    return accepting([feature]).replace("-p accept=", "-p exclude=", 1)


def _yaml(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _WORDS else json.dumps(name)


_WORDS = {"yes", "no", "on", "off", "y", "n", "true", "false", "null"}
"""What YAML takes for something else than text."""
