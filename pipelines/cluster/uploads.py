"""Pipelines on the server, by content: the same content is one version, however often and by whomever it is sent."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mainspring.components.common.errors import UserError
from mainspring.components.common.images import VERSION
from mainspring.pipelines.cluster.rest import Conflict, Json
from mainspring.pipelines.cluster.server import API, Server, find, in_namespace, named
from mainspring.pipelines.compiling import catalogue, kfp_yaml, workflow_size
from mainspring.pipelines.compiling.light_kfp import PipelineSpec
from mainspring.pipelines.parameters import typed_arguments
from mainspring.pipelines.parameters.cluster_texts import refuse_changed_texts
from mainspring.pipelines.parameters.declared import parameters

LATEST = "latest"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Prepared:
    """A pipeline that is compiled and named by its content, ready to be uploaded."""

    name: str
    """The pipeline's, as the UI shows it."""
    version: str
    """The version's: `content-` and the first digits of the content's hash."""
    digest: str
    text: str
    """The YAML that is uploaded."""
    spec: PipelineSpec

    def typed(self, given: dict[str, Any]) -> dict[str, Any]:
        """Returns the arguments in the types that the pipeline's parameters have; see `parameters.typed_arguments`."""
        return for_cluster(self.spec, given)


@dataclass(frozen=True)
class Version:
    """A pipeline's version on the server."""

    pipeline: str
    pipeline_id: str
    name: str
    version_id: str
    is_new: bool
    """Whether it was uploaded just now."""


def prepare(
    pipeline: Any,
    *,
    registry: str = "",
    digests: Path | None = None,
    caching: bool = True,
    given: Mapping[str, Any] | None = None,
) -> Prepared:
    """Compiles a pipeline and names it by its content.

    Args:
        pipeline: What `@dsl.pipeline` returned, or a built-in name, `module:function`, or a compiled YAML file.
        registry: Put before every image of Mainspring's.
        digests: A file of `mainspring images push`, by which the images are named instead.
        caching: False: no task of it may be answered from the cache. (True leaves it to each task: some must never be.)
        given: The parameters, which decide what parts a built-in pipeline has.

    Raises:
        UserError: There is no such pipeline, or what is there is none.
    """
    if isinstance(pipeline, Prepared):
        return pipeline
    component = catalogue.load(pipeline) if isinstance(pipeline, str) else pipeline
    if not hasattr(component, "pipeline_spec"):
        raise UserError(f"pipeline: {component!r} is none; give what @dsl.pipeline returned, a name or a file")
    component = catalogue.fitting(component, given or {})
    text = kfp_yaml.compiled(component, registry, digests)
    if near := workflow_size.warning(component.pipeline_spec):
        print(f"warning: {near}", file=sys.stderr)
    return _prepared(text, component.pipeline_spec, caching)


def prepare_text(text: str, *, caching: bool = True) -> Prepared:
    """Names a compiled pipeline, given as KFP's YAML, by its content; see `prepare`."""
    from google.protobuf import json_format

    spec = json_format.ParseDict(next(yaml.load_all(text, _Loader)), PipelineSpec())
    return _prepared(text, spec, caching)


def _prepared(text: str, spec: PipelineSpec, caching: bool) -> Prepared:
    documents = list(yaml.load_all(text, _Loader))
    if not caching:
        for task in tasks_of(documents[0]):
            task["cachingOptions"] = {}
        text = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True)
    digest = content_digest(documents)
    return Prepared(spec.pipeline_info.name, f"content-{digest[:12]}", digest, text, spec)


def content_digest(documents: list[Json]) -> str:
    """Returns the SHA-256 of a compiled pipeline's meaning: order, comments and the SDK's version do not count."""
    meaning = [{key: value for key, value in (content or {}).items() if key != "sdkVersion"} for content in documents]
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def typed_by(spec: Json, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments in the types of a pipeline that is only known as the server's JSON."""
    from google.protobuf import json_format

    try:
        message = json_format.ParseDict(spec, PipelineSpec(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise UserError(f"the server's version holds no pipeline that can be read here: {error}") from error
    return for_cluster(message, given)


def for_cluster(spec: PipelineSpec, given: dict[str, Any]) -> dict[str, Any]:
    """Returns typed arguments that a cluster passes on as they are; see `parameters.typed_arguments`.

    Raises:
        UserError: A value does not fit, or a cluster would change it.
    """
    arguments = typed_arguments(spec, given)
    refuse_changed_texts(spec, arguments)
    declared = parameters(spec)
    is_open = "models_root" in declared and not (arguments.get("models_root") or declared["models_root"].default)
    if is_open and str(arguments.get("target", "")).startswith("kserve://"):
        raise UserError(
            "models_root: is not given, and its default is a folder of the machine, which a pod does not keep; "
            "give a bucket, such as -p models_root=gs://bucket/models"
        )
    return arguments


def upload(cluster: Server, prepared: Prepared) -> Version:
    """Returns the version with this content; uploads it if the server has none.

    It may be cut short at any point: what is missing then is made the next time. Two that upload the same content at
    the same time get the same version.
    """
    pipeline_id = _pipeline_id(cluster, prepared)
    existing = find_version(cluster, pipeline_id, prepared.version)
    if existing:
        return Version(prepared.name, pipeline_id, prepared.version, existing["pipeline_version_id"], False)
    try:
        made = cluster.api.upload(
            f"{API}/pipelines/upload_version",
            f"{prepared.name}.yaml",
            prepared.text,
            name=prepared.version,
            pipelineid=pipeline_id,
            description=f"sha256:{prepared.digest}, uploaded by Mainspring {VERSION}",
        )
    except Conflict:
        made = find_version(cluster, pipeline_id, prepared.version) or {}
    if not made.get("pipeline_version_id"):
        raise UserError(f"{cluster.api.url}: took version {prepared.version} of {prepared.name} but gave it no id")
    return Version(prepared.name, pipeline_id, prepared.version, str(made["pipeline_version_id"]), True)


def find_pipeline(cluster: Server, name: str) -> str:
    """Returns a pipeline's id by its name; empty if the server has none of that name."""
    found = find(cluster, "pipelines", name, "pipelines")
    return str(found["pipeline_id"]) if found else ""


def find_version(cluster: Server, pipeline_id: str, name: str) -> Json | None:
    """Returns a pipeline's version by its name; None if there is none."""
    path = f"{API}/pipelines/{pipeline_id}/versions"
    return next(cluster.api.pages(path, "pipeline_versions", filter=named(name)), None)


def _pipeline_id(cluster: Server, prepared: Prepared) -> str:
    if found := find_pipeline(cluster, prepared.name):
        return found
    body = {"display_name": prepared.name, "name": prepared.name, **in_namespace(cluster)}
    try:
        # Not pipelines/upload: that names the first version after the pipeline, so its content would go up twice.
        return str(cluster.api.post(f"{API}/pipelines", body)["pipeline_id"])
    except Conflict:
        if found := find_pipeline(cluster, prepared.name):
            return found
        raise


def tasks_of(document: Json) -> list[Json]:
    """Returns the tasks of a compiled pipeline, those within its branches too."""
    graphs = [document["root"], *(document.get("components") or {}).values()]
    return [task for graph in graphs for task in (graph.get("dag") or {}).get("tasks", {}).values()]
