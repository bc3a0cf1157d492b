"""`mainspring check`: a dry run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.cluster_options import cluster_options, connected, image_options
from mainspring.pipelines.commands.printing import AS_JSON, ROOT, say
from mainspring.pipelines.local_root import use_root

if TYPE_CHECKING:
    from mainspring.pipelines.doctor.findings import Finding


@click.command(short_help="Look at all that a run would need, and run nothing.")
@click.argument("pipeline")
@click.option("-p", "--param", "parameters", multiple=True, metavar="KEY=VALUE", help="A parameter; repeat for more.")
@click.option("--params", "file", type=click.Path(path_type=Path), help="Parameters from a YAML or JSON file.")
@ROOT
@AS_JSON
@image_options
@cluster_options
def check(
    pipeline: str,
    parameters: tuple[str, ...],
    file: Path | None,
    root: Path | None,
    as_json: bool,
    registry: str,
    digests: Path | None,
    **where: Any,
) -> None:
    """Check in seconds whether a run of PIPELINE with these parameters can work; run nothing.

    It looks at parameters and policies, at the source's newest span and the columns that the query
    makes of it, at the target and what it serves, and at whether models can be published. With --host
    it also asks Kubeflow; with --registry or --digests it looks for the images. The exit status is 1
    if something is wrong. In a bucket it writes a small object and removes it.

    \b
    mainspring check continuous_training --params flights.yaml
    mainspring check continuous_training --params flights.yaml --host http://localhost:8080 --digests images.lock.json
    """
    from dataclasses import asdict

    use_root(root)
    found = []
    for finding in _findings(pipeline, parameters, file, registry, digests, where):
        found.append(finding)
        if not as_json:
            click.echo(finding.line())
    if as_json:
        rows = [asdict(finding) for finding in found]
        click.echo(json.dumps(rows, indent=2), file=click.get_current_context().obj)
    if any(finding.state == "wrong" for finding in found):
        raise SystemExit(1)


def _findings(
    pipeline: str,
    parameters: tuple[str, ...],
    file: Path | None,
    registry: str,
    digests: Path | None,
    where: dict[str, Any],
) -> Iterator[Finding]:
    from mainspring.pipelines.checking import steps
    from mainspring.pipelines.cluster import uploads
    from mainspring.pipelines.doctor import findings
    from mainspring.pipelines.parameters import read_parameters, split_parameters, typed_arguments
    from mainspring.pipelines.project import in_environment

    given = read_parameters(file) | split_parameters(parameters)
    spec = in_environment.load(pipeline).pipeline_spec
    try:
        arguments = uploads.for_cluster(spec, given) if where["host"] else typed_arguments(spec, given)
    except UserError as error:
        yield findings.Finding("parameters", findings.WRONG, str(error))
        return
    yield from steps.check(spec, arguments, say)
    if where["host"]:
        try:
            connection = connected(where)
            yield findings.Finding("Kubeflow Pipelines", findings.OK, f"API v2beta1 at {connection.api.url}")
        except UserError as error:
            yield findings.Finding("Kubeflow Pipelines", findings.WRONG, str(error))
    if registry or digests:
        yield from _images(pipeline, registry, digests)


def _images(pipeline: str, registry: str, digests: Path | None) -> Iterator[Finding]:
    from mainspring.pipelines.compiling import kfp_yaml
    from mainspring.pipelines.doctor import images, needs
    from mainspring.pipelines.project import in_environment

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(kfp_yaml.compiled(in_environment.load(pipeline), registry, digests), encoding="utf-8")
        yield from images.check_images(needs.needs_of((path,)).images)
