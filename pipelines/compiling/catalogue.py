"""Pipelines by name: the built-in ones, anybody's function, or a compiled file."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.compiling import step_sources
from mainspring.pipelines.compiling.light_kfp import PipelineSpec, components

BUILT_IN = ("continuous_training", "continuous_monitoring")
"""Each is a module of this package with a pipeline of the same name, compiled beside it."""

TRAINING = "training/"
"""Before an accelerator profile's name: `train_model` as a pipeline of one step on that node pool."""

SPOT = "-spot"
"""After it: on spot machines."""


def load_pipeline(pipeline: str) -> PipelineSpec:
    """Returns the compiled specification of a pipeline.

    Args:
        pipeline: A built-in name (dashes for underscores will do), `training/` and an accelerator profile (such as
            `training/l4-x4` or `training/v5e-2x4-spot`), `module:function`, or a compiled YAML file.

    Raises:
        UserError: There is no such pipeline, or what is there is none.
    """
    return load(pipeline).pipeline_spec


def load(pipeline: str) -> Any:
    """Returns the pipeline as a component of KFP's, as `load_pipeline` finds it."""
    return step_sources.brief(_load(pipeline))


def _load(pipeline: str) -> Any:
    name = pipeline.replace("-", "_")
    if name in BUILT_IN:
        return getattr(importlib.import_module(f"mainspring.pipelines.{name}"), name)
    if pipeline.endswith((".yaml", ".yml")):
        return _from_file(Path(pipeline))
    if pipeline.startswith(TRAINING):
        from mainspring.pipelines.training import training_on

        profile = pipeline.removeprefix(TRAINING)
        return training_on(profile.removesuffix(SPOT), spot=profile.endswith(SPOT))
    module, separator, function = pipeline.partition(":")
    if separator and module and function:
        return _from_module(module, function)
    close = difflib.get_close_matches(name, BUILT_IN, n=1)
    raise UserError(
        f"no pipeline {pipeline!r}{f' (did you mean {close[0]}?)' if close else ''}; "
        f"give a built-in name ({', '.join(BUILT_IN)}, training/l4), module:function, or a compiled YAML file"
    )


def fitting(component: Any, given: Mapping[str, Any]) -> Any:
    """Returns a built-in pipeline with the parts that parameters ask for; any other pipeline as it is.

    Args:
        component: As `load` returns it.
        given: The parameters, typed or as they are written.
    """
    from mainspring.pipelines import continuous_monitoring, continuous_training

    said = {name: str(getattr(value, "content", value)).strip() for name, value in given.items()}
    parts = set()
    if "skip" in (said.get("on_refusal"), said.get("on_too_few")):
        parts.add("branches")
    if said.get("approvers"):
        parts.add("approval")
    if said.get("notify_to", "") not in ("", "[]"):
        parts.add("notification")
    if parts and component is continuous_training.continuous_training:
        return step_sources.brief(continuous_training.training_pipeline(frozenset(parts)))
    if parts and component is continuous_monitoring.continuous_monitoring:
        return step_sources.brief(continuous_monitoring.monitoring_pipeline(frozenset(parts)))
    return component


def _from_file(path: Path) -> Any:
    try:
        return components.load_component_from_file(str(path))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except Exception as error:  # KFP raises whatever its YAML and proto parsers raise.
        raise UserError(f"{path}: is no compiled pipeline: {' '.join(str(error).split())}") from error


def _from_module(module: str, function: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise UserError(f"{module}:{function}: there is no module {error.name} here or on PYTHONPATH") from error
        raise
    pipeline = getattr(found, function, None)
    if not hasattr(pipeline, "pipeline_spec"):
        raise UserError(f"{module}:{function}: is no pipeline or component; decorate the function with @dsl.pipeline")
    return pipeline
