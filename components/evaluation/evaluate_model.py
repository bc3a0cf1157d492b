"""The judge of the loop: is the challenger good enough, and no worse than the champion on the same rows?

TensorFlow and TFMA are imported inside functions: an evaluation that stands (`gates.standing_verdict`) needs neither.
An engine that has time to spare while an earlier stage works calls `preload`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mainspring.components.common import manifests, storage
from mainspring.components.common.buckets import local_copy
from mainspring.components.common.errors import UserError
from mainspring.components.common.images import VERSION
from mainspring.components.common.manifests import ExamplesManifest, ModelManifest
from mainspring.components.common.written.policy_text import read_text
from mainspring.components.evaluation import deferred_imports
from mainspring.components.evaluation.gates import standing_verdict
from mainspring.components.evaluation.model_manifest import read_manifest
from mainspring.components.evaluation.policy import policy_yaml
from mainspring.components.evaluation.unseen_rows import only_unseen, unseen_rows

REFUSE, REBASELINE = "refuse", "rebaseline"


class Evaluated(NamedTuple):
    """The verdict."""

    blessed: bool
    reasons: str
    """One sentence a line; empty if blessed."""


class ClassificationMetrics(Protocol):
    """KFP's ClassificationMetrics artifact, as far as it is used here."""

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        """Records a ROC curve."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Records a confusion matrix: true classes by row, predicted ones by column."""


class Metrics(Protocol):
    """KFP's Metrics artifact, as far as it is used here."""

    def log_metric(self, metric: str, value: float) -> None:
        """Records one number."""


def preload() -> None:
    """Imports what evaluation needs, TensorFlow and TFMA with it."""
    # TensorFlow's start-up notes about CPUs and GPUs would drown the progress lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with deferred_imports.deferred():
        import mainspring.components.evaluation.evaluation
        import mainspring.components.evaluation.reporting.page  # noqa: F401


_DEAL_ALIKE = (
    "deal them as then (eval_fraction, split_columns, time_column, query), or say on_broken_champion=rebaseline"
)


def evaluate_model(
    examples: str,
    model: str,
    evaluation: str,
    metrics: Metrics,
    report: str,
    champion_uri: str = "",
    policy: str = "",
    on_broken_champion: str = REFUSE,
    beam_options: Sequence[str] = (),
    classification_metrics: ClassificationMetrics | None = None,
) -> Evaluated:
    """Measures the model on the eval split, overall and by slice, against bounds and against the champion.

    Args:
        examples: Folder of the examples artifact; its eval split is used.
        model: Folder of the challenger's SavedModel.
        evaluation: Folder to publish: `evaluation.json`, `eval_config.pbtxt` and a copy of the report.
        metrics: Takes the challenger's overall metrics.
        report: File to write the page to.
        champion_uri: The published version to beat; empty if none is served.
        policy: YAML, or the path of a YAML file; empty for the defaults (`policy_yaml.py`).
        on_broken_champion: `refuse`, or `rebaseline`: judge the challenger as a first model where the champion cannot
            be measured.
        beam_options: Of a Beam runner that predicts; empty to predict here.
        classification_metrics: Takes the challenger's ROC curve and confusion matrix; None to leave them out.

    Returns:
        The verdict; blessed only if every gate was judged and passed.

    Raises:
        UserError: The policy is wrong, or the examples or the challenger cannot be read.
    """
    if on_broken_champion not in (REFUSE, REBASELINE):
        raise UserError(f"on_broken_champion: expected {REFUSE} or {REBASELINE}, found {on_broken_champion!r}")
    text = read_text(policy)
    examples_manifest = manifests.read(ExamplesManifest, Path(examples) / manifests.EXAMPLES_MANIFEST)
    manifest = read_manifest(Path(model))
    if manifest.label not in examples_manifest.columns:
        raise UserError(f"examples: they lack the model's label {manifest.label!r}")
    judged = {
        "model_fingerprint": manifest.fingerprint,
        "examples_fingerprint": examples_manifest.fingerprint,
        "policy": text,
        "versions": _versions(),
    }
    found = standing_verdict.find(champion_uri, judged)
    if found:
        folder, content = found
        print("the candidate is what is served, judged before on the same rows by the same policy: that stands")
        standing_verdict.copy(folder, Path(evaluation), Path(report))
        _draw(content, classification_metrics)
        return _announce(content, metrics)
    verdict, content = _evaluate(
        Path(examples),
        examples_manifest,
        Path(model),
        manifest,
        Path(evaluation),
        metrics,
        Path(report),
        champion_uri,
        judged,
        on_broken_champion == REBASELINE,
        [str(option) for option in beam_options],
    )
    _draw(content, classification_metrics)
    return verdict


