"""The evaluation: models loaded, rows scored, metrics measured, gates judged, in one result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mainspring.components.common.buckets import local_copy
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import REGRESSION, ExamplesManifest, ModelManifest
from mainspring.components.evaluation import behaviour, costs, gates, measuring, noise, scoring, slices, worst_slices
from mainspring.components.evaluation.catalogue import COUNTS, MAIN_METRIC
from mainspring.components.evaluation.gates import CHALLENGER, CHAMPION, Evidence, Judgement, Measured
from mainspring.components.evaluation.measuring import Measure
from mainspring.components.evaluation.model_manifest import misfit, read_manifest
from mainspring.components.evaluation.noise import Interval
from mainspring.components.evaluation.policy import BATCH_LATENCY, COSTS, ROW_LATENCY, Metric, Policy
from mainspring.components.evaluation.scoring import LoadedModel, ScoredRows
from mainspring.components.evaluation.worst_slices import Search

SLICES_WITH_INTERVALS = 60
"""Slices beyond these are measured without an interval of their main metric, which costs twenty times as much."""

SAMPLE_ROWS = 1_000
"""Rows on which behaviour is tested and latency measured."""

SEARCHED_BUCKETS = 4
"""Into which the search for the worst slices cuts numbers that the policy does not cut otherwise."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured and decided."""

    reasons: list[str]
    """Why not; empty if blessed."""
    rows: int = 0
    unlabelled: int = 0
    scored: ScoredRows | None = None
    overall: Measured | None = None
    slices: list[Measured] = field(default_factory=list)
    skipped_slices: dict[str, int] = field(default_factory=dict)
    """By features, how many slices had too few rows."""
    judgements: list[Judgement] = field(default_factory=list)
    worst: Search | None = None
    """The slices where the challenger does worst."""
    worst_measured: list[Measured] = field(default_factory=list)
    """Those slices, measured."""
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By role and name, see `costs.py`."""
    rebaselined: str = ""
    """Why the champion was left out, where that was asked for."""

    @property
    def blessed(self) -> bool:
        """Whether every gate was judged and passed, and there was at least one."""
        return not self.reasons and bool(self.judgements) and all(judged.passed for judged in self.judgements)


def evaluate(
    examples: Path,
    examples_manifest: ExamplesManifest,
    model: Path,
    manifest: ModelManifest,
    champion_uri: str,
    policy: Policy,
    rebaseline: bool = False,
) -> Evaluation:
    """Measures the challenger, and the champion if there is one, and judges the gates.

    Args:
        examples: Folder of the examples artifact.
        examples_manifest: Its manifest.
        model: Folder of the challenger.
        manifest: Its manifest.
        champion_uri: The version to beat; empty if none is served.
        policy: What to measure and to ask.
        rebaseline: Whether a champion that cannot be measured is left out, instead of refusing the challenger.

    Raises:
        UserError: The challenger cannot be loaded, or the examples cannot be read.
    """
    print("loading the models", flush=True)
    models = {CHALLENGER: scoring.load(model, manifest)}
    broken = []
    if champion_uri:
        try:
            models[CHAMPION] = _load_champion(champion_uri, manifest, examples_manifest)
        except UserError as error:
            broken.append(f"the champion cannot be measured: {error}")
    scored, fault = _score(examples / "eval", models, policy)
    rate = len(scored) / scored.seconds if scored.seconds else 0
    print(f"predicted {len(scored):,} rows with {len(models)} model(s) at {rate:,.0f} rows/s", flush=True)
    broken += ([fault] if fault else []) + _champion_faults(scored, manifest)
    reasons = ([] if rebaseline else broken) + _faults(scored, manifest)
    rebaselined = "; ".join(broken) if rebaseline else ""
    if rebaselined:
        print(f"{rebaselined}: judged as a first model, as asked", flush=True)
    if len(scored) == 0:
        return Evaluation(reasons, unlabelled=scored.unlabelled, scored=scored, rebaselined=rebaselined)
    usable = {
        role: predictions
        for role, predictions in scored.predictions.items()
        if scoring.fault(predictions, manifest) is None
    }
    unknown = manifest.task != REGRESSION and bool((scored.labels == scoring.rows.UNKNOWN_CLASS).any())
    if CHALLENGER not in usable or unknown:
        return Evaluation(reasons, len(scored), scored.unlabelled, scored, rebaselined=rebaselined)
    try:
        own = _judge_models(examples / "eval", {CHALLENGER: model, CHAMPION: champion_uri}, models, usable, policy)
        return replace(_judge(reasons, scored, usable, manifest, policy, own), rebaselined=rebaselined)
    except measuring.MetricFailure as failure:
        return Evaluation([*reasons, str(failure)], len(scored), scored.unlabelled, scored, rebaselined=rebaselined)


@dataclass(frozen=True)
class _OfModels:
    """What was measured of the models themselves."""

    costs: Mapping[str, Mapping[str, float]]
    cost_intervals: Mapping[str, Interval]
    behaviour: list[Judgement]


def _judge_models(
    folder: Path, uris: Mapping[str, Any], models: Mapping[str, LoadedModel], usable: Mapping[str, Any], policy: Policy
) -> _OfModels:
    measured = {role: model for role, model in models.items() if role in usable}
    folders = {role: local_copy(uris[role]) for role in measured}
    columns = sorted({feature for model in measured.values() for feature in model.manifest.features})
    sample = scoring.rows.sample(folder, columns, SAMPLE_ROWS)
    timed = {gate.metric for gate in policy.gates} & {ROW_LATENCY, BATCH_LATENCY}
    found, intervals = costs.measure(folders, measured, sample, timed)
    return _OfModels(found, intervals, behaviour.judge(policy.behaviour, models[CHALLENGER], sample))


def _judge(
    reasons: list[str],
    scored: ScoredRows,
    usable: Mapping[str, Any],
    manifest: ModelManifest,
    policy: Policy,
    own: _OfModels,
) -> Evaluation:
    print(f"measuring {len(policy.metrics)} metrics", flush=True)
    measure = measuring.measure_with(policy.metrics, manifest)

    main = _main_metric(policy, manifest)
    measure_main = measuring.measure_with([main], manifest)

    counts = {metric.name for metric in policy.metrics if metric.class_name in COUNTS}

    def measured(part: slices.Slice, measure_intervals: Measure | None = None) -> Measured:
        labels = scored.labels[part.indices]
        values = {role: measure(labels, predicted[part.indices]) for role, predicted in usable.items()}
        if measure_intervals is None:
            return Measured(part, values)
        told = {
            role: noise.intervals(measure_intervals, labels, predicted[part.indices], values[role], counts)
            for role, predicted in usable.items()
        }
        return Measured(part, values, told)

    overall = measured(slices.Slice({}, np.arange(len(scored))), measure)
    found: list[Measured] = []
    skipped = {}
    for features in policy.slices:
        parts, others = slices.slices_of(scored.slices, features, policy.min_slice_rows)
        found += [
            measured(part, measure_main if len(found) + number < SLICES_WITH_INTERVALS else None)
            for number, part in enumerate(parts)
        ]
        skipped[" × ".join(features)] = others
    worst, bad = _worst(scored, usable[CHALLENGER], manifest, policy), []
    if worst:
        bad = [measured(slices.rows_of(scored.slices, one.values), measure_main) for one in worst.found]
    print(f"measured {len(found)} slices; judging {len(policy.gates)} gates", flush=True)
    asked = {gate.metric for gate in policy.gates} - set(COSTS)
    measures = {name: measuring.measure_with([policy.metric(name)], manifest) for name in asked}
    judgements = gates.judge(
        Evidence(policy, scored.labels, usable, overall, found, measures, own.costs, own.cost_intervals)
    )
    judgements += own.behaviour
    if not judgements:
        reasons = [*reasons, "no gate was judged"]
    failed = [judgement.says for judgement in judgements if not judgement.passed]
    return Evaluation(
        [*reasons, *failed],
        len(scored),
        scored.unlabelled,
        scored,
        overall,
        found,
        skipped,
        judgements,
        worst,
        bad,
        own.costs,
    )


def _worst(scored: ScoredRows, predictions: Any, manifest: ModelManifest, policy: Policy) -> Search | None:
    if not policy.worst_slices:
        return None
    losses = worst_slices.row_losses(scored.labels, predictions, manifest.task)
    return worst_slices.search(scored.slices, losses, policy.min_slice_rows, policy.worst_slices)


def _main_metric(policy: Policy, manifest: ModelManifest) -> Metric:
    """Returns the task's main metric, or the policy's first where it does not ask for that."""
    usual = [metric for metric in policy.metrics if metric.class_name == MAIN_METRIC[manifest.task]]
    return (usual or list(policy.metrics))[0]


def _load_champion(uri: str, challenger: ModelManifest, examples: ExamplesManifest) -> LoadedModel:
    folder = local_copy(uri)
    manifest = read_manifest(folder)
    reason = misfit(manifest, challenger, examples.columns)
    if reason:
        raise UserError(f"{uri}: {reason}")
    return scoring.load(folder, manifest)


def _score(folder: Path, models: dict[str, LoadedModel], policy: Policy) -> tuple[ScoredRows, str | None]:
    features = {feature for crossed in policy.slices for feature in crossed}
    buckets = dict(policy.buckets)
    if policy.worst_slices:
        kinds = models[CHALLENGER].manifest.features
        # A number that is sliced by as it is stays as it is; the search cuts the others.
        numbers = [name for name, kind in kinds.items() if kind == "numeric" and name not in features]
        buckets = {**dict.fromkeys(numbers, SEARCHED_BUCKETS), **buckets}
        features |= set(kinds)
    try:
        return scoring.score(folder, models, sorted(features), buckets), None
    except scoring.ModelFailure as error:
        if error.role != CHAMPION:
            raise
        del models[CHAMPION]
        return scoring.score(folder, models, sorted(features), buckets), f"the champion cannot be measured: {error}"


def _champion_faults(scored: ScoredRows, manifest: ModelManifest) -> list[str]:
    predictions = scored.predictions.get(CHAMPION)
    fault = None if predictions is None else scoring.fault(predictions, manifest)
    return [f"champion: {fault}"] if fault else []


def _faults(scored: ScoredRows, manifest: ModelManifest) -> list[str]:
    if len(scored) == 0:
        left_out = f" with a label ({scored.unlabelled:,} have none)" if scored.unlabelled else ""
        return [f"the eval split has no rows{left_out}"]
    fault = scoring.fault(scored.predictions[CHALLENGER], manifest)
    found = [f"challenger: {fault}"] if fault else []
    distinct = np.unique(scored.labels)
    if manifest.task != REGRESSION and scoring.rows.UNKNOWN_CLASS in distinct:
        count = int((scored.labels == scoring.rows.UNKNOWN_CLASS).sum())
        known = ", ".join(manifest.classes[:10])
        found.append(f"label {manifest.label}: {count:,} eval rows hold a class that the model does not know ({known})")
    elif len(distinct) == 1:
        what = "value" if manifest.task == REGRESSION else "class"
        found.append(
            f"label {manifest.label}: all {len(scored):,} eval rows hold one {what}, so nothing can be told apart"
        )
    return found
