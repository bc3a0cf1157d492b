"""The public components, exported lazily: importing one imports no TensorFlow and no Beam.

For example `from mainspring.components import ingest_examples, train_model`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainspring.components.deployment.component import approve as approve
    from mainspring.components.deployment.component import deploy_model as deploy_model
    from mainspring.components.deployment.component import notify as notify
    from mainspring.components.deployment.component import refuse_run as refuse_run
    from mainspring.components.deployment.component import resolve_champion as resolve_champion
    from mainspring.components.deployment.component import rollback_model as rollback_model
    from mainspring.components.evaluation.component import evaluate_model as evaluate_model
    from mainspring.components.evaluation.component import predict_batch as predict_batch
    from mainspring.components.ingestion.component import ingest_examples as ingest_examples
    from mainspring.components.ingestion.component import resolve_spans as resolve_spans
    from mainspring.components.kubeflow.component import register_model as register_model
    from mainspring.components.loop.component import resolve_inputs as resolve_inputs
    from mainspring.components.monitoring.component import decide_retraining as decide_retraining
    from mainspring.components.monitoring.component import monitor_endpoint as monitor_endpoint
    from mainspring.components.training.component import train_model as train_model
    from mainspring.components.training.component import train_model_distributed as train_model_distributed
    from mainspring.components.training.component import tune_model as tune_model
    from mainspring.components.training.component import tune_model_distributed as tune_model_distributed
    from mainspring.components.validation.component import confirm_verdict as confirm_verdict
    from mainspring.components.validation.component import validate_examples as validate_examples

COMPONENTS = {
    "resolve_inputs": "loop",
    "resolve_spans": "ingestion",
    "ingest_examples": "ingestion",
    "validate_examples": "validation",
    "confirm_verdict": "validation",
    "train_model": "training",
    "tune_model": "training",
    "tune_model_distributed": "training",
    "train_model_distributed": "training",
    "evaluate_model": "evaluation",
    "predict_batch": "evaluation",
    "resolve_champion": "deployment",
    "deploy_model": "deployment",
    "rollback_model": "deployment",
    "refuse_run": "deployment",
    "register_model": "kubeflow",
    "approve": "deployment",
    "notify": "deployment",
    "monitor_endpoint": "monitoring",
    "decide_retraining": "monitoring",
}
"""The folder of each public component."""

__all__ = [*COMPONENTS]


def __getattr__(name: str) -> Any:
    if name not in COMPONENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{COMPONENTS[name]}.component"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *COMPONENTS])
