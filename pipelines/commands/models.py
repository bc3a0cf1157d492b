"""`mainspring models`: the published versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mainspring.components.common import buckets, storage
from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.printing import AS_JSON, ROOT, print_rows
from mainspring.pipelines.local_root import use_root

MODELS_ROOT = click.option(
    "--models-root", default="", metavar="URI", help="A folder, gs:// or s3://. [default: models/ in the root]"
)
COLUMNS = ("name", "version", "created", "replaces")
LISTED = ("name", "version", "created", "replaces", "state", "metric", "data")


@click.group()
def models() -> None:
    """Show the published model versions, and remove old ones."""


@models.command("list")
@click.option("--target", "targets", multiple=True, metavar="TARGET", help="Where they may serve; repeat for more.")
@MODELS_ROOT
@ROOT
@AS_JSON
def models_list(targets: tuple[str, ...], models_root: str, root: Path | None, as_json: bool) -> None:
    """List the published versions of every model, oldest first: what is served, withdrawn, its metric, its data.

    The local endpoints of the root are asked what they serve; name a cluster's with --target.

    \b
    mainspring models list
    mainspring models list --models-root gs://team/models --target kserve://team/flights
    """
    from mainspring.components.deployment.versions import models_root as published
    from mainspring.pipelines.history import serving

    use_root(root)
    folder = published.models_folder(models_root)
    states = serving.states(targets)
    rows = [
        _row(folder, version) | serving.described(published.version_uri(folder, name, version.version), states)
        for name in published.models(folder)
        for version in published.versions(folder, name)[::-1]
    ]
    print_rows(rows, as_json, "no published models", LISTED)


@models.command("prune", short_help="Remove old versions; what is served or newest stays.")
@click.option("--keep", type=click.IntRange(min=1), required=True, help="How many of each model's newest stay.")
@click.option("--model", "names", multiple=True, metavar="NAME", help="Only this model; repeat for more.")
@click.option("--target", "targets", multiple=True, metavar="TARGET", help="Where they are served; repeat for more.")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@MODELS_ROOT
@ROOT
@AS_JSON
def models_prune(
    keep: int,
    names: tuple[str, ...],
    targets: tuple[str, ...],
    dry_run: bool,
    models_root: str,
    root: Path | None,
    as_json: bool,
) -> None:
    """Remove all but the newest versions of every model.

    What an endpoint of this root or a --target serves stays, with the version it would roll back to
    and the data these were compared with; so does each model's newest version. What a killed run
    left unfinished in a bucket goes a day after its last object.
    """
    from mainspring.components.deployment import serving_now
    from mainspring.components.deployment.versions import models_root as published
    from mainspring.components.deployment.versions import retention

    use_root(root)
    folder = published.models_folder(models_root)
    ours = buckets.canonical(storage.local_root())
    if not targets and (buckets.is_bucket(folder) or not Path(folder).is_relative_to(ours)):
        raise UserError(
            f"{folder}: others may serve from there; say where, with --target kserve://namespace/name or, of this "
            f"root, --target local://name"
        )
    needed = serving_now.uris(targets)
    rows = []
    for name in names or published.models(folder):
        for version in retention.removable(folder, name, keep, needed):
            if not dry_run:
                published.remove(folder, name, version.version)
            rows.append(_row(folder, version))
        for number in retention.unfinished(folder, name):
            if not dry_run:
                published.remove(folder, name, number)
            uri = published.version_uri(folder, name, number)
            rows.append({"name": name, "version": number, "created": "unfinished", "replaces": 0, "uri": uri})
    print_rows(rows, as_json, "nothing to remove", COLUMNS)


def _row(folder: str, version: Any) -> dict[str, Any]:
    from mainspring.components.deployment.versions import models_root as published

    return {
        "name": version.name,
        "version": version.version,
        "created": version.created,
        "replaces": version.replaces,
        "uri": published.version_uri(folder, version.name, version.version),
    }
