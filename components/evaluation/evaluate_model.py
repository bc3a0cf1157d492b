"""The judge of the loop: is the challenger good enough, and no worse than the champion on the same rows?

TensorFlow and TFMA are imported inside functions: an evaluation that stands (`standing.py`) needs neither. An engine
that has time to spare while an earlier stage works calls `preload`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.images import VERSION
from mainspring.components.common.manifests import ExamplesManifest, ModelManifest
from mainspring.components.evaluation import policy_yaml, standing
from mainspring.components.evaluation.model_manifest import read_manifest

if TYPE_CHECKING:
    pass


class Evaluated(NamedTuple):
    """The verdict."""

    blessed: bool
    reasons: str
    """One sentence a line; empty if blessed."""


class Metrics(Protocol):
    """KFP's Metrics artifact, as far as it is used here."""

    def log_metric(self, metric: str, value: float) -> None:
        """Records one number."""


def preload() -> None:
    """Imports what evaluation needs, TensorFlow and TFMA with it."""
    # TensorFlow's start-up notes about CPUs and GPUs would drown the progress lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import mainspring.components.evaluation.evaluation
    import mainspring.components.evaluation.page  # noqa: F401


def evaluate_model(
    examples: str,
    model: str,
    evaluation: str,
    metrics: Metrics,
    report: str,
    champion_uri: str = "",
    policy: str = "",
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

    Returns:
        The verdict; blessed only if every gate was judged and passed.

    Raises:
        UserError: The policy is wrong, or the examples or the challenger cannot be read.
    """
    text = policy_yaml.read_text(policy)
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
    found = standing.find(champion_uri, judged)
    if found:
        folder, content = found
        print("the candidate is what is served, judged before on the same rows by the same policy: that stands")
        standing.copy(folder, Path(evaluation), Path(report))
        return _announce(content, metrics)
    return _evaluate(
        Path(examples),
        examples_manifest,
        Path(model),
        manifest,
        Path(evaluation),
        metrics,
        Path(report),
        champion_uri,
        judged,
    )


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
) -> Evaluated:
    policy = policy_yaml.parse(judged["policy"], manifest, examples_manifest.columns)
    preload()
    from google.protobuf import text_format

    from mainspring.components.evaluation import evaluation as evaluating
    from mainspring.components.evaluation import evaluation_json, measuring, page

    result = evaluating.evaluate(examples, examples_manifest, model, manifest, champion_uri, policy)
    content = {
        **judged,
        "champion_uri": champion_uri,
        "task": manifest.task,
        "label": manifest.label,
        **evaluation_json.as_json(result),
    }
    html = page.page(result, manifest, champion_uri)
    roles = ["challenger", "champion"] if champion_uri else ["challenger"]
    config = text_format.MessageToString(measuring.eval_config(policy, manifest, roles))
    with storage.publishing_directory(evaluation) as aside:
        storage.write_json(aside / standing.EVALUATION_FILE, content)
        storage.write_atomically(aside / standing.CONFIG_FILE, config)
        storage.write_atomically(aside / standing.REPORT_FILE, html)
    storage.write_atomically(report, html)
    return _announce(content, metrics)


def _announce(content: dict[str, Any], metrics: Metrics) -> Evaluated:
    for name, value in (content["metrics"]["challenger"] or {}).items():
        if value is not None:
            metrics.log_metric(name, float(value))
    reasons = [str(reason) for reason in content["reasons"]]
    print("blessed" if content["blessed"] else "\n".join(["not blessed:", *reasons]), flush=True)
    return Evaluated(content["blessed"], "\n".join(reasons))


def _versions() -> dict[str, str]:
    return {"mainspring": VERSION} | manifests.code_versions("tensorflow", "tensorflow-model-analysis")
