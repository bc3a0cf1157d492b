"""The parts of `evaluation.json` that were measured or decided; NaN and infinity become null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mainspring.components.common.manifests import BINARY, ModelManifest
from mainspring.components.evaluation.evaluation import Evaluation
from mainspring.components.evaluation.gates.gates import CHALLENGER, CHAMPION, Measured
from mainspring.components.evaluation.metrics import curves, importance


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Returns what JSON can hold of the evaluation."""
    overall = evaluation.overall
    return {
        "blessed": evaluation.blessed,
        "reasons": evaluation.reasons,
        "rows": evaluation.rows,
        "unlabelled_rows": evaluation.unlabelled,
        "metrics": _by_role(overall.values if overall else {}),
        "intervals": _intervals(overall) if overall else {},
        "undefined": dict(overall.undefined) if overall else {},
        "slices": [_slice(measured) for measured in evaluation.slices],
        "skipped_slices": evaluation.skipped_slices,
        "notes": evaluation.notes,
        "worst_slices": _worst(evaluation),
        "importance": importance.as_json(evaluation.importances),
        "costs": {role: dict(values) for role, values in evaluation.costs.items()},
        "rebaselined": evaluation.rebaselined or None,
        "thresholds": dict(evaluation.thresholds),
        "gates": [finite(asdict(judgement)) for judgement in evaluation.judgements],
    }


def drawn(evaluation: Evaluation, manifest: ModelManifest) -> dict[str, Any]:
    """Returns the challenger's `confusion_matrix` and `roc`; None where the task has none."""
    scored = evaluation.scored
    if scored is None or evaluation.overall is None:
        return {"confusion_matrix": None, "roc": None}
    labels, predictions = scored.labels, scored.predictions[CHALLENGER]
    confusion = curves.confusion(labels, predictions, manifest, manifest.threshold)
    curve = curves.curve(labels, predictions) if manifest.task == BINARY else None
    return {"confusion_matrix": confusion and asdict(confusion), "roc": curve and asdict(curve)}


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values with None for those that JSON has no word for."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


def _slice(measured: Measured) -> dict[str, Any]:
    return {
        "slice": dict(measured.slice.values),
        "rows": measured.slice.rows,
        **_by_role(measured.values),
        "intervals": _intervals(measured),
        "undefined": dict(measured.undefined),
    }


def _by_role(values: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    return {role: finite(values[role]) if role in values else None for role in (CHALLENGER, CHAMPION)}


def _intervals(measured: Measured) -> dict[str, Any]:
    return {
        role: {name: asdict(interval) for name, interval in told.items()} for role, told in measured.intervals.items()
    }


def _worst(evaluation: Evaluation) -> dict[str, Any] | None:
    if evaluation.worst is None:
        return None
    found = zip(evaluation.worst.found, evaluation.worst_measured, strict=True)
    return {
        "tried": evaluation.worst.tried,
        "found": [
            _slice(measured)
            | {
                "loss": bad.loss,
                "loss_elsewhere": bad.loss_elsewhere,
                "effect": bad.effect,
                "p_value": bad.p_value,
            }
            for bad, measured in found
        ],
    }
