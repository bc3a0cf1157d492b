"""The model card: the field names of TensorFlow's Model Card Toolkit, filled from manifests and evaluation."""

from __future__ import annotations

import json
from typing import Any

from mainspring.components.common import report
from mainspring.components.common.manifests import ExamplesManifest, ModelManifest
from mainspring.components.evaluation.evaluation import Evaluation
from mainspring.components.evaluation.metrics import importance
from mainspring.components.evaluation.slices.slices import described

UNKNOWN = "not known to this run: a person has to say it"


def card(evaluation: Evaluation, manifest: ModelManifest, examples: ExamplesManifest) -> dict[str, Any]:
    """Returns the card as JSON can hold it; what no manifest knows is left out."""
    return {
        "model_details": {
            "overview": f"{manifest.task} of {manifest.label!r} from {len(manifest.features)} features",
            "version": {"name": manifest.fingerprint},
        },
        "model_parameters": {
            "model_architecture": json.dumps(manifest.hyperparameters, sort_keys=True),
            "data": [
                {
                    "name": "eval split",
                    "description": f"{examples.rows.get('eval', 0):,} rows of the spans {', '.join(examples.spans)}; "
                    f"{examples.fingerprint}",
                },
                {"name": "training", "description": manifest.examples_fingerprint or "unknown"},
            ],
            "input_format": ", ".join(f"{name} ({kind})" for name, kind in manifest.features.items()),
            "output_format": f"probabilities of {', '.join(manifest.classes)}" if manifest.classes else "a number",
            **_threshold(manifest),
        },
        "quantitative_analysis": {
            "performance_metrics": _performance(evaluation),
            "feature_importance": importance.as_json(evaluation.importances),
        },
    }


def page(content: dict[str, Any]) -> str:
    """Returns the card as an HTML page."""
    details, parameters = content["model_details"], content["model_parameters"]
    metrics = content["quantitative_analysis"]["performance_metrics"]
    unknown = ["owners", "licenses", "references", "citations", "users", "use_cases", "limitations", "tradeoffs"]
    rows = [[each["type"], each["slice"], each["value"], _interval(each)] for each in metrics]
    found = content["quantitative_analysis"]["feature_importance"]
    matters = [
        [one["feature"], f"{one['challenger']['value']:.4g}", f"{one['challenger']['noise']:.2g}"]
        for one in found
        if "challenger" in one
    ]
    return report.page(
        "Model card",
        None,
        [
            (
                "Model details",
                report.key_values({"overview": details["overview"], "version": details["version"]["name"]}),
            ),
            (
                "Model parameters",
                report.key_values(
                    {name: value for name, value in parameters.items() if isinstance(value, str)}
                    | {f"data: {each['name']}": each["description"] for each in parameters["data"]}
                ),
            ),
            ("Quantitative analysis", report.table(["Metric", "Slice", "Value", "95 % interval"], rows)),
            ("Features that matter", report.table(["Feature", "Loss rises by", "Noise"], matters)),
            (
                "Considerations",
                report.key_values({**dict.fromkeys(unknown, UNKNOWN), "ethical_considerations": UNKNOWN}),
            ),
        ],
    )


def _threshold(manifest: ModelManifest) -> dict[str, str]:
    if manifest.threshold is None:
        return {}
    found = f" ({manifest.threshold_by})" if manifest.threshold_by else ""
    return {"threshold": f"{manifest.classes[1]} from a probability of {manifest.threshold:.6g} on{found}"}


def _performance(evaluation: Evaluation) -> list[dict[str, Any]]:
    found = []
    for measured in ([evaluation.overall] if evaluation.overall else []) + evaluation.slices:
        told = measured.intervals.get("challenger", {})
        for name, value in measured.values["challenger"].items():
            entry: dict[str, Any] = {"type": name, "slice": described(measured.slice.values), "value": f"{value:.6g}"}
            if name in told:
                bounds = told[name]
                entry["confidence_interval"] = {
                    "lower_bound": f"{bounds.low:.6g}",
                    "upper_bound": f"{bounds.high:.6g}",
                }
            found.append(entry)
    return found


def _interval(entry: dict[str, Any]) -> str:
    bounds = entry.get("confidence_interval")
    return f"{bounds['lower_bound']} to {bounds['upper_bound']}" if bounds else ""
