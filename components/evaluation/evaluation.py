"""The evaluation: models loaded, rows scored, metrics measured, gates judged, in one result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import REGRESSION, ExamplesManifest, ModelManifest
from mainspring.components.evaluation import gates, measuring, scoring, slices
from mainspring.components.evaluation.gates import CHALLENGER, CHAMPION, Evidence, Judgement, Measured
from mainspring.components.evaluation.model_manifest import misfit, read_manifest
from mainspring.components.evaluation.policy import Policy
from mainspring.components.evaluation.scoring import LoadedModel, ScoredRows


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
) -> Evaluation:
    """Measures the challenger, and the champion if there is one, and judges the gates.

    Raises:
        UserError: The challenger cannot be loaded, or the examples cannot be read.
    """
    print("loading the models", flush=True)
    models = {CHALLENGER: scoring.load(model, manifest)}
    reasons = []
    if champion_uri:
        try:
            models[CHAMPION] = _load_champion(champion_uri, manifest, examples_manifest)
        except UserError as error:
            reasons.append(f"the champion cannot be measured: {error}")
    scored, fault = _score(examples / "eval", models, policy)
    rate = len(scored) / scored.seconds if scored.seconds else 0
    print(f"predicted {len(scored):,} rows with {len(models)} model(s) at {rate:,.0f} rows/s", flush=True)
    reasons += ([fault] if fault else []) + _faults(scored, models)
    if len(scored) == 0:
        return Evaluation(reasons, unlabelled=scored.unlabelled, scored=scored)
    usable = {
        role: predictions
        for role, predictions in scored.predictions.items()
        if scoring.fault(predictions, manifest) is None
    }
    unknown = manifest.task != REGRESSION and bool((scored.labels == scoring.rows.UNKNOWN_CLASS).any())
    if CHALLENGER not in usable or unknown:
        return Evaluation(reasons, len(scored), scored.unlabelled, scored)
    try:
        return _judge(reasons, scored, usable, manifest, policy)
    except measuring.MetricFailure as failure:
        return Evaluation([*reasons, str(failure)], len(scored), scored.unlabelled, scored)


def _judge(
    reasons: list[str], scored: ScoredRows, usable: Mapping[str, Any], manifest: ModelManifest, policy: Policy
) -> Evaluation:
    print(f"measuring {len(policy.metrics)} metrics", flush=True)
    measure = measuring.measure_with(policy.metrics, manifest)

    def measured(part: slices.Slice) -> Measured:
        labels = scored.labels[part.indices]
        return Measured(part, {role: measure(labels, values[part.indices]) for role, values in usable.items()})

    overall = measured(slices.Slice({}, np.arange(len(scored))))
    found, skipped = [], {}
    for features in policy.slices:
        parts, others = slices.slices_of(scored.slices, features, policy.min_slice_rows)
        found += [measured(part) for part in parts]
        skipped[" × ".join(features)] = others
    print(f"measured {len(found)} slices; judging {len(policy.gates)} gates", flush=True)
    asked = {gate.metric for gate in policy.gates}
    measures = {name: measuring.measure_with([policy.metric(name)], manifest) for name in asked}
    judgements = gates.judge(Evidence(policy, scored.labels, usable, overall, found, measures))
    if not judgements:
        reasons = [*reasons, "no gate was judged"]
    failed = [judgement.says for judgement in judgements if not judgement.passed]
    return Evaluation([*reasons, *failed], len(scored), scored.unlabelled, scored, overall, found, skipped, judgements)


def _load_champion(uri: str, challenger: ModelManifest, examples: ExamplesManifest) -> LoadedModel:
    folder = storage.as_path(uri)
    manifest = read_manifest(folder)
    reason = misfit(manifest, challenger, examples.columns)
    if reason:
        raise UserError(f"{uri}: {reason}")
    return scoring.load(folder, manifest)


def _score(folder: Path, models: dict[str, LoadedModel], policy: Policy) -> tuple[ScoredRows, str | None]:
    features = sorted({feature for crossed in policy.slices for feature in crossed})
    try:
        return scoring.score(folder, models, features), None
    except scoring.ModelFailure as error:
        if error.role != CHAMPION:
            raise
        del models[CHAMPION]
        return scoring.score(folder, models, features), f"the champion cannot be measured: {error}"


def _faults(scored: ScoredRows, models: Mapping[str, LoadedModel]) -> list[str]:
    manifest = models[CHALLENGER].manifest
    if len(scored) == 0:
        left_out = f" with a label ({scored.unlabelled:,} have none)" if scored.unlabelled else ""
        return [f"the eval split has no rows{left_out}"]
    found = [
        f"{role}: {fault}"
        for role, predictions in scored.predictions.items()
        if (fault := scoring.fault(predictions, manifest))
    ]
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


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Returns the parts of `evaluation.json` that were measured or decided; NaN and infinity become null."""
    overall = evaluation.overall.values if evaluation.overall else {}
    return {
        "blessed": evaluation.blessed,
        "reasons": evaluation.reasons,
        "rows": evaluation.rows,
        "unlabelled_rows": evaluation.unlabelled,
        "metrics": {role: _finite(overall[role]) if role in overall else None for role in (CHALLENGER, CHAMPION)},
        "slices": [
            {
                "slice": dict(measured.slice.values),
                "rows": len(measured.slice.indices),
                **{
                    role: _finite(measured.values[role]) if role in measured.values else None
                    for role in (CHALLENGER, CHAMPION)
                },
            }
            for measured in evaluation.slices
        ],
        "skipped_slices": evaluation.skipped_slices,
        "gates": [_finite(asdict(judgement)) for judgement in evaluation.judgements],
    }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
