"""The gates: what each asked, what was measured, by how much it passed or failed. What cannot be judged has failed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mainspring.components.evaluation.metrics.noise import (
    Interval,
    IntervalsOf,
    interval_of_difference,
    interval_over_trivial,
)
from mainspring.components.evaluation.metrics.replicates import WithoutEach
from mainspring.components.evaluation.metrics.trivial_predictor import trivial_value
from mainspring.components.evaluation.policy.metric_catalogue import HIGHER, LOWER
from mainspring.components.evaluation.policy.policy import COSTS, RARE, TRIVIAL_METRICS, Gate, Policy
from mainspring.components.evaluation.scoring.rows import Labels, Predictions
from mainspring.components.evaluation.slices.slices import Slice, described

TRIVIAL_MARGIN = 1e-6
"""To beat the trivial predictor is to be better by more than this share of its value: the metrics' own precision."""

CHALLENGER, CHAMPION, LINEAR = "challenger", "champion", "linear"


BOUND, LOSS, GAIN, GAP, TRIVIAL, NO_SLICE, BEHAVIOUR = (
    "bound",
    "loss",
    "gain",
    "gap",
    "trivial",
    "no slice",
    "behaviour",
)
"""Kinds of judgements, besides `LINEAR`."""


@dataclass(frozen=True)
class Judgement:
    """One bound of one gate on one slice."""

    metric: str
    slice: Mapping[str, str | None]
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
    kind: str = BOUND
    """What was asked: one of the kinds above."""


@dataclass(frozen=True)
class Measured:
    """All rows or one slice, measured."""

    slice: Slice
    values: Mapping[str, Mapping[str, float]]
    """By role and metric's name."""
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    """By role and metric's name, at 95 %; only those that were asked for and can be told."""
    undefined: Mapping[str, str] = field(default_factory=dict)
    """By metric's name, why these rows have no value of it."""


@dataclass(frozen=True)
class Evidence:
    """What the gates look at."""

    policy: Policy
    labels: Labels
    predictions: Mapping[str, Predictions]
    """By role; without a champion, none of it. `LINEAR` only where a gate asks for it."""
    overall: Measured
    slices: Sequence[Measured]
    without_each: Mapping[str, Mapping[str, WithoutEach]]
    """By role and metric's name, the function that computes it without each group of rows."""
    intervals_of: Mapping[str, IntervalsOf]
    """By metric's name, the function that tells the interval of the challenger's value."""
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
        is_asked = _is_rare(evidence) if gate.if_rare else not (gate.unless_stricter and _stricter(gate, evidence))
        return _judge_rows(gate, evidence, evidence.overall) if is_asked else []
    measured_slices = [measured for measured in evidence.slices if tuple(measured.slice.values) == gate.slice]
    # As with slices of too few rows: there is nothing to judge, for better or for worse.
    asked = [measured for measured in measured_slices if gate.metric not in measured.undefined]
    if not asked:
        every = " and ".join(gate.slice)
        says = f"{gate.metric}: no slice of {every} has {evidence.policy.min_slice_rows} rows, so nothing was judged"
        if measured_slices:
            first = measured_slices[0]
            why = f"{described(first.slice.values)}: {first.undefined[gate.metric]}"
            says = f"{gate.metric}: undefined on every slice of {every} ({why}), so nothing was judged"
        return [Judgement(gate.metric, {}, f"every slice of {every}", None, None, None, None, False, says, NO_SLICE)]
    judgements = [judgement for measured in asked for judgement in _judge_rows(gate, evidence, measured)]
    return judgements + ([] if gate.max_gap is None else [_judge_gap(gate, evidence, asked)])


def _is_rare(evidence: Evidence) -> bool:
    """Returns whether the positive one of two classes is rare."""
    return float((evidence.labels == 1).mean()) < RARE


def _stricter(gate: Gate, evidence: Evidence) -> bool:
    """Returns whether another gate's bound on all rows asks for more than the trivial predictor reaches."""
    return any(_beats_trivial(other, evidence) for other in evidence.policy.gates if other is not gate)


def _beats_trivial(gate: Gate, evidence: Evidence) -> bool:
    if gate.slice or gate.metric in COSTS:
        return False
    metric = evidence.policy.metric(gate.metric)
    bound = gate.min if metric.direction == HIGHER else gate.max
    if bound is None or metric.class_name not in TRIVIAL_METRICS or metric.settings.keys() - {"name"}:
        return False
    trivial, _ = trivial_value(metric, evidence.labels)
    return (bound - trivial) * (1 if metric.direction == HIGHER else -1) > TRIVIAL_MARGIN * abs(trivial)


