"""The page that shows how training went."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from markupsafe import Markup

from mainspring.components.common import report
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.training.features.preprocessing import Encoder
from mainspring.components.training.fitting.epoch import Epoch
from mainspring.components.training.fitting.scores import main_metric


def training_page(
    manifest: ModelManifest, epochs: list[Epoch], encoder: Encoder, rows: Mapping[str, int], facts: Mapping[str, str]
) -> str:
    """Returns the page: learning curves, what was trained on, what happened to each feature, hyperparameters.

    Args:
        manifest: The model's.
        epochs: From `fitting.fit`.
        encoder: The fitted preprocessing.
        rows: Rows used, by split.
        facts: More about the run, such as the device and the seconds taken.
    """
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
            ("Epochs", _epoch_table(epochs, metric)),
            (
                "What was trained",
                report.key_values(summary),
            ),
            ("Features", _feature_table(encoder)),
            ("Hyperparameters", report.key_values(settings)),
            ("Versions", report.key_values(manifest.versions)),
        ],
    )


def _epoch_table(epochs: list[Epoch], metric: str) -> Markup:
    headers = ["epoch", "loss", "eval loss", f"{metric} on eval", "seconds"]
    return report.table(headers, [list(dataclasses.astuple(epoch)) for epoch in epochs])


def _feature_table(encoder: Encoder) -> Markup:
    statistics = encoder.statistics
    rows: list[list[report.Cell]] = []
    for place, feature in enumerate(statistics.numeric):
        bins = len(statistics.edges[place]) + 1
        mean, deviation = float(statistics.mean[place]), float(statistics.deviation[place])
        treatment = f"{bins} bins; standardised (mean {mean:.4g}, deviation {deviation:.4g})"
        rows.append([feature.name, feature.kind, treatment])
    for feature, vocabulary in zip(statistics.categorical, statistics.vocabularies, strict=True):
        rows.append([feature.name, feature.kind, f"{len(vocabulary):,} known values, unseen, missing"])
    for name, size in zip(encoder.names[len(rows) :], encoder.sizes[len(rows) :], strict=True):
        rows.append([name, "cross", f"{size:,} cells"])
    return report.table(["feature", "kind", "treatment"], rows)
