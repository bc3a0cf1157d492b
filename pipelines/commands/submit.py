"""`mainspring submit`: a pipeline to the cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mainspring.pipelines.commands.cluster_options import cluster_options, connected, image_options

INTERRUPTED = 130


@click.command()
@click.argument("pipeline")
@click.option("-p", "--param", "parameters", multiple=True, metavar="KEY=VALUE", help="A parameter; repeat for more.")
@click.option("--params", "file", type=click.Path(path_type=Path), help="Parameters from a YAML or JSON file.")
@click.option("--experiment", default="", help="Made if it is not there. [default: KFP's Default]")
@click.option("--name", default="", help="The run's name. [default: the pipeline's with the time]")
@click.option("--service-account", default="", help="That the run's pods use. [default: the cluster's]")
@click.option("--pipeline-root", default="", help="Where outputs go: gs://bucket/runs. [default: the cluster's]")
@click.option("--no-cache", is_flag=True, help="Run every task, even if nothing has changed.")
@click.option("--wait", is_flag=True, help="Follow the run to its end; fail if it fails, with the failed task's log.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@image_options
@cluster_options
def submit(
    pipeline: str,
    parameters: tuple[str, ...],
    file: Path | None,
    experiment: str,
    name: str,
    service_account: str,
    pipeline_root: str,
    no_cache: bool,
    wait: bool,
    as_json: bool,
    registry: str,
    digests: Path | None,
    **where: Any,
) -> None:
    """Run PIPELINE on a Kubeflow cluster.

    PIPELINE is a built-in name (continuous_training), module:function, or a compiled YAML file. It is
    uploaded only if the server has no version with the same content. A login is read from
    MAINSPRING_TOKEN, MAINSPRING_COOKIE, or MAINSPRING_USERNAME and MAINSPRING_PASSWORD (of Dex).
    """
    from mainspring.pipelines.cluster import uploads
    from mainspring.pipelines.parameters import read_parameters, split_parameters
    from mainspring.pipelines.project import in_environment

    # Before anything is asked of the server: a wrong parameter is found without it.
    given = read_parameters(file) | split_parameters(parameters)
    prepared = uploads.prepare(
        in_environment.load(pipeline), registry=registry, digests=digests, caching=not no_cache, given=given
    )
    arguments = prepared.typed(given)
    run = connected(where).submit(
        prepared,
        arguments,
        experiment=experiment,
        name=name,
        service_account=service_account,
        pipeline_root=pipeline_root,
    )
    version = run.version
    assert version is not None
    said = {
        "run_id": run.run_id,
        "url": run.url,
        "pipeline": version.pipeline,
        "pipeline_id": version.pipeline_id,
        "version": version.name,
        "version_id": version.version_id,
        "uploaded": version.is_new,
    }
    click.echo(f"{version.pipeline} {version.name} ({'uploaded' if version.is_new else 'there already'})", err=as_json)
    click.echo(f"run: {run.url}", err=as_json)
    if wait:
        try:
            state = run.wait(say=lambda line: click.echo(line, err=True))
        except KeyboardInterrupt:
            click.echo(f"no longer following; the run goes on in the cluster: {run.url}", err=True)
            raise SystemExit(INTERRUPTED) from None
        said |= {"state": state.state, "tasks": [{"name": t.name, "state": t.state} for t in state.tasks]}
        click.echo(state.state.lower(), err=as_json)
    if as_json:
        click.echo(json.dumps(said, indent=2))
