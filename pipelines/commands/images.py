"""`mainspring images`: build, push, and say what is in them."""

from __future__ import annotations

from pathlib import Path

import click

from mainspring.components.common.errors import UserError

BUILDER = click.option("--builder", default="", help="docker, podman or buildah. [default: the first that works]")


DIGESTS = click.option(
    "--digests",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("images.lock.json"),
    show_default=True,
    help="Where to write the digests, for `mainspring compile --digests`.",
)
INSECURE = click.option("--insecure", is_flag=True, help="The registry speaks plain HTTP (Podman and Buildah).")


@click.group()
def images() -> None:
    """Build, publish and describe the components' images."""


@images.command("build")
@click.argument("titles", nargs=-1, metavar="[IMAGE]...")
@click.option("--base", default="", help="The image to build on. [default: the Dockerfiles' own]")
@click.option("--index", default="", help="The package index to install from.")
@click.option("--option", "options", multiple=True, help="Passed on to each build: --option=--platform=linux/arm64.")
@click.option("--push", "and_push", is_flag=True, help="Push them as well, once all are built.")
@click.option("--registry", default="", help="Where to push them: registry.example.com/team.")
@DIGESTS
@INSECURE
@BUILDER
def build_(
    titles: tuple[str, ...],
    base: str,
    index: str,
    options: tuple[str, ...],
    and_push: bool,
    registry: str,
    digests: Path,
    insecure: bool,
    builder: str,
) -> None:
    """Build each IMAGE, such as training or training-gpu; without any, every folder's CPU image."""
    from mainspring.pipelines.images import builders, building, inventory

    if and_push != bool(registry):
        given, missing = ("--push", "--registry HOST/PATH") if and_push else ("--registry", "--push")
        raise UserError(f"{given} was given without {missing}: give both, or neither to build only")
    wanted, chosen = inventory.images(titles), builders.builder(builder, options)
    building.build(wanted, chosen, base, index, _say)
    if and_push:
        building.push(wanted, chosen, registry, digests, _say, insecure)


@images.command("push")
@click.argument("titles", nargs=-1, metavar="[IMAGE]...")
@click.option("--registry", required=True, help="Host and path: registry.example.com/team.")
@DIGESTS
@INSECURE
@BUILDER
def push_(titles: tuple[str, ...], registry: str, digests: Path, insecure: bool, builder: str) -> None:
    """Push each built IMAGE to a registry, and write down its digest."""
    from mainspring.pipelines.images import builders, building, inventory

    building.push(inventory.images(titles), builders.builder(builder), registry, digests, _say, insecure)


@images.command("sbom")
@click.argument("titles", nargs=-1, metavar="[IMAGE]...")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path("dist/sbom"), show_default=True
)
@BUILDER
def sbom_(titles: tuple[str, ...], output: Path, builder: str) -> None:
    """Write each built IMAGE's bill of materials (CycloneDX) and a table of its licences."""
    from mainspring.pipelines.images import bill_of_materials, builders, inventory

    bill_of_materials.write(inventory.images(titles), builders.builder(builder), output, _say)


@images.command("audit")
@click.option("--osv-url", default="", help="Ask this OSV service instead of the package index's advisories.")
@click.option("--ignore", multiple=True, metavar="ID", help="An advisory that was looked at and does not matter here.")
def audit_(osv_url: str, ignore: tuple[str, ...]) -> None:
    """Look for known vulnerabilities in every lock.

    The exit status is 0 if there are none, 1 if there are, and 3 if not everything could be asked
    about.
    """
    from mainspring.pipelines.images import audit, inventory

    options = [f"--ignore-vuln={known}" for known in ignore]
    options += ["--vulnerability-service=osv", f"--osv-url={osv_url}"] if osv_url else []
    root = inventory.sources()
    findings = audit.audit([root / "requirements.txt", *sorted(root.glob("components/*/*.txt"))], options, _say)
    for line in sorted(findings.vulnerabilities):
        click.echo(line)
    for line in sorted(findings.not_audited):
        click.echo(f"not audited: {line}")
    found = f"{findings.packages} packages audited, {len(findings.vulnerabilities)} known vulnerabilities"
    click.echo(f"{found}; {len(findings.not_audited)} not audited" if findings.not_audited else found)
    raise SystemExit(findings.status)


def _say(line: str) -> None:
    click.echo(line, err=True)
