"""What makes rows or predictions unfit to judge by, in words: each is a reason for a no."""

from __future__ import annotations

from mainspring.components.common.manifests import MULTILABEL, RANKING, REGRESSION, ExamplesManifest, ModelManifest
from mainspring.components.evaluation.gates.gates import CHALLENGER, CHAMPION
from mainspring.components.evaluation.metrics import ranking_queries
from mainspring.components.evaluation.scoring import scoring
from mainspring.components.evaluation.scoring.rows import UNKNOWN_CLASS
from mainspring.components.evaluation.scoring.scoring import ScoredRows


def of_champion(scored: ScoredRows, manifest: ModelManifest) -> list[str]:
    """Returns what is wrong with the champion's predictions."""
    predictions = scored.predictions.get(CHAMPION)
    fault = None if predictions is None else scoring.fault(predictions, manifest)
    return [f"champion: {fault}"] if fault else []


def of_rows_and_challenger(scored: ScoredRows, manifest: ModelManifest) -> list[str]:
    """Returns what is wrong with the labels and the challenger's predictions."""
    if len(scored) == 0:
        left_out = f" with a label ({scored.unlabelled:,} have none)" if scored.unlabelled else ""
        return [f"the eval split has no rows{left_out}"]
    fault = scoring.fault(scored.predictions[CHALLENGER], manifest)
    of_labels = _unknown_classes(scored, manifest) or _nothing_to_tell_apart(scored, manifest)
    return ([f"challenger: {fault}"] if fault else []) + ([of_labels] if of_labels else [])


def of_count(scored: ScoredRows, examples: ExamplesManifest) -> list[str]:
    """Returns what is wrong where there are other rows than those that the manifest counts: a file is gone or added."""
    found, counted = len(scored) + scored.unlabelled, examples.rows.get("eval", 0)
    return [f"the eval split has {found:,} rows, its manifest counts {counted:,}"] if found != counted else []


def has_unknown_classes(scored: ScoredRows, manifest: ModelManifest) -> bool:
    """Returns whether a row's label is none of the model's classes."""
    return manifest.task not in (REGRESSION, RANKING) and bool((scored.labels == UNKNOWN_CLASS).any())


def _unknown_classes(scored: ScoredRows, manifest: ModelManifest) -> str | None:
    if not has_unknown_classes(scored, manifest):
        return None
    count = int((scored.labels == UNKNOWN_CLASS).reshape(len(scored), -1).any(axis=1).sum())
    known = ", ".join(manifest.classes[:10])
    return f"label {manifest.label}: {count:,} eval rows hold a class that the model does not know ({known})"


def _nothing_to_tell_apart(scored: ScoredRows, manifest: ModelManifest) -> str | None:
    what = {REGRESSION: "value", RANKING: "relevance", MULTILABEL: "set of classes"}.get(manifest.task, "class")
    labels = scored.labels[:, 0] if manifest.task == RANKING else scored.labels
    if manifest.task == RANKING and labels.min() < 0:
        return f"label {manifest.label}: {int((labels < 0).sum()):,} eval rows have a relevance below 0"
    if manifest.task == RANKING and ranking_queries.count(scored.labels) == len(labels):
        return f"query {manifest.query}: each has one eval row only, so there is no order to judge"
    if bool((labels == labels[0]).all()):
        return f"label {manifest.label}: all {len(labels):,} eval rows hold one {what}, so nothing can be told apart"
    return None
