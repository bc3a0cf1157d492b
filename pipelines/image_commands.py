"""`mainspring images`: build, push, and say what is in them."""

from __future__ import annotations

from pathlib import Path

import click

BUILDER = click.option("--builder", default="", help="docker, podman or buildah. [default: the first that works]")


@click.group()
def images() -> None:
    """Build, publish and describe the components' images."""


@images.command("build")
@click.argument("titles", nargs=-1, metavar="[IMAGE]...")
@click.option("--base", default="", help="The image to build on. [default: the Dockerfiles' own]")
@click.option("--index", default="", help="The package index to install from.")
@click.option("--option", "options", multiple=True, help="Passed on to each build: --option=--platform=linux/arm64.")
@BUILDER
def build_(titles: tuple[str, ...], base: str, index: str, options: tuple[str, ...], builder: str) -> None:
    """Build each IMAGE, such as training or training-gpu; without any, every folder's CPU image."""
    from mainspring.pipelines.images import builders, building, inventory

    building.build(inventory.images(titles), builders.builder(builder, options), base, index, _say)


@images.command("push")
@click.argument("titles", nargs=-1, metavar="[IMAGE]...")
@click.option("--registry", required=True, help="Host and path: registry.example.com/team.")
@click.option(
    "--digests",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("images.lock.json"),
    show_default=True,
    help="Where to write the digests, for `mainspring compile --digests`.",
)
@click.option("--insecure", is_flag=True, help="The registry speaks plain HTTP (Podman and Buildah).")
@BUILDER
def push_(titles: tuple[str, ...], registry: str, digests: Path, insecure: bool, builder: str) -> None:
    """Push each built IMAGE to a registry, and write down its digest."""
    from mainspring.pipelines.images import builders, building, inventory

    building.push(inventory.images(titles), builders.builder(builder), registry, digests, _say, insecure)


def _say(line: str) -> None:
    click.echo(line, err=True)
