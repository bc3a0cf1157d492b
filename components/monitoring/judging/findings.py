"""What was found in a window, as JSON keeps it: the same words on the report, in the journal and for the decision."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """Something that was judged."""

    kind: str
    """One of the policy's words, such as `skew`."""
    about: str
    """A feature or a slice; empty for all rows."""
    alarm: bool
    sentence: str
    value: float | None = None
    limit: float | None = None
    mendable: bool = True
    """Whether a new model could mend it. What could not be judged is an alarm that none does."""


@dataclass(frozen=True)
class SliceQuality:
    """Quality on the rows that share a value."""

    slice: dict[str, str]
    """Value by feature; empty: all rows."""
    rows: int
    live: float
    error: float
    """Standard error of `live`."""
    baseline: float
    """What it is compared with; NaN if there is nothing."""
    alarm: bool
    unjudged: str = ""
    """Why it could not be judged; empty if it was."""


@dataclass(frozen=True)
class WindowQuality:
    """Quality of one window's predictions, as far as labels have come."""

    metric: str
    labelled: int
    rows: int
    """Predicted rows, labelled or not."""
    overall: SliceQuality
    slices: list[SliceQuality] = field(default_factory=list)
    business: float | None = None
    judged: bool = True
    """Whether it counts: not where too many labels are bad, or all are alike."""


def judged(findings: Sequence[Finding]) -> list[str]:
    """Returns the sentences of the alarms."""
    return [finding.sentence for finding in findings if finding.alarm]


def plain(value: Any) -> Any:
    """Returns dataclasses as dictionaries, and None for what JSON has no number for."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
