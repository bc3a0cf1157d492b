"""The ML Test Score: which of its 28 tests this run automated, and passed, each with the evidence.

After Breck et al., The ML Test Score: A Rubric for ML Production Readiness and Technical Debt Reduction (IEEE Big Data
2017): four groups of seven tests; a point for each that is automated and passed; the score is that of the weakest
group. Half points for tests done by hand are a person's to add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common import manifests, report
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.evaluation.evaluation import Evaluation
from mainspring.components.evaluation.gates import gates
from mainspring.components.evaluation.gates.gates import CHAMPION, Judgement
from mainspring.components.evaluation.policy.metric_catalogue import MAIN_METRIC, result_name
from mainspring.components.evaluation.policy.policy import COSTS
from mainspring.components.evaluation.reporting.history import PastVersion

PUBLICATION = "Breck et al., The ML Test Score (2017)"

LATER = "happens after this page was written, in the deployment"

TESTS = {
    "Data": (
        "Feature expectations are captured in a schema",
        "All features are beneficial",
        "No feature's cost is too much",
        "Features adhere to meta-level requirements",
        "The data pipeline has appropriate privacy controls",
        "New features can be added quickly",
        "All input feature code is tested",
    ),
    "Model": (
        "Model specs are reviewed and submitted",
        "Offline and online metrics correlate",
        "All hyperparameters have been tuned",
        "The impact of model staleness is known",
        "A simpler model is not better",
        "Model quality is sufficient on important data slices",
        "The model is tested for considerations of inclusion",
    ),
    "Infrastructure": (
        "Training is reproducible",
        "Model specs are unit tested",
        "The ML pipeline is integration tested",
        "Model quality is validated before serving",
        "The model is debuggable",
        "Models are canaried before serving",
        "Serving models can be rolled back",
    ),
    "Monitoring": (
        "Dependency changes result in notification",
        "Data invariants hold for inputs",
        "Training and serving are not skewed",
        "Models are not too stale",
        "Models are numerically stable",
        "Computing performance has not regressed",
        "Prediction quality has not regressed",
    ),
}
"""The 28 tests by group, in the rubric's order."""


@dataclass(frozen=True)
class Outcome:
    """One of the 28."""

    group: str
    test: str
    automated: bool
    """Whether this run did it."""
    passed: bool
    evidence: str
    """What in this run shows it; or why it is not automated here."""


def outcomes(
    evaluation: Evaluation, model: Path, manifest: ModelManifest, versions: Sequence[PastVersion]
) -> list[Outcome]:
    """Returns all 28, in the rubric's order.

    Args:
        evaluation: What was measured and judged.
        model: The challenger's folder.
        manifest: Its manifest.
        versions: The published versions.
    """
    done = {
        "Feature expectations are captured in a schema": _schema(model, manifest),
        "The impact of model staleness is known": _staleness(evaluation, manifest, versions),
        "A simpler model is not better": _judged(evaluation, [gates.TRIVIAL, gates.LINEAR], "compared with a baseline"),
        "Model quality is sufficient on important data slices": _slices(evaluation),
        "The model is tested for considerations of inclusion": _judged(evaluation, [gates.GAP], "gaps between groups"),
        "Model quality is validated before serving": _validated(evaluation),
        "Models are numerically stable": _stable(evaluation),
        "Computing performance has not regressed": _performance(evaluation),
    }
    why_not = {
        "Training is reproducible": "seed, data and versions are recorded, but no second training was compared",
        "Models are canaried before serving": LATER,
        "Serving models can be rolled back": LATER,
        "Data invariants hold for inputs": "validate_examples judges that; its verdict is not read here",
    }
    found = []
    for group, tests in TESTS.items():
        for test in tests:
            result = done.get(test)
            if result is None:
                reason = why_not.get(test, "nothing in this run shows it" if test in done else "not automated")
                found.append(Outcome(group, test, False, False, reason))
            else:
                found.append(Outcome(group, test, True, *result))
    return found


