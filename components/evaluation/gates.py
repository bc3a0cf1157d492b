"""The gates: what each asked, what was measured, by how much it passed or failed. What cannot be judged has failed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mainspring.components.evaluation.accumulators import Labels, Predictions
from mainspring.components.evaluation.catalogue import HIGHER, LOWER
from mainspring.components.evaluation.measuring import Measure
from mainspring.components.evaluation.noise import Interval, interval_of_difference, intervals
from mainspring.components.evaluation.policy import COSTS, Gate, Policy
from mainspring.components.evaluation.slices import Slice, described
from mainspring.components.evaluation.trivial import trivial_value

TRIVIAL_MARGIN = 1e-6
"""To beat the trivial predictor is to be better by more than the metrics' own precision."""

CHALLENGER, CHAMPION = "challenger", "champion"


@dataclass(frozen=True)
class Judgement:
    """One bound of one gate on one slice."""

    metric: str
    slice: Mapping[str, str]
    asked: str
    """The bound in words."""
    challenger: float | None
    champion: float | None
    margin: float | None
    """By how much it passed; negative: by how much it failed; None if it could not be judged."""
    interval: Interval | None
    """Of challenger minus champion, at 95 %; None where it was not needed or could not be told."""
    passed: bool
    says: str
    """The outcome in one sentence."""


@dataclass(frozen=True)
class Measured:
    """All rows or one slice, measured."""

    slice: Slice
    values: Mapping[str, Mapping[str, float]]
    """By role and metric's name."""
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    """By role and metric's name, at 95 %; only those that were asked for and can be told."""


