"""`mainspring compile`: a pipeline as KFP reads it."""

from __future__ import annotations

from pathlib import Path

import click

from mainspring.components.common import storage


@click.command("compile")
@click.argument("pipeline", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The YAML file, or with -e the folder.")
@click.option("-e", "--environment", default="", metavar="NAME", help="Compile the project's pipelines for this one.")
@click.option("--project", "file", default="mainspring.yaml", show_default=True, help="The project's file, with -e.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["kfp", "kubernetes"]),
    default="kfp",
    show_default=True,
    help="KFP's YAML, or Pipeline and PipelineVersion objects for `kubectl apply`.",
)
@click.option(
    "-p",
    "--param",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="A default, which decides the parts.",
)
@click.option("--registry", default="", help="Put this before every image of Mainspring's: registry.example.com/team.")
@click.option("--digests", type=click.Path(path_type=Path), help="Name the images as in this file of `images push`.")
def compile_(
    pipeline: str | None,
    output: Path | None,
    environment: str,
    file: str,
    form: str,
    parameters: tuple[str, ...],
    registry: str,
    digests: Path | None,
) -> None:
    """Compile PIPELINE for Kubeflow Pipelines; with --environment, the pipelines of a mainspring.yaml.

    In an environment, the project's values are the pipeline's defaults. PIPELINE is then one of the
    project's; without it all of them are compiled.

    \b
    mainspring compile continuous_training --registry registry.example.com/team
    mainspring compile --environment prod --output build
    mainspring compile --environment prod --format kubernetes --output manifests
    """
    from mainspring.pipelines.compiling import catalogue, kfp_yaml, workflow_size
    from mainspring.pipelines.parameters import split_parameters
    from mainspring.pipelines.parameters.values import typed_defaults
    from mainspring.pipelines.project import in_environment, kubernetes_objects, project_file

    if not environment:
        if not pipeline:
            raise click.UsageError("say which pipeline, or --environment for the pipelines of mainspring.yaml")
        given = split_parameters(parameters)
        component = catalogue.fitting(in_environment.load(pipeline, file), given)
        typed_defaults(component.pipeline_spec, given)
        text = kfp_yaml.compiled(component, registry, digests)
        if near := workflow_size.warning(component.pipeline_spec):
            click.echo(f"warning: {near}", err=True)
        target = output or Path(f"{component.pipeline_spec.pipeline_info.name}.yaml")
        _write(target, kubernetes_objects.as_yaml(text) if form == "kubernetes" else text)
        return
    if registry or digests:
        raise click.UsageError("an environment says its registry or digests in mainspring.yaml")
    project = project_file.read(Path(file))
    chosen = project.environment(environment)
    for each in [project.pipeline(pipeline)] if pipeline else project.pipelines.values():
        made = in_environment.compiled(project, chosen, each)
        text = kubernetes_objects.as_yaml(made.text, chosen.namespace) if form == "kubernetes" else made.text
        _write((output or Path()) / f"{made.name}.yaml", text)


def _write(target: Path, text: str) -> None:
    storage.write_atomically(target, text)
    click.echo(str(target))
