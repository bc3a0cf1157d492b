"""Whether a window's findings are worth a new model: debounced, and every decision written down with its reason."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.monitoring import policy as policies
from mainspring.components.monitoring.journal import journal_folder
from mainspring.components.monitoring.policy import Retrain

FINDINGS_FILE = "monitoring.json"
DAY = 86400.0
DAYS_A_WEEK = 7


class Decided(NamedTuple):
    """The decision."""

    retrain: bool
    reason: str


@dataclass(frozen=True)
class Decision:
    """A decision as the journal keeps it, `decisions/<window>.json`."""

    window: str
    as_of: str
    """When the window ended; ISO 8601, UTC."""
    retrain: bool
    reason: str
    """One sentence."""
    causes: list[str]
    """What spoke for it, a sentence each."""
    version: int
    """The version that was served."""
    requests: int
    decided: str
    """When it was decided; ISO 8601, UTC."""


def decide_retraining(monitoring: str, journal: str = "", policy: str = "") -> Decided:
    """Decides by a window's findings, the journal's earlier decisions and the policy, and writes the decision down.

    A window is decided once: asked again about the same findings, the answer is the same.

    Args:
        monitoring: Folder with `monitoring.json`.
        journal: The journal's folder; empty: the one that `monitor_endpoint` used.
        policy: YAML, or the path of a .yaml file.

    Raises:
        UserError: Findings, journal or policy cannot be read.
    """
    asked = policies.parse(policy).retrain
    findings = storage.read_json(Path(monitoring) / FINDINGS_FILE)
    try:
        key, name = str(findings["key"]), str(findings["name"])
        with journal_folder.opened(journal or str(findings.get("journal", "")), name) as folder:
            earlier = [one for one in decisions(folder) if one.window < key]
            retrain, reason, causes = decide(findings, earlier, asked)
            decision = Decision(
                window=key,
                as_of=str(findings["as_of"]),
                retrain=retrain,
                reason=reason,
                causes=causes,
                version=int(findings["version"]),
                requests=int(findings["volume"]["requests"]),
                decided=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            )
            storage.write_json(folder / journal_folder.DECISIONS / f"{key}.json", asdict(decision))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{Path(monitoring) / FINDINGS_FILE}: not what monitor_endpoint writes: {error!r}") from error
    print(f"{'retrain' if retrain else 'keep the model'}: {reason}", flush=True)
    return Decided(retrain, reason)


def decide(findings: Mapping[str, Any], earlier: Sequence[Decision], asked: Retrain) -> tuple[bool, str, list[str]]:
    """Returns whether to retrain, why in a sentence, and what spoke for it.

    Args:
        findings: What `monitor_endpoint` wrote.
        earlier: Decisions on earlier windows.
        asked: The policy.
    """
    now = _seconds(str(findings["as_of"]))
    causes = [
        str(found["sentence"])
        for found in findings["findings"]
        if found["alarm"] and found["kind"] in asked.causes and found.get("mendable", True)
    ]
    age = (now - _seconds(str(findings["version_created"]))) / DAY
    stale = policies.STALE in asked.causes and 0 < asked.max_age_days < age
    if stale:
        causes.append(f"the model is {age:.1f} days old; {asked.max_age_days:g} are allowed")
    if not causes:
        return False, "nothing that a new model would mend was found", []
    requests = int(findings["volume"]["requests"])
    if requests < asked.min_requests and not stale:
        return False, f"only {requests:,} requests; a retraining needs {asked.min_requests:,} to go by", causes
    retrained = [_seconds(one.as_of) for one in earlier if one.retrain]
    if retrained and now - retrained[-1] < asked.cool_down_days * DAY:
        days = (now - retrained[-1]) / DAY
        return False, f"the last retraining was {days:.1f} days ago; {asked.cool_down_days:g} are waited", causes
    recent = sum(now - when < DAYS_A_WEEK * DAY for when in retrained)
    if recent >= asked.max_per_week:
        return False, f"{recent} retrainings within seven days; {asked.max_per_week} are allowed", causes
    return True, causes[0] + (f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""), causes


def decisions(journal: Path) -> list[Decision]:
    """Returns the journal's decisions, oldest window first.

    Raises:
        UserError: One cannot be read: without it, cool-down and cap would not hold.
    """
    found = []
    for path in sorted((journal / journal_folder.DECISIONS).glob("*.json")):
        content = storage.read_json(path)
        try:
            found.append(Decision(**content))
        except TypeError as error:
            raise UserError(f"{path}: not a decision ({error}); remove it, then run again") from error
    return found


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
