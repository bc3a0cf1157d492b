"""`mainspring where-used`: what was made from a file."""

from __future__ import annotations

from pathlib import Path

import click

from mainspring.pipelines.commands.printing import AS_JSON, ROOT, print_rows
from mainspring.pipelines.local_root import root_or_default, use_root

COLUMNS = ("name", "version", "run", "match", "state", "file")


@click.command("where-used", short_help="Say which models were made from a file.")
@click.argument("file")
@click.option("--target", "targets", multiple=True, metavar="TARGET", help="Where they may serve; repeat for more.")
@click.option(
    "--models-root", default="", metavar="URI", help="A folder, gs:// or s3://. [default: models/ in the root]"
)
@ROOT
@AS_JSON
def where_used(file: str, targets: tuple[str, ...], models_root: str, root: Path | None, as_json: bool) -> None:
    """Say which published versions, and which local runs, read FILE, or any file of that folder.

    A file on this machine is also found under another name, by its content. `rewritten since` means
    that the file is another one now.

    \b
    mainspring where-used data/flights-2013-03.parquet
    mainspring where-used gs://team/raw/2026-11 --models-root gs://team/models --target kserve://team/flights
    """
    from mainspring.components.deployment.versions.models_root import models_folder
    from mainspring.pipelines.history import serving, uses

    use_root(root)
    found = uses.uses(file, models_folder(models_root), root_or_default(root), serving.states(targets))
    print_rows([use.as_json() for use in found], as_json, f"{file}: nothing here was made from it", COLUMNS)
