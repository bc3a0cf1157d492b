"""`mainspring schedule`: recurring runs as code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.cluster_options import cluster_options, connected, image_options

if TYPE_CHECKING:
    from mainspring.pipelines.cluster.schedule_changes import Change

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
PRUNE = click.option("--prune", is_flag=True, help="Delete this file's schedules that it no longer names.")


@click.group()
def schedule() -> None:
    """Keep the cluster's recurring runs as a file says."""


@schedule.command("plan")
@click.argument("file", default="schedules.yaml")
@PRUNE
@AS_JSON
@image_options
@cluster_options
def plan_(file: str, prune: bool, as_json: bool, registry: str, digests: Path | None, **where: Any) -> None:
    """Show what `apply` would change; change nothing.

    What somebody edited in the cluster since the last `apply` is marked.
    """
    from mainspring.pipelines.cluster import schedule_changes, schedule_file

    content = schedule_file.read(Path(file))
    print_changes(
        schedule_changes.plan(connected(where), content, prune=prune, registry=registry, digests=digests), as_json
    )


@schedule.command("apply")
@click.argument("file", default="schedules.yaml")
@PRUNE
@click.option("--overwrite", is_flag=True, help="Replace also what was edited in the cluster.")
@AS_JSON
@image_options
@cluster_options
def apply_(
    file: str, prune: bool, overwrite: bool, as_json: bool, registry: str, digests: Path | None, **where: Any
) -> None:
    """Make the cluster's schedules those of FILE.

    It never stops a run that is under way: what has one waits for the next `apply`, and the exit
    status says so.
    """
    from mainspring.pipelines.cluster import schedule_apply, schedule_file

    content = schedule_file.read(Path(file))
    changes = schedule_apply.apply(
        connected(where),
        content,
        prune=prune,
        overwrite=overwrite,
        registry=registry,
        digests=digests,
        say=lambda line: click.echo(line, err=True),
    )
    print_changes(changes, as_json)
    if refused := [change.name for change in changes if change.outcome == "refused"]:
        raise UserError(f"{', '.join(refused)}: edited in the cluster; take the edit into the file, or add --overwrite")
    if waiting := [change.name for change in changes if change.outcome == "waits"]:
        raise UserError(f"{', '.join(waiting)}: a run of it is under way; apply again when it has ended")


def print_changes(changes: list[Change], as_json: bool) -> None:
    """Prints changes of schedules, with what differs."""
    if as_json:
        click.echo(json.dumps([change.as_json() for change in changes], indent=2))
        return
    for change in changes:
        words = {"keep": "as it should be", "unlisted": "not in the file; --prune deletes it"}
        edited = ", though it was edited in the cluster" if change.is_edited and change.action != "keep" else ""
        done = f" ({change.outcome})" if change.outcome else ""
        click.echo(f"{change.name}: {words.get(change.action, change.action)}{edited}{done}")
        for difference in change.differences:
            click.echo(f"  {difference.field}: {difference.cluster} → {difference.file}")
        for note in change.notes:
            click.echo(f"  note: {note}")
        if change.leftovers:
            click.echo(f"  to remove: {', '.join(change.leftovers)}")
    if not changes:
        click.echo("no schedules")
