"""The evaluation: models loaded, rows scored, metrics measured, gates judged, in one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mainspring.components.common.buckets import local_copy
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import RANKING, ExamplesManifest, ModelManifest
from mainspring.components.evaluation import replay
from mainspring.components.evaluation.gates import behaviour, costs, gates, unfit_rows
from mainspring.components.evaluation.gates.gates import CHALLENGER, CHAMPION, LINEAR, Evidence, Judgement, Measured
from mainspring.components.evaluation.metrics import importance, measuring, noise, ranking_queries
from mainspring.components.evaluation.metrics.importance import Importance
from mainspring.components.evaluation.metrics.noise import Interval, IntervalsOf
from mainspring.components.evaluation.model_manifest import misfit, read_manifest
from mainspring.components.evaluation.policy.metric_catalogue import MAIN_METRIC
from mainspring.components.evaluation.policy.policy import BATCH_LATENCY, COSTS, ROW_LATENCY, Metric, Policy
from mainspring.components.evaluation.scoring import linear_baseline, scoring
from mainspring.components.evaluation.scoring.scoring import LoadedModel, ScoredRows
from mainspring.components.evaluation.slices import slice_columns, slices, worst_slices
from mainspring.components.evaluation.slices.worst_slices import Search

SLICES_WITH_INTERVALS = 300
"""Slices beyond these are measured without an interval of their main metric."""

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
    replay: Mapping[str, Any] = field(default_factory=dict)
    """Held-out rows with the challenger's predictions, see `replay.py`."""
    rebaselined: str = ""
    """Why the champion was left out, where that was asked for."""
    notes: list[str] = field(default_factory=list)
    """What else there is to know: buckets that cannot be made, metrics that slices have no value of."""

    importances: Sequence[Importance] = ()
    """What each feature is worth to each model."""
    thresholds: Mapping[str, float | None] = field(default_factory=dict)
    """By role, from which probability on the model names the positive class; None: it has no threshold of its own."""

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
    beam_options: Sequence[str] = (),
    incomparable: str = "",
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
        beam_options: Of the Beam runner that predicts; empty to predict here.
        incomparable: Why no row is left to compare the champion on; empty if there are rows.

    Raises:
        UserError: The challenger cannot be loaded, or the examples cannot be read.
    """
    print("loading the models", flush=True)
    models = {CHALLENGER: scoring.load(model, manifest)}
    broken = [incomparable] if incomparable else []
    if champion_uri and not incomparable:
        try:
            models[CHAMPION] = _load_champion(champion_uri, manifest, examples_manifest)
        except UserError as error:
            broken.append(f"the champion cannot be measured: {error}")
    others = {}
    if any(gate.better_than_linear for gate in policy.gates):
        print("fitting a linear model to compare with", flush=True)
        others[LINEAR] = linear_baseline.fit(examples / "train", manifest)
    scored, fault = _score(examples / "eval", models, policy, others, beam_options)
    rate = len(scored) / scored.seconds if scored.seconds else 0
    print(f"predicted {len(scored):,} rows with {len(models)} model(s) at {rate:,.0f} rows/s", flush=True)
    broken += ([fault] if fault else []) + unfit_rows.of_champion(scored, manifest)
    reasons = ([] if rebaseline else broken) + unfit_rows.of_rows_and_challenger(scored, manifest)
    reasons += unfit_rows.of_count(scored, examples_manifest)
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
    if CHALLENGER not in usable or unfit_rows.has_unknown_classes(scored, manifest):
        return Evaluation(reasons, len(scored), scored.unlabelled, scored, rebaselined=rebaselined)
    try:
        own = _judge_models(examples / "eval", {CHALLENGER: model, CHAMPION: champion_uri}, models, usable, policy)
        manifests_of = {role: models[role].manifest if role in models else manifest for role in usable}
        judged = _judge(reasons, scored, usable, manifests_of, policy, own)
        return replace(judged, rebaselined=rebaselined, replay=own.replay, importances=own.importances)
    except measuring.MetricFailure as failure:
        return Evaluation([*reasons, str(failure)], len(scored), scored.unlabelled, scored, rebaselined=rebaselined)


@dataclass(frozen=True)
class _OfModels:
    """What was measured of the models themselves."""

    costs: Mapping[str, Mapping[str, float]]
    cost_intervals: Mapping[str, Interval]
    behaviour: list[Judgement]
    replay: Mapping[str, Any]
    importances: Sequence[Importance]


def _judge_models(
    folder: Path, uris: Mapping[str, Any], models: Mapping[str, LoadedModel], usable: Mapping[str, Any], policy: Policy
) -> _OfModels:
    measured = {role: model for role, model in models.items() if role in usable}
    folders = {role: local_copy(uris[role]) for role in measured}
    columns = sorted({feature for model in measured.values() for feature in model.manifest.features})
    try:
        sample = scoring.rows.sample(folder, columns, SAMPLE_ROWS)
    except ValueError as error:  # Arrow's: there is no batch of files of several types.
        raise UserError(f"{folder}: its files have columns of different types: {error}; ingest again") from error
    timed = {gate.metric for gate in policy.gates} & {ROW_LATENCY, BATCH_LATENCY}
    found, intervals = costs.measure(folders, measured, sample, timed)
    judged = behaviour.judge(policy.behaviour, models[CHALLENGER], sample)
    matters = importance.importances(folder, measured)
    return _OfModels(found, intervals, judged, replay.of(models[CHALLENGER], sample), matters)


def _judge(
    reasons: list[str],
    scored: ScoredRows,
    usable: Mapping[str, Any],
    manifests: Mapping[str, ModelManifest],
    policy: Policy,
    own: _OfModels,
) -> Evaluation:
    print(f"measuring {len(policy.metrics)} metrics", flush=True)
    manifest = manifests[CHALLENGER]
    measures = {role: measuring.measure_with(policy.metrics, each) for role, each in manifests.items()}

    def intervals_with(metrics: Sequence[Metric]) -> dict[str, IntervalsOf]:
        return {role: noise.intervals_with(metrics, each) for role, each in manifests.items()}

    of_main = intervals_with([_main_metric(policy, manifest)])

    def measured(part: slices.Slice, intervals_of: Mapping[str, IntervalsOf] | None = None) -> Measured:
        if manifest.task == RANKING and part.indices is not None:
            rows = ranking_queries.whole(part.indices, scored.labels)
            part = slices.Slice(part.values, rows, len(rows))
        labels = part.of(scored.labels)
        predictions = {role: part.of(predicted) for role, predicted in usable.items()}
        values = {role: measures[role](labels, predicted) for role, predicted in predictions.items()}
        undefined = measuring.undefined(values[CHALLENGER], policy.metrics, labels, manifest)
        if intervals_of is None:
            return Measured(part, values, undefined=undefined)
        told = {role: intervals_of[role](labels, predicted, values[role]) for role, predicted in predictions.items()}
        return Measured(part, values, told, undefined)

    overall = measured(slices.everything(len(scored)), intervals_with(policy.metrics))
    found: list[Measured] = []
    skipped = {}
    for features in policy.slices:
        parts, too_few = slices.slices_of(scored.slices, features, policy.min_slice_rows)
        room = SLICES_WITH_INTERVALS - len(found)
        found += [measured(part, of_main if number < room else None) for number, part in enumerate(parts)]
        skipped[" × ".join(features)] = too_few
    notes = slice_columns.bucket_faults(policy.buckets, scored.slices) + _undefined_slices(found)
    for note in notes:
        print(note, flush=True)
    worst, bad = _worst(scored, usable[CHALLENGER], manifest, policy), []
    if worst:
        bad = [measured(slices.rows_of(scored.slices, one.values), of_main) for one in worst.found]
    print(f"measured {len(found)} slices; judging {len(policy.gates)} gates", flush=True)
    asked = {gate.metric for gate in policy.gates} - set(COSTS)
    metrics = {name: policy.metric(name) for name in sorted(asked)}
    judgements = gates.judge(
        Evidence(
            policy,
            scored.labels,
            usable,
            overall,
            found,
            {
                role: {name: noise.without_each(metric, each) for name, metric in metrics.items()}
                for role, each in manifests.items()
            },
            {name: noise.intervals_with([metric], manifest) for name, metric in metrics.items()},
            own.costs,
            own.cost_intervals,
        )
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
        notes=notes,
        thresholds={role: each.threshold for role, each in manifests.items()},
    )


def _undefined_slices(found: Sequence[Measured]) -> list[str]:
    """Returns, for each metric and feature, how many slices have no value of it, and why the first has none."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for measured in found:
        for metric, why in measured.undefined.items():
            where = " × ".join(measured.slice.values)
            reasons.setdefault((metric, where), []).append(f"{slices.described(measured.slice.values)}: {why}")
    return [
        f"{metric} is undefined, and not judged, on {len(each)} slice(s) of {where}; {each[0]}"
        for (metric, where), each in reasons.items()
    ]


