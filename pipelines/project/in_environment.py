"""A project's pipelines as they are in one environment: compiled, with that environment's values as their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster import uploads
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.compiling.light_kfp import components
from mainspring.pipelines.parameters import typed_arguments
from mainspring.pipelines.parameters.declared import parameters
from mainspring.pipelines.project import project_file
from mainspring.pipelines.project.project_file import Environment, Pipeline, Project, Values

MARK = "@"
"""Between a pipeline of the project and an environment: `training@prod` is a pipeline's name for every command."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Compiled:
    """A pipeline of the project in an environment."""

    name: str
    """`<project>-<pipeline>`: what it is called in Kubeflow."""
    text: str
    """The YAML that KFP reads."""
    values: dict[str, Any]
    """Its parameters in this environment, typed."""


def compiled(project: Project, environment: Environment, pipeline: Pipeline) -> Compiled:
    """Compiles a pipeline for an environment.

    Raises:
        UserError: A value is wrong, or a parameter that the pipeline needs is given nowhere.
    """
    where = f"{project.path}: {pipeline.name} in {environment.name}"
    component = catalogue.load(_pipeline_of(project, pipeline))
    spec = component.pipeline_spec
    given = values_of(project, environment, pipeline, parameters(spec))
    component = catalogue.fitting(component, given)
    spec = component.pipeline_spec
    try:
        on_cluster = str(getattr(given.get("target"), "content", "")).startswith("kserve://") or environment.host
        values = uploads.for_cluster(spec, given) if on_cluster else typed_arguments(spec, given)
        digests = project.path.parent / environment.digests if environment.digests else None
        text = kfp_yaml.compiled(component, environment.registry, digests)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    documents = list(yaml.load_all(text, _Loader))
    name = f"{project.name}-{pipeline.name}"
    documents[0]["pipelineInfo"]["name"] = name
    declared = documents[0].get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for key, value in values.items():
        declared[key]["defaultValue"] = value
        declared[key]["isOptional"] = True
    if not pipeline.caching:
        for task in uploads.tasks_of(documents[0]):
            task["cachingOptions"] = {}
    return Compiled(name, yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True, allow_unicode=True), values)


def values_of(project: Project, environment: Environment, pipeline: Pipeline, declared: Mapping[str, Any]) -> Values:
    """Returns a pipeline's parameters in an environment, as they are written; what is said more closely counts.

    Raises:
        UserError: The environment gives a parameter that no pipeline of the project has.
    """
    for name, value in environment.parameters.items():
        if name not in declared and not any(name in _declared(project, each) for each in project.pipelines.values()):
            raise UserError(f"{value.where}: environment {environment.name}: no pipeline has a parameter {name}")
    common = {name: value for name, value in environment.parameters.items() if name in declared}
    return pipeline.parameters | common | environment.of_pipelines.get(pipeline.name, {})


def load(pipeline: str, file: str = project_file.FILE) -> Any:
    """Returns a pipeline as a component of KFP's: one of the project, as `training@prod`, or whatever else has a name.

    Raises:
        UserError: There is no such pipeline.
    """
    name, mark, where = pipeline.partition(MARK)
    if not mark or "/" in pipeline or ":" in pipeline:
        return catalogue.load(pipeline)
    project = project_file.read(Path(file))
    return components.load_component_from_text(
        compiled(project, project.environment(where), project.pipeline(name)).text
    )


def _declared(project: Project, pipeline: Pipeline) -> Mapping[str, Any]:
    return parameters(catalogue.load(_pipeline_of(project, pipeline)).pipeline_spec)


def _pipeline_of(project: Project, pipeline: Pipeline) -> str:
    """Returns what a pipeline is made of; a compiled file is named from where the project's file lies."""
    given = pipeline.pipeline
    return str(project.path.parent / given) if given.endswith((".yaml", ".yml")) else given
