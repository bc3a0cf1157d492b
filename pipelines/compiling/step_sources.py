"""Steps without what nobody reads in a run: a Workflow holds each step's interface and source about ten times.

Docstrings are taken out of the sources. What a step says of a parameter is said once, by the pipeline's own parameter,
where KFP's UI shows it.
"""

from __future__ import annotations

import ast
from typing import Any

from mainspring.components.common.images import REPOSITORY
from mainspring.pipelines.compiling.light_kfp import PipelineSpec

MANY = 2
"""Steps from which on a pipeline is none that stands for a single component."""

SOURCE = 3
"""Where a lightweight component's command has its source."""


def brief(component: Any) -> Any:
    """Returns a pipeline or component without what nobody reads in a run."""
    return describe_once(shorten(changeable(component)))


def changeable(component: Any) -> Any:
    """Returns a component whose specification stays what it is made: KFP reads that of a file anew each time."""
    if hasattr(component, "component_yaml") and isinstance(type(component).pipeline_spec, property):
        kind = type(component)
        component.__class__ = type(kind.__name__, (kind,), {"pipeline_spec": component.pipeline_spec})
    return component


def shorten(component: Any) -> Any:
    """Returns a pipeline or component after the docstrings of our steps are taken out of their sources."""
    executors = component.pipeline_spec.deployment_spec.fields["executors"].struct_value.fields
    for executor in executors.values():
        container = executor.struct_value.fields["container"].struct_value.fields
        command = container["command"].list_value.values
        if f"{REPOSITORY}/" in container["image"].string_value and len(command) > SOURCE:
            command[SOURCE].string_value = without_docstrings(command[SOURCE].string_value)
    return component


def describe_once(component: Any) -> Any:
    """Returns a pipeline whose parameters are described by the steps that take them, and no longer by these."""
    spec = component.pipeline_spec
    if len(spec.components) < MANY:
        return component
    for name, given in spec.root.input_definitions.parameters.items():
        given.description = given.description or _description(spec, spec.root, name)
    for each in spec.components.values():
        for definitions in (each.input_definitions, each.output_definitions):
            for one in (*definitions.parameters.values(), *definitions.artifacts.values()):
                one.description = ""
    return component


def _description(spec: PipelineSpec, component: Any, name: str) -> str:
    """Returns how the first step that takes a parameter describes it; empty if none does."""
    if component.WhichOneof("implementation") != "dag":
        return str(component.input_definitions.parameters[name].description)
    for _, task in sorted(component.dag.tasks.items()):
        taker = spec.components[task.component_ref.name]
        for inner, given in task.inputs.parameters.items():
            if given.component_input_parameter == name and (found := _description(spec, taker, inner)):
                return found
    return ""


def without_docstrings(source: str) -> str:
    """Returns Python source without its functions' docstrings, and otherwise as it was."""
    lines = source.split("\n")
    for function in reversed([node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]):
        first = function.body[0]
        if ast.get_docstring(function) is not None and len(function.body) > 1 and first.end_lineno:
            del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines)
