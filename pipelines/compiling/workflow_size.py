"""How many pods a pipeline takes on KFP, and how large its Workflow grows: Argo keeps no more than 1 MiB of one.

KFP 2.16 and 2.17 start a driver for the pipeline, for each step, for each branch and for each nested pipeline, and an
executor for each step that is not cached. The size was measured once (805,390 bytes, 25 pods of an uncached
`continuous_training`, KFP 2.17 with Argo 4.0.5): most of it is the steps' own specifications, which the Workflow holds
in its arguments, in the drivers' nodes, and in what the drivers hand on as `pod-spec-patch`. `COPIES` is set so that
the estimate gives that figure for that pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from mainspring.pipelines.compiling.light_kfp import PipelineSpec

LIMIT = 1024 * 1024
"""Argo's, in bytes, for a Workflow with its status."""
NEAR = 0.8
"""Share of the limit from which on it is said."""

DRIVER_BYTES, STEP_BYTES = 6_000, 14_000
"""Of a driver's node, and of a step's nodes, without the step's own specification."""
GROUPS = 2
"""How many times it holds what a group of steps is: in its arguments, and in its driver's node."""
COPIES = 9.5
"""How many times a Workflow holds what a step is: its interface, source and image, with what escaping adds."""

BRANCHES = "comp-condition-branches-"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """What a run takes."""

    pods: int
    bytes: int

    def __add__(self, other: Size) -> Size:
        """Returns both together."""
        return Size(self.pods + other.pods, self.bytes + other.bytes)


def of_run(spec: PipelineSpec, taken: bool = True) -> Size:
    """Returns what a run takes at most, or where no branch without an alternative is taken.

    Of a branch and its alternative, the larger one counts. A loop counts once.

    Args:
        spec: The compiled pipeline.
        taken: Whether `dsl.If` without `dsl.Else` is taken.
    """
    content = json_format.MessageToDict(spec)
    return _graph(content["root"]["dag"], content, taken) + Size(1, DRIVER_BYTES + _length(content["root"]) * GROUPS)


def warning(spec: PipelineSpec) -> str:
    """Returns what there is to say of a pipeline whose Workflow comes near Argo's limit; else an empty text."""
    size = of_run(spec)
    if size.bytes < NEAR * LIMIT:
        return ""
    return (
        f"{spec.pipeline_info.name}: a run's Workflow may grow to about {size.bytes / 1000:.0f} KB ({size.pods} pods) "
        f"of the {LIMIT / 1000:.0f} KB that Argo keeps; above that the UI shows steps as running that have ended. "
        "Take steps or branches out, or divide the pipeline"
    )


def _graph(dag: Json, content: Json, taken: bool) -> Size:
    total = Size(0, 0)
    for task in dag["tasks"].values():
        total += _task(task, content, taken)
    return total


def _task(task: Json, content: Json, taken: bool) -> Size:
    name = task["componentRef"]["name"]
    component = content["components"][name]
    here = Size(1, DRIVER_BYTES + _length(task))
    if "dag" not in component:
        executor = content["deploymentSpec"]["executors"][component["executorLabel"]]
        own = _length(component) + _length(executor)
        return here + Size(1, STEP_BYTES + int(own * COPIES))
    here += Size(0, _length(component) * GROUPS)
    if name.startswith(BRANCHES):
        tasks = list(component["dag"]["tasks"].values())
        bodies = [_body(each, content, taken) for each in tasks]
        return (
            here
            + Size(len(tasks), sum(DRIVER_BYTES + _length(each) for each in tasks))
            + max(bodies, key=lambda size: size.bytes)
        )
    if not taken and "triggerPolicy" in task and "condition" in task["triggerPolicy"]:
        return here
    return here + _body(task, content, taken)


def _body(task: Json, content: Json, taken: bool) -> Size:
    return _graph(content["components"][task["componentRef"]["name"]]["dag"], content, taken)


def _length(value: Any) -> int:
    return len(json.dumps(value))
