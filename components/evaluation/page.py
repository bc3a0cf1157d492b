"""The report page: verdict, gates, champion against challenger, slices, ROC and calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from mainspring.components.common import report
from mainspring.components.common.manifests import BINARY, REGRESSION, ModelManifest
from mainspring.components.evaluation import accumulators
from mainspring.components.evaluation.catalogue import MAIN_METRIC, result_name
from mainspring.components.evaluation.evaluation import Evaluation
from mainspring.components.evaluation.gates import CHALLENGER, CHAMPION, Judgement, Measured
from mainspring.components.evaluation.scoring import ScoredRows
from mainspring.components.evaluation.slices import described

CURVE_POINTS = 201
"""Thresholds at which the ROC curve is drawn."""

CALIBRATION_BINS = 10
"""Bins of equally many rows."""

DRAWN_SLICES = 40
"""Slices in the picture; the table has them all."""

Section = tuple[str, Markup | str]


def page(evaluation: Evaluation, manifest: ModelManifest, champion_uri: str) -> str:
    """Returns the whole HTML page."""
    sections: list[Section] = [("Verdict", _verdict(evaluation))]
    if evaluation.judgements:
        sections.append(("Gates", _gates(evaluation.judgements)))
    if evaluation.overall:
        sections.append(("Metrics", _metrics(evaluation.overall)))
    if evaluation.slices:
        sections += _slices(evaluation.slices, manifest)
    if evaluation.scored is not None and evaluation.overall:
        sections += _curves(evaluation.scored, evaluation.overall, manifest)
    sections.append(("What was compared", _provenance(evaluation, manifest, champion_uri)))
    sentence = "Blessed: every gate passed." if evaluation.blessed else "Not blessed."
    return report.page("Evaluation", (evaluation.blessed, sentence), sections)


def _verdict(evaluation: Evaluation) -> Markup | str:
    if evaluation.reasons:
        return report.listing(evaluation.reasons)
    return report.listing([judgement.says for judgement in evaluation.judgements])


def _gates(judgements: Sequence[Judgement]) -> Markup:
    headers = ["Metric", "Slice", "Asked", "Challenger", "Champion", "Margin", "Passed"]
    rows = [
        [
            judged.metric,
            described(judged.slice),
            judged.asked,
            judged.challenger,
            judged.champion,
            judged.margin,
            judged.passed,
        ]
        for judged in judgements
    ]
    return report.table(headers, rows)


def _metrics(overall: Measured) -> Markup:
    return report.table(["Metric", "Challenger", "Champion", "Difference"], [*_compared(overall)])


def _compared(measured: Measured) -> list[list[report.Cell]]:
    champion = measured.values.get(CHAMPION, {})
    rows: list[list[report.Cell]] = []
    for name, value in measured.values[CHALLENGER].items():
        other = champion.get(name, math.nan)
        rows.append([name, _cell(value), _cell(other), _cell(value - other)])
    return rows


def _slices(slices: Sequence[Measured], manifest: ModelManifest) -> list[Section]:
    name = result_name(MAIN_METRIC[manifest.task])
    if name not in slices[0].values[CHALLENGER]:
        name = next(iter(slices[0].values[CHALLENGER]))
    roles = [role for role in (CHALLENGER, CHAMPION) if role in slices[0].values]
    drawn = slices[:DRAWN_SLICES]
    picture = report.bar_chart(
        [described(measured.slice.values) for measured in drawn],
        {role: [_cell(measured.values[role][name]) for measured in drawn] for role in roles},
    )
    names = [metric for metric in slices[0].values[CHALLENGER] if metric != result_name("ExampleCount")]
    headers = ["Slice", "Rows", *(f"{metric} ({role})" for metric in names for role in roles)]
    rows = [
        [
            described(measured.slice.values),
            len(measured.slice.indices),
            *(_cell(measured.values[role][metric]) for metric in names for role in roles),
        ]
        for measured in slices
    ]
    return [(f"Slices: {name}", picture), ("Slices: all metrics", report.table(headers, rows))]


def _curves(scored: ScoredRows, overall: Measured, manifest: ModelManifest) -> list[Section]:
    predictions = {role: scored.predictions[role] for role in overall.values}
    sections: list[Section] = []
    if manifest.task == BINARY and len(np.unique(scored.labels)) == 2:
        curves = {role: _roc(scored.labels, values) for role, values in predictions.items()}
        roc = report.line_chart(curves, diagonal=True, x_label="false positive rate", y_label="true positive rate")
        sections.append(("ROC", roc))
    if manifest.task in (BINARY, REGRESSION):
        curves = {role: _calibration(scored.labels, values) for role, values in predictions.items()}
        drawn = report.line_chart(curves, diagonal=True, x_label="mean prediction", y_label="mean label")
        sections.append(("Calibration, in tenths of the rows", drawn))
    return sections


def _roc(labels: accumulators.Labels, predictions: accumulators.Predictions) -> list[tuple[float, float]]:
    inner = np.arange(1, CURVE_POINTS - 1) / (CURVE_POINTS - 1)
    at = accumulators.matrices(np.concatenate([[-1e-7], inner, [1 + 1e-7]]), labels, predictions)
    return list(zip((at.fp / at.fp[0]).tolist(), (at.tp / at.tp[0]).tolist(), strict=True))


def _calibration(labels: accumulators.Labels, predictions: accumulators.Predictions) -> list[tuple[float, float]]:
    order = np.argsort(predictions, kind="stable")
    parts = [part for part in np.array_split(order, CALIBRATION_BINS) if len(part)]
    return [(float(predictions[part].mean()), float(labels[part].mean())) for part in parts]


def _provenance(evaluation: Evaluation, manifest: ModelManifest, champion_uri: str) -> Markup:
    facts: Mapping[str, Any] = {
        "Task": manifest.task,
        "Label": manifest.label,
        "Eval rows": evaluation.rows,
        "Rows without a label": evaluation.unlabelled,
        "Challenger": manifest.fingerprint,
        "Champion": champion_uri or "none is served",
        **{f"Slices of {name} with too few rows": count for name, count in evaluation.skipped_slices.items() if count},
    }
    return report.key_values(facts)


def _cell(value: float) -> float | None:
    return value if math.isfinite(value) else None