def _judge_cost(gate: Gate, evidence: Evidence) -> list[Judgement]:
    measured = Measured(evidence.overall.slice, evidence.costs)
    judgements = []
    if gate.max is not None:
        judgements.append(_judge_bound(gate, measured, f"at most {_text(gate.max)}", gate.max, LOWER))
    if gate.asks_loss and CHAMPION in evidence.predictions:
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
        return Judgement(gate.metric, {}, words, None, None, None, None, False, says, GAP)
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
    return Judgement(gate.metric, {}, words, gap, champion, bound - gap, interval, passed, says, GAP)


def _interval_of_gap(gate: Gate, evidence: Evidence, high: Measured, low: Measured, count: int) -> Interval | None:
    """Returns the gap's interval: different rows, so the squared half-widths add up.

    The highest and the lowest of `count` slices lie apart by chance alone, so it is widened to hold for all their pairs
    together (Bonferroni).
    """
    squares, gap = 0.0, high.values[CHALLENGER][gate.metric] - low.values[CHALLENGER][gate.metric]
    for measured in (high, low):
        labels, predictions = (measured.slice.of(of) for of in (evidence.labels, evidence.predictions[CHALLENGER]))
        told = evidence.intervals_of[gate.metric](labels, predictions, measured.values[CHALLENGER])
        own = told.get(gate.metric)
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
        judgements.append(_judge_trivial(gate, evidence, measured))
    if gate.min is not None:
        judgements.append(_judge_bound(gate, measured, f"at least {_text(gate.min)}", gate.min, 1))
    if gate.max is not None:
        judgements.append(_judge_bound(gate, measured, f"at most {_text(gate.max)}", gate.max, -1))
    if gate.asks_loss and CHAMPION in evidence.predictions:
        interval = _interval(gate, evidence, measured, CHAMPION)
        judgements.append(_judge_loss(gate, measured, metric.direction, interval))
    if gate.asks_gain and CHAMPION in evidence.predictions:
        interval = _interval(gate, evidence, measured, CHAMPION)
        judgements.append(replace(_judge_gain(gate, measured, metric.direction, interval, CHAMPION), kind=GAIN))
    if gate.better_than_linear:
        interval = _interval(gate, evidence, measured, LINEAR)
        judgements.append(replace(_judge_gain(gate, measured, metric.direction, interval, LINEAR), kind=LINEAR))
    return judgements


def _judge_trivial(gate: Gate, evidence: Evidence, measured: Measured) -> Judgement:
    """Judges a gain over the trivial predictor: as over a model, within noise it is none, and unknown noise is noise.

    Half of all models that know nothing order some rows a little better than chance does.
    """
    metric = evidence.policy.metric(gate.metric)
    labels = measured.slice.of(evidence.labels)
    trivial, what = trivial_value(metric, labels)
    asked = f"better than {_text(trivial)}, {what}"
    bound = _judge_bound(gate, measured, asked, trivial, metric.direction, TRIVIAL_MARGIN * abs(trivial))
    if not bound.passed or bound.challenger is None or not gate.allow_noise:
        return replace(bound, kind=TRIVIAL)
    predictions = measured.slice.of(evidence.predictions[CHALLENGER])
    values_without = evidence.without_each[CHALLENGER][gate.metric]
    interval = interval_over_trivial(values_without, bound.challenger - trivial, metric, labels, predictions)
    is_noise = interval is None or interval.low <= 0 <= interval.high
    says = bound.says + _noise_in_words(interval, is_noise, 1)
    if is_noise:
        says = says.replace(_outcome(True, bound.margin or 0.0), "fails")
    return replace(bound, kind=TRIVIAL, interval=interval, passed=not is_noise, says=says)


def _judge_bound(
    gate: Gate, measured: Measured, asked: str, bound: float, direction: int, least: float | None = None
) -> Judgement:
    """Judges a value against a bound; with `least`, it must be better than the bound by more than that."""
    challenger = _value(measured, CHALLENGER, gate.metric)
    champion = _value(measured, CHAMPION, gate.metric)
    where = f"{gate.metric} ({described(measured.slice.values)})"
    if challenger is None or not math.isfinite(bound):
        says = f"{where}: asked {asked}; {_unknown(gate, measured, 'the challenger')}"
        return Judgement(gate.metric, measured.slice.values, asked, challenger, champion, None, None, False, says)
    margin = (challenger - bound) * (1 if direction == HIGHER else -1) - (least or 0.0)
    passed = margin > 0 if least is not None else margin >= 0
    says = f"{where}: asked {asked}; {_text(challenger)} {_outcome(passed, margin)}"
    return Judgement(gate.metric, measured.slice.values, asked, challenger, champion, margin, None, passed, says)


