"""What applying a project to an environment would change: its pipelines' versions and its schedules, in one plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from mainspring.pipelines.cluster import schedule_apply, schedule_changes, uploads
from mainspring.pipelines.cluster.rest import Json
from mainspring.pipelines.cluster.schedule_changes import Change, Difference
from mainspring.pipelines.cluster.server import API, Server
from mainspring.pipelines.cluster.uploads import Prepared
from mainspring.pipelines.project.in_environment import Compiled, compiled
from mainspring.pipelines.project.project_file import Environment, Project
from mainspring.pipelines.project.schedules import schedules

KEEP, CREATE, NEW_VERSION = "keep", "create", "new version"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class PipelineChange:
    """What is to be done about one pipeline."""

    name: str
    action: str
    """`keep`, `create` or `new version`."""
    version: str
    """The version that the project wants, named by its content."""
    differences: tuple[Difference, ...] = ()
    """What differs from the server's newest version."""


@dataclass(frozen=True)
class Plan:
    """All that a project wants changed in an environment."""

    environment: str
    pipelines: tuple[PipelineChange, ...]
    schedules: tuple[Change, ...]

    @property
    def is_empty(self) -> bool:
        """Whether everything is as the project says."""
        idle = ("keep", "unlisted")
        return all(change.action == KEEP for change in self.pipelines) and all(
            change.action in idle and not change.leftovers for change in self.schedules
        )

    def as_json(self) -> Json:
        """Returns what scripts may rely on."""
        return {
            "environment": self.environment,
            "changes": not self.is_empty,
            "pipelines": [asdict(change) for change in self.pipelines],
            "schedules": [change.as_json() for change in self.schedules],
        }


def compiled_pipelines(project: Project, environment: Environment) -> dict[str, Compiled]:
    """Returns the project's pipelines in an environment, by their names in the project."""
    return {name: compiled(project, environment, pipeline) for name, pipeline in project.pipelines.items()}


def plan(cluster: Server, project: Project, environment: Environment, *, prune: bool = False) -> Plan:
    """Returns what would change; changes nothing.

    Raises:
        UserError: The project is wrong for this environment: nothing of it is then applied.
    """
    made = compiled_pipelines(project, environment)
    wanted = schedules(project, environment, made)
    changes = tuple(_pipeline_change(cluster, uploads.prepare_text(each.text)) for each in made.values())
    return Plan(environment.name, changes, tuple(schedule_changes.plan(cluster, wanted, prune=prune)))


def apply(
    cluster: Server,
    project: Project,
    environment: Environment,
    *,
    prune: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Plan:
    """Makes the pipelines and schedules of an environment those of the project; may be cut short and run again."""
    made = compiled_pipelines(project, environment)
    wanted = schedules(project, environment, made)
    changes = []
    for each in made.values():
        prepared = uploads.prepare_text(each.text)
        change = _pipeline_change(cluster, prepared)
        if change.action != KEEP:
            uploads.upload(cluster, prepared)
            say(f"{change.name}: uploaded {change.version}")
        changes.append(change)
    done = schedule_apply.apply(cluster, wanted, prune=prune, overwrite=overwrite, say=say)
    return Plan(environment.name, tuple(changes), tuple(done))


def _pipeline_change(cluster: Server, prepared: Prepared) -> PipelineChange:
    pipeline_id = uploads.find_pipeline(cluster, prepared.name)
    if not pipeline_id:
        return PipelineChange(prepared.name, CREATE, prepared.version)
    path = f"{API}/pipelines/{pipeline_id}/versions"
    newest = next(cluster.api.pages(path, "pipeline_versions", sort_by="created_at desc"), None)
    if newest and newest.get("display_name") == prepared.version:
        return PipelineChange(prepared.name, KEEP, prepared.version)
    if uploads.find_version(cluster, pipeline_id, prepared.version):
        return PipelineChange(prepared.name, KEEP, prepared.version)
    spec = (newest or {}).get("pipeline_spec") or {}
    there = spec.get("pipeline_spec") or spec
    ours = next(yaml.load_all(prepared.text, _Loader))
    return PipelineChange(prepared.name, NEW_VERSION, prepared.version, tuple(_differences(there, ours)))


def _differences(there: Json, ours: Json) -> list[Difference]:
    """Returns what a person wants to see of two compiled pipelines: parameters, images and steps."""
    found = []
    for what, of in (("parameter", _defaults), ("image", _images), ("step", _steps)):
        before, after = of(there), of(ours)
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                found.append(Difference(f"{what} {key}", before.get(key, "(none)"), after.get(key, "(none)")))
    return found or [Difference("content", "as before", "changed")]


def _defaults(spec: Json) -> dict[str, Any]:
    declared = ((spec.get("root") or {}).get("inputDefinitions") or {}).get("parameters") or {}
    return {name: each.get("defaultValue", "(needed)") for name, each in declared.items()}


def _images(spec: Json) -> dict[str, Any]:
    executors = (spec.get("deploymentSpec") or {}).get("executors") or {}
    return {
        name.removeprefix("exec-"): (each.get("container") or {}).get("image", "") for name, each in executors.items()
    }


def _steps(spec: Json) -> dict[str, Any]:
    graphs = [spec.get("root") or {}, *(spec.get("components") or {}).values()]
    return {name: "there" for graph in graphs for name in (graph.get("dag") or {}).get("tasks") or {}}
