"""`mainspring plan` and `apply`: a project's pipelines and schedules in one environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.cluster_options import cluster_options, connected
from mainspring.pipelines.commands.printing import say

if TYPE_CHECKING:
    from mainspring.pipelines.project.changes import Plan
    from mainspring.pipelines.project.project_file import Environment

CHANGES = 3
"""Exit status of `plan --exit-code` where something would change."""

FILE = click.argument("file", default="mainspring.yaml")
ENVIRONMENT = click.option("-e", "--environment", required=True, metavar="NAME", help="One of the file's environments.")
PRUNE = click.option("--prune", is_flag=True, help="Delete this environment's schedules that the file no longer names.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.command("plan", short_help="Show what `apply` would change in an environment.")
@FILE
@ENVIRONMENT
@PRUNE
@click.option("--exit-code", is_flag=True, help=f"Exit with status {CHANGES} if something would change.")
@AS_JSON
@cluster_options
def plan(file: str, environment: str, prune: bool, exit_code: bool, as_json: bool, **where: Any) -> None:
    """Show what `apply` would change: new versions of pipelines, with what differs, and schedules. Change nothing.

    \b
    mainspring plan --environment prod
    mainspring plan --environment prod --exit-code   # in CI: 0 nothing to do, 3 something to review, 1 an error
    """
    from mainspring.pipelines.project import changes, project_file

    project = project_file.read(Path(file))
    chosen = project.environment(environment)
    found = changes.plan(connected(_where(chosen, where)), project, chosen, prune=prune)
    _print(found, as_json)
    if exit_code and not found.is_empty:
        raise SystemExit(CHANGES)


@click.command("apply", short_help="Make an environment what the project says.")
@FILE
@ENVIRONMENT
@PRUNE
@click.option("--overwrite", is_flag=True, help="Replace also what was edited in the cluster.")
@AS_JSON
@cluster_options
def apply(file: str, environment: str, prune: bool, overwrite: bool, as_json: bool, **where: Any) -> None:
    """Upload the pipelines' new versions, and make the schedules those of the file.

    It may be cut short and run again. It never stops a run that is under way: such a schedule waits for
    the next `apply`, and the exit status says so.

    \b
    mainspring apply --environment prod
    """
    from mainspring.pipelines.project import changes, project_file

    project = project_file.read(Path(file))
    chosen = project.environment(environment)
    cluster = connected(_where(chosen, where))
    done = changes.apply(cluster, project, chosen, prune=prune, overwrite=overwrite, say=say)
    _print(done, as_json)
    if refused := [change.name for change in done.schedules if change.outcome == "refused"]:
        raise UserError(f"{', '.join(refused)}: edited in the cluster; take the edit into the file, or add --overwrite")
    if waiting := [change.name for change in done.schedules if change.outcome == "waits"]:
        raise UserError(f"{', '.join(waiting)}: a run of it is under way; apply again when it has ended")


def _where(environment: Environment, where: dict[str, Any]) -> dict[str, Any]:
    """Returns where the environment is; what the command line says counts more."""
    told = {name: getattr(environment, name) for name in ("host", "namespace", "ui_host")}
    return where | {name: where[name] or value for name, value in told.items()}


def _print(found: Plan, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    from mainspring.pipelines.commands.schedule import print_changes

    for change in found.pipelines:
        words = "as it should be" if change.action == "keep" else change.action
        click.echo(f"pipeline {change.name}: {words} ({change.version})")
        for difference in change.differences:
            click.echo(f"  {difference.field}: {difference.cluster} → {difference.file}")
    print_changes(list(found.schedules), as_json=False)
    click.echo(f"{found.environment}: {'nothing to change' if found.is_empty else 'there are changes'}")
