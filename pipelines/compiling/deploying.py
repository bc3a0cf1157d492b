"""Whether a pipeline deploys, and the same pipeline without that: for runs side by side, which only measure."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from mainspring.pipelines.compiling.light_kfp import PipelineSpec

INPUTS, OUTPUTS = {"target"}, {"endpoint", "version_uri"}
"""What a step that deploys takes and gives."""

Json = dict[str, Any]


def deploys(spec: PipelineSpec) -> bool:
    """Returns whether a pipeline has a step that deploys."""
    return any(_is_deployment(component) for component in _components(json_format.MessageToDict(spec)).values())


def without_deployment(spec: PipelineSpec) -> PipelineSpec:
    """Returns a pipeline without the steps that deploy, and without those that need what these give."""
    content: Json = json_format.MessageToDict(spec)
    components = _components(content)
    gone = {name for name, component in components.items() if _is_deployment(component)}
    for graph in [content.get("root", {}), *components.values()]:
        if "dag" in graph:
            _prune(graph["dag"], gone)
    return json_format.ParseDict(content, PipelineSpec())


def _components(content: Json) -> dict[str, Json]:
    found: dict[str, Json] = content.get("components") or {}
    return found


def _is_deployment(component: Json) -> bool:
    inputs = (component.get("inputDefinitions") or {}).get("parameters") or {}
    outputs = (component.get("outputDefinitions") or {}).get("parameters") or {}
    return "dag" not in component and inputs.keys() >= INPUTS and outputs.keys() >= OUTPUTS


def _prune(dag: Json, gone: set[str]) -> None:
    """Removes a graph's tasks of the components that go, and then whatever depends on a task that went."""
    tasks: dict[str, Json] = dag.get("tasks") or {}
    removed = {name for name, task in tasks.items() if (task.get("componentRef") or {}).get("name") in gone}
    while more := {name for name, task in tasks.items() if name not in removed and _needs(task, removed)}:
        removed |= more
    for name in removed:
        del tasks[name]
    for task in tasks.values():
        if "dependentTasks" in task:
            task["dependentTasks"] = [name for name in task["dependentTasks"] if name not in removed]


def _needs(task: Json, removed: set[str]) -> bool:
    """Returns whether a task takes an output of one of these tasks."""
    inputs = task.get("inputs") or {}
    given = [*(inputs.get("parameters") or {}).values(), *(inputs.get("artifacts") or {}).values()]
    for each in given:
        output = each.get("taskOutputParameter") or each.get("taskOutputArtifact") or {}
        if output.get("producerTask") in removed:
            return True
    return False
