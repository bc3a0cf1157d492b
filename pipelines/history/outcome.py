"""What a run decided, in the figures that its history shows, read from the outputs of its tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mainspring.components.common import published, storage
from mainspring.components.common.errors import UserError

EVALUATION_FILE = "evaluation.json"
COUNT = "example_count"
"""TFMA's count of rows: a number among the metrics, and none by which models are compared."""


@dataclass(frozen=True)
class Outcome:
    """What a run decided. Empty, zero or None: it did not get so far, or the pipeline has no such step."""

    spans: str = ""
    """The spans that were read, such as `1-6`."""
    metric: str = ""
    """The name of the figure that matters: that of evaluation's first gate."""
    challenger: float | None = None
    champion: float | None = None
    blessed: bool | None = None
    version: int = 0
    """The version that the run deployed, or found served already."""
    version_uri: str = ""
    endpoint: str = ""
    before: int = 0
    """The version that the target served when the run looked."""
    approved_by: str = ""
    evaluation: str = ""
    """The folder of the evaluation: its report, the model card and the ML Test Score lie there."""


def outcome_of(tasks: Iterable[Mapping[str, Any]]) -> Outcome:
    """Returns what the tasks' outputs say of a run.

    Args:
        tasks: `outputs` of each: parameters as values, artifacts as `{"uri": …}`.
    """
    found: dict[str, Any] = {}
    for task in tasks:
        outputs = task.get("outputs") or {}
        if isinstance(outputs.get("spans"), str):
            found["spans"] = outputs["spans"]
        if "champion_uri" in outputs and "version" in outputs:
            found["before"] = _whole(outputs["version"])
        if outputs.get("approved") is True:
            found["approved_by"] = str(outputs.get("by", ""))
        if outputs.get("endpoint") and outputs.get("version_uri"):
            found |= {name: outputs[name] for name in ("version_uri", "endpoint")}
            found["version"] = _whole(outputs["version"])
        evaluation = outputs.get("evaluation")
        if isinstance(evaluation, Mapping) and evaluation.get("uri"):
            found["evaluation"] = str(evaluation["uri"])
            found |= figures(_evaluation(found["evaluation"]))
    return Outcome(**found)


def figures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figure that matters of an `evaluation.json`: its name, and what challenger and champion reached."""
    if not evaluation:
        return {}
    metrics = evaluation.get("metrics") or {}
    challenger, champion = metrics.get("challenger") or {}, metrics.get("champion") or {}
    asked = [gate["metric"] for gate in evaluation.get("gates") or [] if not gate.get("slice")]
    names = [name for name in (*asked, *challenger) if name in challenger and name != COUNT]
    told: dict[str, Any] = {"blessed": evaluation.get("blessed")}
    if names:
        told |= {"metric": names[0], "challenger": challenger[names[0]], "champion": champion.get(names[0])}
    return told


def _evaluation(uri: str) -> Mapping[str, Any]:
    try:
        if "://" in uri:
            content = published.content(uri, EVALUATION_FILE)
        else:
            content = storage.read_json(storage.as_path(uri) / EVALUATION_FILE)
    except UserError:
        return {}
    return content if isinstance(content, Mapping) else {}


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
