"""`mainspring compile`: a pipeline as KFP reads it."""

from __future__ import annotations

from pathlib import Path

import click

from mainspring.components.common import storage


@click.command("compile")
@click.argument("pipeline")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The YAML file. [default: NAME.yaml here]")
@click.option("--registry", default="", help="Put this before every image of Mainspring's: registry.example.com/team.")
@click.option("--digests", type=click.Path(path_type=Path), help="Name the images as in this file of `images push`.")
def compile_(pipeline: str, output: Path | None, registry: str, digests: Path | None) -> None:
    """Compile PIPELINE for Kubeflow Pipelines."""
    from mainspring.pipelines.compiling import catalogue, kfp_yaml

    target = output or Path(f"{catalogue.load_pipeline(pipeline).pipeline_info.name}.yaml")
    storage.write_atomically(target, kfp_yaml.compiled(catalogue.load(pipeline), registry, digests))
    click.echo(str(target))