def _judge_loss(gate: Gate, measured: Measured, direction: int, interval: Interval | None) -> Judgement:
    challenger = _value(measured, CHALLENGER, gate.metric)
    champion = _value(measured, CHAMPION, gate.metric)
    where = f"{gate.metric} ({described(measured.slice.values)})"
    asked = _asked_loss(gate)
    if challenger is None or champion is None:
        whom = CHALLENGER if challenger is None else CHAMPION
        says = f"{where}: asked {asked}; {_unknown(gate, measured, f'the {whom}')}"
        return Judgement(gate.metric, measured.slice.values, asked, challenger, champion, None, None, False, says, LOSS)
    loss = (champion - challenger) * direction
    margin = _allowed_loss(gate, champion) - loss
    is_noise = interval is not None and interval.low <= 0 <= interval.high
    passed = margin >= 0 or (gate.allow_noise and is_noise)
    how = "equal" if loss == 0 else f"{'worse' if loss > 0 else 'better'} by {_text(abs(loss))}"
    says = f"{where}: asked {asked}; {_text(challenger)} against {_text(champion)} is {how}: "
    says += ("passes" if passed else "fails") + _noise_in_words(interval, is_noise, loss)
    return Judgement(
        gate.metric, measured.slice.values, asked, challenger, champion, margin, interval, passed, says, LOSS
    )


def _judge_gain(gate: Gate, measured: Measured, direction: int, interval: Interval | None, role: str) -> Judgement:
    """Judges a gain over the champion or the linear model: within noise it is none, and unknown noise is noise."""
    challenger, other = (_value(measured, each, gate.metric) for each in (CHALLENGER, role))
    whom = "the champion" if role == CHAMPION else "a linear model of the same features"
    shown = _value(measured, CHAMPION, gate.metric)
    where = f"{gate.metric} ({described(measured.slice.values)})"
    least = _asked_gain(gate, other or 0.0) if role == CHAMPION else TRIVIAL_MARGIN * abs(other or 0.0)
    asked = f"better than {whom}" + (f" by at least {_text(least)}" if role == CHAMPION and least > 0 else "")
    if challenger is None or other is None:
        nobody = _unknown(gate, measured, "the challenger" if challenger is None else whom)
        says = f"{where}: asked {asked}; {nobody}"
        return Judgement(gate.metric, measured.slice.values, asked, challenger, shown, None, None, False, says)
    gain = (challenger - other) * direction
    is_noise = interval is None or interval.low <= 0 <= interval.high
    passed = gain > 0 and gain >= least and not (gate.allow_noise and is_noise)
    how = "equal" if gain == 0 else f"{'better' if gain > 0 else 'worse'} by {_text(abs(gain))}"
    says = f"{where}: asked {asked}; {_text(challenger)} against {_text(other)} is {how}: "
    says += ("passes" if passed else "fails") + _noise_in_words(interval, is_noise, 1)
    return Judgement(gate.metric, measured.slice.values, asked, challenger, shown, gain - least, interval, passed, says)


def _asked_gain(gate: Gate, champion: float) -> float:
    shares = [] if gate.min_relative_gain is None else [gate.min_relative_gain * abs(champion)]
    return max(shares if gate.min_gain is None else [gate.min_gain, *shares])


def _interval(gate: Gate, evidence: Evidence, measured: Measured, role: str) -> Interval | None:
    """Returns the interval of the difference to another model; None where there is none or it cannot be told."""
    values = [_value(measured, each, gate.metric) for each in (CHALLENGER, role)]
    if values[0] is None or values[1] is None or values[0] == values[1]:
        return None
    labels, *predictions = (
        measured.slice.of(each)
        for each in (evidence.labels, evidence.predictions[CHALLENGER], evidence.predictions[role])
    )
    ours, theirs = (evidence.without_each[each][gate.metric] for each in (CHALLENGER, role))
    return interval_of_difference(ours, theirs, values[0] - values[1], labels, *predictions)


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


def _unknown(gate: Gate, measured: Measured, whom: str) -> str:
    why = measured.undefined.get(gate.metric)
    return f"undefined, because {why}" if why else f"cannot be computed for {whom}"


def _outcome(passed: bool, margin: float) -> str:
    return f"{'passes' if passed else 'fails'} by {_text(abs(margin))}"


def _text(value: float) -> str:
    return f"{value:.4g}"
