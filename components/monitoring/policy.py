"""What a team asks of live traffic, and when it retrains: YAML, inline or a file, checked before anything is read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.components.common.written.policy_text import read_text, refuse_unknown, suggestion

TRAFFIC, ERRORS, RECORDS, VOLUME = "traffic", "errors", "records", "volume"
UNUSABLE = "unusable_predictions"
SKEW, DRIFT, PREDICTIONS, ANOMALY = "skew", "drift", "prediction_drift", "anomaly"
QUALITY, BUSINESS, STALE = "quality", "business", "stale"
ESTIMATE = "estimated_quality"
REASONS_TO_RETRAIN = (QUALITY, ESTIMATE, BUSINESS, SKEW, DRIFT, PREDICTIONS, STALE)
"""What a new model may mend. Errors, malformed records and odd volumes are alarms that it does not."""

EVALUATION, FIRST_WINDOW = "evaluation", "first_window"
BASELINES = (EVALUATION, FIRST_WINDOW)


@dataclass(frozen=True)
class Limits:
    """How far a window may go before it is an alarm."""

    min_requests: int = 200
    """Fewer requests: rows are not judged, and the window is not healthy. 0: a window without a record may be."""
    min_rows: int = 500
    """Fewer rows: their distributions are not judged, chance would be."""
    max_error_share: float = 0.01
    """Of the requests, those without a logged answer of status 200 that can be used."""
    max_bad_record_share: float = 0.01
    """Of the records, those that are damaged, foreign, duplicated, malformed …; of the rows, those with values of the
    wrong type; and so on, each kind by itself."""
    max_unusable_share: float = 0.01
    """Of the champion's predictions, those that are null, absent or no number."""
    max_volume_factor: float = 4.0
    """Requests a second may be so many times more or fewer than the median of earlier windows."""
    max_prediction_drift: float = 0.1
    """Jensen–Shannon divergence of the predictions from the version's first window, in bits: 0 equal, 1 disjoint."""
    min_labelled: int = 300
    """Fewer labelled rows: quality is not judged."""
    max_bad_label_share: float = 0.01
    """Of the labels, those of no class, that join several rows, that contradict each other, or whose id is spelled
    otherwise than a request's; each kind by itself. More: quality is not judged, and the window is not healthy."""
    max_unjoined_label_share: float = 1.0
    """Of the labels, those that join no row that is still kept. Files often hold the labels of all times, so that only
    labels of which fewer than `min_labelled` join are an alarm unless this is lower."""


@dataclass(frozen=True)
class Quality:
    """Live quality, once labels have come."""

    metric: str = ""
    """A metric's name as evaluation writes it; empty: the task's main one."""
    max_loss: float = 0.02
    """How much worse than the baseline it may be beyond what chance explains: in the metric's unit, or, where that is
    the label's (regression's metrics), as a share of the baseline."""
    baseline: str = EVALUATION
    """`evaluation`: what evaluation measured; `first_window`: the version's first judged window, where the eval split
    cannot speak for later times."""
    slices: tuple[str, ...] = ()
    """Features whose values are judged one by one, beside those that evaluation sliced by."""
    min_slice_rows: int = 300
    max_slice_loss: float = 0.05


@dataclass(frozen=True)
class Business:
    """A number of the team's: SQL over the table `labelled` (features, `prediction`, `class`, `label`)."""

    sql: str = ""
    name: str = "business metric"
    min: float = -math.inf
    max: float = math.inf


@dataclass(frozen=True)
class Retrain:
    """When a new model is trained."""

    causes: tuple[str, ...] = (QUALITY, BUSINESS, SKEW, PREDICTIONS, STALE)
    """Which findings are reasons."""
    min_requests: int = 1000
    cool_down_days: float = 1.0
    """After a retraining, none for so long."""
    max_per_week: int = 3
    """In any seven days."""
    max_age_days: float = 0.0
    """An older model is trained anew whatever was found; 0: never for its age alone."""


@dataclass(frozen=True)
class Policy:
    """The whole of it."""

    limits: Limits = field(default_factory=Limits)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Skew and drift allowed, by feature; the schema's comparators otherwise."""
    quality: Quality = field(default_factory=Quality)
    business: Business = field(default_factory=Business)
    retrain: Retrain = field(default_factory=Retrain)
    label_windows: int = 3
    """For so many windows predictions are kept for labels to come."""


Section = TypeVar("Section", Limits, Quality, Business, Retrain)


def parse(policy: str) -> Policy:
    """Returns the checked policy.

    Args:
        policy: YAML, or the path of a .yaml file; empty for the defaults.

    Raises:
        UserError: The text is no YAML, names an unknown key, or has a value that makes no sense.
    """
    loaded = strict_yaml.load(read_text(policy), "policy")
    content = {} if loaded is None else loaded
    keys = [known.name for known in dataclasses.fields(Policy)]
    content = _mapping(content, "policy", keys)
    thresholds = content.get("thresholds") or {}
    if not isinstance(thresholds, dict) or not all(_is_share(value) for value in thresholds.values()):
        raise UserError(f"policy: thresholds: expected numbers from 0 to 1 by feature, found {thresholds!r}")
    found = Policy(
        limits=_section(Limits, content.get("limits"), "limits"),
        thresholds={str(name): float(value) for name, value in thresholds.items()},
        quality=_section(Quality, content.get("quality"), "quality"),
        business=_section(Business, content.get("business"), "business"),
        retrain=_section(Retrain, content.get("retrain"), "retrain"),
        label_windows=_number(content.get("label_windows", 3), int, "policy: label_windows"),
    )
    _one_of(found.quality.baseline, BASELINES, "policy: quality: baseline")
    for reason in found.retrain.causes:
        _one_of(reason, REASONS_TO_RETRAIN, "policy: retrain: causes")
    if content.get("business") is not None and not found.business.sql.strip():
        raise UserError("policy: business: sql is missing; give a query over the table labelled that returns a number")
    return found


def _section(kind: type[Section], content: Any, where: str) -> Section:
    known = {field.name: field for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in _mapping(content, f"policy: {where}", known).items():
        place, default = f"policy: {where}: {key}", known[key].default
        if isinstance(default, tuple):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise UserError(f"{place}: expected a list of names, found {value!r}")
            values[key] = tuple(value)
        elif isinstance(default, str):
            if not isinstance(value, str):
                raise UserError(f"{place}: expected text, found {value!r}")
            values[key] = value
        elif kind is Business:
            values[key] = _number(value, float, place, negative=True)
        else:
            values[key] = _number(value, type(default), place)
            if "share" in key and value > 1:
                raise UserError(f"{place}: expected a number from 0 to 1, found {value!r}")
    return kind(**values)


def _mapping(content: Any, where: str, keys: Iterable[str]) -> dict[str, Any]:
    known = list(keys)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected a mapping with {', '.join(known)}, found {content!r}")
    refuse_unknown(content, known, f"{where}: unknown key")
    return content


def _number(value: Any, kind: type, place: str, negative: bool = False) -> Any:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or (value < 0 and not negative) or (kind is int and value != int(value)):
        what = "whole number of 0 or more" if kind is int else "number" if negative else "number of 0 or more"
        raise UserError(f"{place}: expected a {what}, found {value!r}")
    return kind(value)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _one_of(value: str, known: Iterable[str], place: str) -> None:
    if value not in known:
        raise UserError(f"{place}: unknown {value!r}{suggestion(value, known)}")