def _evaluate(
    examples: Path,
    examples_manifest: ExamplesManifest,
    model: Path,
    manifest: ModelManifest,
    evaluation: Path,
    metrics: Metrics,
    report: Path,
    champion_uri: str,
    judged: dict[str, Any],
    rebaseline: bool,
    beam_options: list[str],
) -> tuple[Evaluated, dict[str, Any]]:
    policy = policy_yaml.parse(judged["policy"], manifest, examples_manifest.columns)
    preload()
    from google.protobuf import text_format

    from mainspring.components.evaluation import evaluation as evaluating
    from mainspring.components.evaluation.metrics import measuring
    from mainspring.components.evaluation.reporting import evaluation_json, history, ml_test_score, model_card, page

    unseen = unseen_rows(examples_manifest, champion_uri)
    incomparable = f"{unseen.why}; {_DEAL_ALIKE}" if unseen.nothing_left else ""
    with only_unseen(examples, examples_manifest, unseen) as (kept, kept_manifest):
        result = evaluating.evaluate(
            kept, kept_manifest, model, manifest, champion_uri, policy, rebaseline, beam_options, incomparable
        )
    if unseen.why and not incomparable:
        spans = ", ".join(sorted(unseen.left_out))
        note = f"{unseen.why}; spans {spans} are left out of this evaluation" if spans else unseen.why
        print(note, flush=True)
        result = replace(result, notes=[*result.notes, note])
    versions = history.read(champion_uri, manifest.task)
    content = {
        **judged,
        "champion_uri": champion_uri,
        "champion": champion_judged(champion_uri),
        "task": manifest.task,
        "label": manifest.label,
        **evaluation_json.as_json(result),
        **evaluation_json.drawn(result, manifest),
        "versions_before": [asdict(version) for version in versions],
    }
    score = ml_test_score.score(ml_test_score.outcomes(result, model, manifest, versions))
    html = page.page(result, manifest, champion_uri, versions, score)
    roles = ["challenger", "champion"] if champion_uri else ["challenger"]
    config = text_format.MessageToString(measuring.eval_config(policy, manifest, roles))
    card = model_card.card(result, manifest, examples_manifest)
    with storage.publishing_directory(evaluation) as aside:
        storage.write_json(aside / standing_verdict.CARD_FILE, card)
        storage.write_atomically(aside / standing_verdict.CARD_PAGE, model_card.page(card))
        storage.write_json(aside / standing_verdict.SCORE_FILE, score)
        storage.write_atomically(aside / standing_verdict.SCORE_PAGE, ml_test_score.page(score))
        storage.write_json(aside / standing_verdict.EVALUATION_FILE, content)
        storage.write_json(aside / standing_verdict.REPLAY_FILE, result.replay)
        storage.write_atomically(aside / standing_verdict.CONFIG_FILE, config)
        storage.write_atomically(aside / standing_verdict.REPORT_FILE, html)
    storage.write_atomically(report, html)
    return _announce(content, metrics), content


def champion_judged(uri: str) -> dict[str, Any] | None:
    """Returns URI, version and fingerprint of the champion that a verdict is measured against; None without one.

    What cannot be read of it is null: the verdict says so anyway.
    """
    if not uri:
        return None
    name = uri.rstrip("/").rpartition("/")[2]
    version = int(name) if name.isascii() and name.isdecimal() else None
    try:
        fingerprint = read_manifest(local_copy(uri)).fingerprint or None
    except UserError:
        fingerprint = None
    return {"uri": uri, "version": version, "fingerprint": fingerprint}


def _announce(content: dict[str, Any], metrics: Metrics) -> Evaluated:
    for name, value in (content["metrics"]["challenger"] or {}).items():
        if value is not None:
            metrics.log_metric(name, float(value))
    for one in content.get("importance") or ():
        if (one.get("challenger") or {}).get("matters"):
            metrics.log_metric(f"importance of {one['feature']}", float(one["challenger"]["value"]))
    reasons = [str(reason) for reason in content["reasons"]]
    print("blessed" if content["blessed"] else "\n".join(["not blessed:", *reasons]), flush=True)
    return Evaluated(content["blessed"], "\n".join(reasons))


def _draw(content: dict[str, Any], metrics: ClassificationMetrics | None) -> None:
    confusion, roc = content.get("confusion_matrix"), content.get("roc")
    if metrics is not None and confusion:
        metrics.log_confusion_matrix(confusion["classes"], confusion["matrix"])
    if metrics is not None and roc:
        metrics.log_roc_curve(roc["false_positive_rate"], roc["true_positive_rate"], roc["threshold"])


def _versions() -> dict[str, str]:
    return {"mainspring": VERSION} | manifests.code_versions("tensorflow", "tensorflow-model-analysis")