def score(found: Sequence[Outcome]) -> dict[str, Any]:
    """Returns points by group and the score: the weakest group's."""
    groups = {group: sum(each.automated and each.passed for each in found if each.group == group) for group in TESTS}
    return {
        "source": PUBLICATION,
        "score": min(groups.values()),
        "points": groups,
        "automated": sum(each.automated for each in found),
        "passed": sum(each.automated and each.passed for each in found),
        "tests": [asdict(each) for each in found],
    }


def page(content: dict[str, Any]) -> str:
    """Returns the page."""
    sections: list[tuple[str, Any]] = [("Score", report.key_values({**content["points"], "weakest": content["score"]}))]
    for group in TESTS:
        rows = [
            [each["test"], each["passed"] if each["automated"] else "not here", each["evidence"]]
            for each in content["tests"]
            if each["group"] == group
        ]
        sections.append((group, report.table(["Test", "Passed", "Evidence"], rows)))
    sentence = f"{content['automated']} of 28 tests automated in this run, {content['passed']} of them passed."
    return report.page("ML Test Score", (None, sentence), sections)


_Result = tuple[bool, str] | None


def _schema(model: Path, manifest: ModelManifest) -> _Result:
    """The schema that travels with the model names every feature it takes."""
    path = model / manifests.SCHEMA_FILE
    if not path.is_file():
        return None
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema = text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError):
        return False, f"{manifests.SCHEMA_FILE} beside the model cannot be read"
    missing = sorted(set(manifest.features) - {feature.name for feature in schema.feature})
    if missing:
        return False, f"{manifests.SCHEMA_FILE} beside the model does not name {', '.join(missing[:5])}"
    return True, f"{manifests.SCHEMA_FILE} beside the model names all {len(manifest.features)} features"


def _staleness(evaluation: Evaluation, manifest: ModelManifest, versions: Sequence[PastVersion]) -> _Result:
    """The champion's metrics of its own time are held against the same on today's rows."""
    then = next((version for version in versions if version.is_champion), None)
    now = evaluation.overall.values.get(CHAMPION) if evaluation.overall else None
    name = result_name(MAIN_METRIC[manifest.task])
    if then is None or now is None or name not in then.metrics or name not in now:
        return None
    return True, f"version {then.version}: {name} was {then.metrics[name]:.4g} and is {now[name]:.4g} on today's rows"


def _judged(evaluation: Evaluation, kinds: Sequence[str], what: str) -> _Result:
    return _outcome([judged for judged in evaluation.judgements if judged.kind in kinds], what)


def _slices(evaluation: Evaluation) -> _Result:
    judgements = [judged for judged in evaluation.judgements if judged.slice or judged.kind == gates.NO_SLICE]
    return _outcome(judgements, "what was asked of slices")


def _performance(evaluation: Evaluation) -> _Result:
    costs = [judged for judged in evaluation.judgements if judged.metric in COSTS and judged.kind == gates.LOSS]
    return _outcome(costs, "size and latency against the champion")


def _outcome(judgements: Sequence[Judgement], what: str) -> _Result:
    if not judgements:
        return None
    failed = sum(not judged.passed for judged in judgements)
    return not failed, f"{what}: {len(judgements) - failed} of {len(judgements)} judgements passed"


def _validated(evaluation: Evaluation) -> _Result:
    if not evaluation.judgements:
        return None
    verdict = "blessed" if evaluation.blessed else "not blessed, so it may not be deployed"
    return evaluation.blessed, f"{len(evaluation.judgements)} judgements on {evaluation.rows:,} eval rows: {verdict}"


def _stable(evaluation: Evaluation) -> _Result:
    """Evidence is every prediction of the eval rows; a broken one leaves nothing measured."""
    if evaluation.scored is None or evaluation.rows == 0:
        return None
    if evaluation.overall is None:
        return False, "a prediction is NaN, infinite or no probability, or the rows cannot be judged"
    return True, f"all predictions of {evaluation.rows:,} eval rows are finite and in range"