def _worst(scored: ScoredRows, predictions: Any, manifest: ModelManifest, policy: Policy) -> Search | None:
    if not policy.worst_slices or manifest.task == RANKING:
        return None  # A ranking's rows stand and fall with their query, so no loss of one row can be told.
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


def _score(
    folder: Path,
    models: dict[str, LoadedModel],
    policy: Policy,
    others: Mapping[str, scoring.Predictor],
    beam_options: Sequence[str],
) -> tuple[ScoredRows, str | None]:
    features = {feature for crossed in policy.slices for feature in crossed}
    buckets = dict(policy.buckets)
    if policy.worst_slices:
        kinds = models[CHALLENGER].manifest.features
        # A number that is sliced by as it is stays as it is; the search cuts the others.
        numbers = [name for name, kind in kinds.items() if kind == "numeric" and name not in features]
        buckets = {**dict.fromkeys(numbers, SEARCHED_BUCKETS), **buckets}
        features |= set(kinds)

    def score() -> ScoredRows:
        if not beam_options:
            return scoring.score(folder, models, sorted(features), buckets, others)
        from mainspring.components.evaluation.scoring import beam_scoring

        return beam_scoring.score(folder, models, sorted(features), buckets, others, beam_options)

    try:
        return score(), None
    except scoring.ModelFailure as error:
        if error.role != CHAMPION:
            raise
        fault = f"the champion cannot be measured: {error}"
    del models[CHAMPION]
    return score(), fault
