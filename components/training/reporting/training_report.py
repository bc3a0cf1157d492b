"""The page that shows how training went."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from mainspring.components.common import report
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.scores import main_metric
from mainspring.components.training.publishing.published_model import Fitted, Tried


def training_page(
    manifest: ModelManifest, fitted: Fitted, rows: Mapping[str, int], facts: Mapping[str, str], tried: Sequence[Tried]
) -> str:
    """Returns the page: learning curves, what was trained on, what happened to each feature, hyperparameters.

    Args:
        manifest: The model's.
        fitted: The model.
        rows: Rows used, by split.
        facts: More about the run, such as the device and the seconds taken.
        tried: The kinds of model that were compared, if any were.
    """
    epochs = fitted.epochs
    metric = main_metric(manifest.task)
    loss = report.line_chart(
        {
            "train": [(epoch.number, epoch.loss) for epoch in epochs],
            "eval": [(epoch.number, epoch.eval_loss) for epoch in epochs],
        },
        x_label="epoch",
        y_label="loss",
    )
    quality = report.line_chart(
        {metric: [(epoch.number, epoch.metric) for epoch in epochs]}, x_label="epoch", y_label=f"{metric} on eval"
    )
    summary: dict[str, report.Cell] = {"Task": manifest.task, "Label": manifest.label}
    summary |= {"Classes": ", ".join(manifest.classes)} if manifest.classes else {}
    summary |= {f"Rows in {split}": count for split, count in rows.items()} | dict(manifest.metrics) | dict(facts)
    settings = {name: str(value) for name, value in manifest.hyperparameters.items()} | {"seed": str(manifest.seed)}
    return report.page(
        f"Training of {manifest.label}",
        None,
        [
            ("Learning curves", Markup("{}{}").format(loss, quality)),
            ("Epochs" if fitted.kind != "trees" else "Rounds", _epoch_table(epochs, metric)),
            (
                "What was trained",
                report.key_values(summary),
            ),
            *_tried_section(tried),
            ("Features", report.table(["feature", "kind", "treatment"], [list(row) for row in fitted.treatments])),
            ("Hyperparameters", report.key_values(settings)),
            ("Versions", report.key_values(manifest.versions)),
        ],
    )


def _epoch_table(epochs: list[Epoch], metric: str) -> Markup:
    headers = ["epoch", "loss", "eval loss", f"{metric} on eval", "seconds"]
    return report.table(headers, [list(dataclasses.astuple(epoch)) for epoch in epochs])


def _tried_section(tried: Sequence[Tried]) -> list[tuple[str, Markup]]:
    if not tried:
        return []
    headers = ["model", "loss on held-out rows of train", "metric", "held-out rows", "seconds"]
    rows: list[list[report.Cell]] = [[one.model, one.loss, one.metric, one.rows, one.seconds] for one in tried]
    return [("Models tried", report.table(headers, rows))]
