"""Steps that must do their work in every run: what they ask or tell is outside of the pipeline.

Whoever composes a pipeline need not think of it: their caching is switched off wherever a pipeline is compiled, sent
or run here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

from mainspring.components.common.images import REPOSITORY
from mainspring.pipelines.compiling.light_kfp import PipelineSpec

NEVER_CACHED = frozenset(
    (
        "approve",
        "confirm_verdict",
        "decide_retraining",
        "deploy_model",
        "monitor_endpoint",
        "notify",
        "refuse_run",
        "register_model",
        "resolve_champion",
        "resolve_inputs",
        "resolve_spans",
        "rollback_model",
    )
)
"""Functions of our components."""


def without_needless_caching(component: Any) -> Any:
    """Returns a pipeline after caching is switched off for every task of it that must run each time."""
    switch_off(component.pipeline_spec)
    return component


def switch_off(spec: PipelineSpec) -> None:
    """Switches caching off, in a compiled pipeline, for every task that must run each time."""
    executors = json_format.MessageToDict(spec.deployment_spec).get("executors", {})
    for task in _tasks(spec):
        executor = executors.get(spec.components[task.component_ref.name].executor_label, {})
        if _is_never_cached(executor.get("container", {})):
            task.caching_options.enable_cache = False


def _is_never_cached(container: dict[str, Any]) -> bool:
    if f"{REPOSITORY}/" not in container.get("image", ""):
        return False
    arguments = container.get("args", [])
    return any(flag == "--function_to_execute" and name in NEVER_CACHED for flag, name in itertools.pairwise(arguments))


def _tasks(spec: PipelineSpec) -> Iterator[Any]:
    for component in (spec.root, *spec.components.values()):
        yield from component.dag.tasks.values()
