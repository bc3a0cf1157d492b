"""The report page: verdict, gates, champion against challenger, slices, ROC and calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from mainspring.components.common import report
from mainspring.components.common.manifests import BINARY, MULTILABEL, REGRESSION, ModelManifest
from mainspring.components.evaluation.evaluation import Evaluation
from mainspring.components.evaluation.gates.gates import CHALLENGER, CHAMPION, LINEAR, Judgement, Measured
from mainspring.components.evaluation.metrics import accumulators, curves
from mainspring.components.evaluation.metrics.importance import Importance
from mainspring.components.evaluation.policy.metric_catalogue import MAIN_METRIC, result_name
from mainspring.components.evaluation.reporting import slice_picture, versions_picture
from mainspring.components.evaluation.reporting.history import PastVersion
from mainspring.components.evaluation.scoring.scoring import ScoredRows
from mainspring.components.evaluation.slices.slices import described
from mainspring.components.evaluation.slices.worst_slices import Search

CALIBRATION_BINS = 10
"""Bins of equally many rows."""

LEAST_RECALL = 0.01
"""Below it, precision is that of a few rows."""

Section = tuple[str, Markup | str]


PICTURE_WIDTH, PICTURE_HEIGHT = 440, 260


def page(
    evaluation: Evaluation,
    manifest: ModelManifest,
    champion_uri: str,
    versions: Sequence[PastVersion] = (),
    score: Mapping[str, Any] | None = None,
) -> str:
    """Returns the whole HTML page.

    Args:
        evaluation: What was measured and judged.
        manifest: The challenger's.
        champion_uri: The version it was compared with; empty if none.
        versions: Those published before.
        score: From `ml_test_score`.
    """
    sections: list[Section] = [("Verdict", _verdict(evaluation))]
    if evaluation.judgements:
        sections.append(("Gates", _gates(evaluation.judgements)))
    if evaluation.notes:
        sections.append(("Notes", report.listing(evaluation.notes)))
    if evaluation.rebaselined:
        sections.insert(0, ("Rebaselined", f"{evaluation.rebaselined}. As asked, judged as a first model."))
    if evaluation.overall:
        sections.append(("Metrics", _metrics(evaluation.overall)))
    if versions and evaluation.overall:
        sections.append(("Metrics over versions", versions_picture.picture(versions, evaluation.overall)))
    if evaluation.slices:
        sections += _slices(evaluation.slices, evaluation.overall, manifest)
    if evaluation.worst:
        sections.append(("Worst slices", _worst(evaluation, evaluation.worst, manifest)))
    if evaluation.scored is not None and evaluation.overall:
        sections += _curves(evaluation, evaluation.scored, evaluation.overall, manifest)
    if evaluation.importances:
        sections.append(("Features that matter", _importances(evaluation.importances)))
    if evaluation.costs:
        sections.append(("Size and latency", _costs(evaluation.costs)))
    if score:
        sections.append(("ML Test Score", _score(score)))
    sections.append(("What was compared", _provenance(evaluation, manifest, champion_uri)))
    sentence = "Blessed: every gate passed." if evaluation.blessed else "Not blessed."
    return report.page("Evaluation", (evaluation.blessed, sentence), sections)


def _importances(found: Sequence[Importance]) -> Markup:
    roles = list(dict.fromkeys(role for one in found for role in one.values))
    rows: list[list[report.Cell]] = [
        [
            one.feature,
            *(f"{one.values[role]:.4g} ± {one.noise[role]:.2g}" if role in one.values else "" for role in roles),
        ]
        for one in found
    ]
    told = (
        "How much the loss of a row of eval rises when the feature's values are dealt out anew, and the noise of that."
    )
    return Markup("<p>{}</p>{}").format(told, report.table(["feature", *roles], rows))


def _score(score: Mapping[str, Any]) -> Markup:
    done = [each for each in score["tests"] if each["automated"]]
    text = Markup(
        "<p>{} of the rubric's 28 tests are automated in this run, {} of them passed; the other {} are not.</p>"
    )
    rows = [[each["group"], each["test"], each["passed"], each["evidence"]] for each in done]
    counts = text.format(len(done), score["passed"], len(score["tests"]) - len(done))
    return counts + report.table(["Group", "Test", "Passed", "Evidence"], rows)


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


def _costs(costs: Mapping[str, Mapping[str, float]]) -> Markup:
    rows = [[name, *(values.get(name) for values in costs.values())] for name in costs[CHALLENGER]]
    return report.table(["What", *costs], rows)


def _metrics(overall: Measured) -> Markup:
    champion = CHAMPION in overall.values
    rows: list[list[report.Cell]] = []
    for name, value in overall.values[CHALLENGER].items():
        row: list[report.Cell] = [name, _with_interval(overall, CHALLENGER, name)]
        if champion:
            row += [_with_interval(overall, CHAMPION, name), _cell(value - overall.values[CHAMPION][name])]
        if LINEAR in overall.values:
            row.append(_with_interval(overall, LINEAR, name))
        rows.append(row)
    headers = ["Metric", "Challenger (95 % interval)"]
    headers += ["Champion (95 % interval)", "Difference"] if champion else []
    headers += ["Linear model (95 % interval)"] if LINEAR in overall.values else []
    return report.table(headers, rows)


def _slices(slices: Sequence[Measured], overall: Measured | None, manifest: ModelManifest) -> list[Section]:
    name = _main_name(slices[0], manifest)
    roles = [role for role in (CHALLENGER, CHAMPION) if role in slices[0].values]
    names = [metric for metric in slices[0].values[CHALLENGER] if metric != result_name("ExampleCount")]
    headers = ["Slice", "Rows", *(f"{metric} ({role})" for metric in names for role in roles)]
    rows = [
        [
            described(measured.slice.values),
            measured.slice.rows,
            *(_cell(measured.values[role][metric]) for metric in names for role in roles),
        ]
        for measured in slices
    ]
    return [
        (f"Slices: {name}, with 95 % intervals", slice_picture.picture(slices, name, overall)),
        ("Slices: all metrics", report.table(headers, rows)),
    ]


def _main_name(measured: Measured, manifest: ModelManifest) -> str:
    name = result_name(MAIN_METRIC[manifest.task])
    return name if name in measured.values[CHALLENGER] else next(iter(measured.values[CHALLENGER]))


def _worst(evaluation: Evaluation, search: Search, manifest: ModelManifest) -> Markup | str:
    tried = f"{search.tried:,} slices (values of every feature, and pairs) were tried"
    if not search.found:
        return f"{tried}; on none is the loss higher than elsewhere by more than chance explains."
    loss = "mean squared error" if manifest.task == REGRESSION else "mean cross-entropy"
    name = _main_name(evaluation.worst_measured[0], manifest)
    rows: list[list[report.Cell]] = []
    for bad, measured in zip(search.found, evaluation.worst_measured, strict=True):
        roles = [role for role in (CHALLENGER, CHAMPION) if role in measured.values]
        values: list[report.Cell] = [_with_interval(measured, role, name) for role in roles]
        rows.append([described(bad.values), bad.rows, bad.loss, bad.loss_elsewhere, bad.effect, bad.p_value, *values])
    headers = ["Slice", "Rows", loss, "elsewhere", "Effect (sd)", "p, adjusted", f"{name} (challenger)"]
    headers += [f"{name} (champion)"] * (len(rows[0]) - len(headers))
    text = Markup("<p>{}; these are worse than all other rows beyond chance (5 % over all of them together).</p>")
    return text.format(tried) + report.table(headers, rows)


def _with_interval(measured: Measured, role: str, name: str) -> str:
    value, interval = measured.values[role][name], measured.intervals.get(role, {}).get(name)
    if interval is None:
        return report.number_text(_cell(value))
    return f"{report.number_text(value)} ({report.number_text(interval.low)} to {report.number_text(interval.high)})"


def _curves(evaluation: Evaluation, scored: ScoredRows, overall: Measured, manifest: ModelManifest) -> list[Section]:
    predictions = {role: scored.predictions[role] for role in overall.values}
    sections: list[Section] = []
    if pictures := _pictures(scored, predictions, manifest):
        sections.append(("Curves", report.gallery(pictures)))
    if manifest.task == MULTILABEL:
        sections.append(("Classes (challenger)", _classes(scored.labels, scored.predictions[CHALLENGER], manifest)))
    for role, values in predictions.items():
        confusion = curves.confusion(scored.labels, values, manifest, evaluation.thresholds.get(role))
        if confusion:
            sections.append((f"Confusion matrix ({role})", _confusion(confusion)))
    return sections


def _pictures(
    scored: ScoredRows, predictions: Mapping[str, accumulators.Predictions], manifest: ModelManifest
) -> dict[str, Markup]:
    pictures = {}
    if manifest.task == BINARY:
        found = {role: curves.curve(scored.labels, values) for role, values in predictions.items()}
        drawn = {role: curve for role, curve in found.items() if curve is not None}
        roc = {role: list(zip(c.false_positive_rate, c.true_positive_rate, strict=True)) for role, c in drawn.items()}
        recall = {role: _precision_at_recall(curve) for role, curve in drawn.items()}
        pictures["ROC"] = report.line_chart(
            roc,
            diagonal=True,
            x_label="false positive rate",
            y_label="true positive rate",
            width=PICTURE_WIDTH,
            height=PICTURE_HEIGHT,
        )
        pictures["Precision and recall"] = report.line_chart(
            recall, x_label="recall", y_label="precision", width=PICTURE_WIDTH, height=PICTURE_HEIGHT
        )
    if manifest.task in (BINARY, REGRESSION):
        points = {role: _calibration(scored.labels, values) for role, values in predictions.items()}
        pictures["Calibration, in tenths of the rows"] = report.line_chart(
            points,
            diagonal=True,
            x_label="mean prediction",
            y_label="mean label",
            width=PICTURE_WIDTH,
            height=PICTURE_HEIGHT,
        )
    return pictures


def _classes(labels: accumulators.Labels, predictions: accumulators.Predictions, manifest: ModelManifest) -> Markup:
    chosen = predictions > curves.THRESHOLD
    rows: list[list[report.Cell]] = []
    for index, name in enumerate(manifest.classes):
        is_class, taken = labels[:, index] == 1, chosen[:, index]
        right = int((is_class & taken).sum())
        precision = right / int(taken.sum()) if taken.any() else None
        recall = right / int(is_class.sum()) if is_class.any() else None
        rows.append([name, int(is_class.sum()), int(taken.sum()), precision, recall])
    return report.table(["Class", "Rows", "Predicted", "Precision", "Recall"], rows)


def _precision_at_recall(curve: curves.Curve) -> list[tuple[float, float]]:
    points = zip(curve.true_positive_rate, curve.precision, strict=True)
    return [(recall, precision) for recall, precision in points if precision is not None and recall >= LEAST_RECALL]


def _confusion(confusion: curves.Confusion) -> Markup:
    rows = []
    for name, counts in zip(confusion.classes, confusion.matrix, strict=True):
        total = sum(counts) or 1
        # The darker, the larger the share of the class' rows.
        cells = [
            Markup(
                '<span style="display:block;padding:2px 8px;text-align:right;'
                'background:color-mix(in srgb, var(--s1) {:.0f}%, transparent)">{:,} ({:.1f} %)</span>'
            ).format(60 * count / total, count, 100 * count / total)
            for count in counts
        ]
        rows.append([f"is {name}", *cells])
    return report.table(["", *(f"taken for {name}" for name in confusion.classes)], rows)


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
        **{
            f"Threshold of the {role}": f"{manifest.classes[1]} from {value:.4g} on"
            for role, value in evaluation.thresholds.items()
            if value is not None
        },
        **{f"Slices of {name} with too few rows": count for name, count in evaluation.skipped_slices.items() if count},
    }
    return report.key_values(facts)


def _cell(value: float) -> float | None:
    return value if math.isfinite(value) else None