@dataclass(frozen=True)
class Evidence:
    """What the gates look at."""

    policy: Policy
    labels: Labels
    predictions: Mapping[str, Predictions]
    """By role; without a champion, the challenger's alone."""
    overall: Measured
    slices: Sequence[Measured]
    measures: Mapping[str, Measure]
    """By metric's name, the function that computes that metric alone."""
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Size and latencies by role and name; see `costs.py`."""
    cost_intervals: Mapping[str, Interval] = field(default_factory=dict)
    """By name, of challenger minus champion."""


def judge(evidence: Evidence) -> list[Judgement]:
    """Returns every gate's judgements, in the policy's order; a gate on slices gives some for each slice."""
    return [judgement for gate in evidence.policy.gates for judgement in _judge_gate(gate, evidence)]


def _judge_gate(gate: Gate, evidence: Evidence) -> list[Judgement]:
    if not gate.is_absolute and gate.max_gap is None and CHAMPION not in evidence.predictions:
        return []
    if gate.metric in COSTS:
        return _judge_cost(gate, evidence)
    if not gate.slice:
        return _judge_rows(gate, evidence, evidence.overall)
    asked = [measured for measured in evidence.slices if tuple(measured.slice.values) == gate.slice]
    if not asked:
        every = " and ".join(gate.slice)
        says = f"{gate.metric}: no slice of {every} has {evidence.policy.min_slice_rows} rows, so nothing was judged"
        return [Judgement(gate.metric, {}, f"every slice of {every}", None, None, None, None, False, says)]
    judgements = [judgement for measured in asked for judgement in _judge_rows(gate, evidence, measured)]
    return judgements + ([] if gate.max_gap is None else [_judge_gap(gate, evidence, asked)])


def _judge_cost(gate: Gate, evidence: Evidence) -> list[Judgement]:
    measured = Measured(evidence.overall.slice, evidence.costs)
    judgements = []
    if gate.max is not None:
        judgements.append(_judge_bound(gate, measured, f"at most {_text(gate.max)}", gate.max, LOWER))
    if gate.is_comparison and CHAMPION in evidence.predictions:
        judgements.append(_judge_loss(gate, measured, LOWER, evidence.cost_intervals.get(gate.metric)))
    return judgements


def _judge_gap(gate: Gate, evidence: Evidence, asked: Sequence[Measured]) -> Judgement:
    """Judges the gap between the slices with the highest and the lowest value."""
    features = " and ".join(gate.slice)
    bound = gate.max_gap or 0.0
    words = f"a gap of at most {_text(bound)} between the slices of {features}"
    values = [_value(measured, CHALLENGER, gate.metric) for measured in asked]
    known = [(value, index) for index, value in enumerate(values) if value is not None]
    if len(asked) < 2 or len(known) < len(asked):
        why = "there is only one" if len(asked) < 2 else "it cannot be computed on all of them"
        says = f"{gate.metric}: asked {words}; {why}"
        return Judgement(gate.metric, {}, words, None, None, None, None, False, says)
    (low, at_low), (high, at_high) = min(known), max(known)
    gap = high - low
    interval = _interval_of_gap(gate, evidence, asked[at_high], asked[at_low], len(asked))
    is_noise = interval is not None and interval.low <= 0
    passed = gap <= bound or (gate.allow_noise and is_noise)
    champions = [_value(measured, CHAMPION, gate.metric) for measured in asked]
    finite = [value for value in champions if value is not None]
    says = (
        f"{gate.metric}: asked {words}; {_text(high)} ({described(asked[at_high].slice.values)}) against {_text(low)} "
        f"({described(asked[at_low].slice.values)}) is {_text(gap)}: {'passes' if passed else 'fails'}"
    ) + (_noise_in_words(interval, is_noise, 1) if gap > bound else "")
    champion = max(finite) - min(finite) if finite and len(finite) == len(asked) else None
    return Judgement(gate.metric, {}, words, gap, champion, bound - gap, interval, passed, says)


def _interval_of_gap(gate: Gate, evidence: Evidence, high: Measured, low: Measured, count: int) -> Interval | None:
    """Returns the gap's interval: different rows, so the squared half-widths add up.

    The highest and the lowest of `count` slices lie apart by chance alone, so it is widened to hold for all their pairs
    together (Bonferroni).
    """
    squares, gap = 0.0, high.values[CHALLENGER][gate.metric] - low.values[CHALLENGER][gate.metric]
    for measured in (high, low):
        indices = measured.slice.indices
        own = intervals(
            evidence.measures[gate.metric],
            evidence.labels[indices],
            evidence.predictions[CHALLENGER][indices],
            measured.values[CHALLENGER],
        ).get(gate.metric)
        if own is None:
            return None
        squares += ((own.high - own.low) / 2) ** 2
    normal = statistics.NormalDist()
    wider = normal.inv_cdf(1 - 0.025 / math.comb(count, 2)) / normal.inv_cdf(0.975)
    return Interval(gap - wider * math.sqrt(squares), gap + wider * math.sqrt(squares))


def _judge_rows(gate: Gate, evidence: Evidence, measured: Measured) -> list[Judgement]:
    judgements = []
    metric = evidence.policy.metric(gate.metric)
    if gate.better_than_trivial:
        trivial, what = trivial_value(metric.class_name, evidence.labels[measured.slice.indices])
        asked = f"better than {_text(trivial)}, {what}"
        judgements.append(_judge_bound(gate, measured, asked, trivial, metric.direction, TRIVIAL_MARGIN))
    if gate.min is not None:
        judgements.append(_judge_bound(gate, measured, f"at least {_text(gate.min)}", gate.min, 1))
    if gate.max is not None:
        judgements.append(_judge_bound(gate, measured, f"at most {_text(gate.max)}", gate.max, -1))
    if gate.is_comparison and CHAMPION in evidence.predictions:
        interval = _interval(gate, evidence, measured) if _differs(gate, measured) else None
        judgements.append(_judge_loss(gate, measured, metric.direction, interval))
    return judgements


def _judge_bound(
    gate: Gate, measured: Measured, asked: str, bound: float, direction: int, least: float = 0.0
) -> Judgement:
    challenger = _value(measured, CHALLENGER, gate.metric)
    champion = _value(measured, CHAMPION, gate.metric)
    where = f"{gate.metric} ({described(measured.slice.values)})"
    if challenger is None or not math.isfinite(bound):
        says = f"{where}: asked {asked}; cannot be computed for the challenger"
        return Judgement(gate.metric, measured.slice.values, asked, challenger, champion, None, None, False, says)
    margin = (challenger - bound) * (1 if direction == HIGHER else -1) - least
    passed = margin > 0 if least else margin >= 0
    says = f"{where}: asked {asked}; {_text(challenger)} {_outcome(passed, margin)}"
    return Judgement(gate.metric, measured.slice.values, asked, challenger, champion, margin, None, passed, says)


def _differs(gate: Gate, measured: Measured) -> bool:
    values = [_value(measured, role, gate.metric) for role in (CHALLENGER, CHAMPION)]
    return None not in values and values[0] != values[1]


def _judge_loss(gate: Gate, measured: Measured, direction: int, interval: Interval | None) -> Judgement:
    challenger = _value(measured, CHALLENGER, gate.metric)
    champion = _value(measured, CHAMPION, gate.metric)
    where = f"{gate.metric} ({described(measured.slice.values)})"
    asked = _asked_loss(gate)
    if challenger is None or champion is None:
        whom = CHALLENGER if challenger is None else CHAMPION
        says = f"{where}: asked {asked}; cannot be computed for the {whom}"
        return Judgement(gate.metric, measured.slice.values, asked, challenger, champion, None, None, False, says)
    loss = (champion - challenger) * direction
    margin = _allowed_loss(gate, champion) - loss
    is_noise = interval is not None and interval.low <= 0 <= interval.high
    passed = margin >= 0 or (gate.allow_noise and is_noise)
    how = "equal" if loss == 0 else f"{'worse' if loss > 0 else 'better'} by {_text(abs(loss))}"
    says = f"{where}: asked {asked}; {_text(challenger)} against {_text(champion)} is {how}: "
    says += ("passes" if passed else "fails") + _noise_in_words(interval, is_noise, loss)
    return Judgement(gate.metric, measured.slice.values, asked, challenger, champion, margin, interval, passed, says)


def _interval(gate: Gate, evidence: Evidence, measured: Measured) -> Interval | None:
    indices = measured.slice.indices
    return interval_of_difference(
        evidence.measures[gate.metric],
        gate.metric,
        evidence.labels[indices],
        evidence.predictions[CHALLENGER][indices],
        evidence.predictions[CHAMPION][indices],
    )


def _noise_in_words(interval: Interval | None, is_noise: bool, loss: float) -> str:
    if interval is None:
        return " (too few rows to tell noise from loss)" if loss > 0 else ""
    kind = "within noise" if is_noise else "beyond noise"
    return f" ({kind}: the difference is {_text(interval.low)} to {_text(interval.high)} at 95 % confidence)"


def _asked_loss(gate: Gate) -> str:
    bounds = []
    if gate.max_loss is not None:
        bounds.append(_text(gate.max_loss))
    if gate.max_relative_loss is not None:
        bounds.append(f"{_text(gate.max_relative_loss * 100)} %")
    if set(bounds) <= {"0", "0 %"}:
        return "not worse than the champion"
    return f"at most {' and '.join(bounds)} worse than the champion"


def _allowed_loss(gate: Gate, champion: float) -> float:
    shares = [] if gate.max_relative_loss is None else [gate.max_relative_loss * abs(champion)]
    return min(shares if gate.max_loss is None else [gate.max_loss, *shares])


def _value(measured: Measured, role: str, metric: str) -> float | None:
    value = measured.values.get(role, {}).get(metric, math.nan)
    return value if math.isfinite(value) else None


def _outcome(passed: bool, margin: float) -> str:
    return f"{'passes' if passed else 'fails'} by {_text(abs(margin))}"


def _text(value: float) -> str:
    return f"{value:.4g}"
