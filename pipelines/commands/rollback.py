"""`mainspring rollback`: an earlier version, served again."""

from __future__ import annotations

from pathlib import Path

import click

from mainspring.pipelines.commands.printing import AS_JSON, ROOT, print_rows, say
from mainspring.pipelines.local_root import use_root


@click.command()
@click.argument("target")
@click.option("--to", type=click.IntRange(min=1), metavar="VERSION", help="[default: the version served before]")
@click.option("--reason", default="", help="Recorded, and shown when a run would deploy the withdrawn version again.")
@ROOT
@AS_JSON
def rollback(target: str, to: int | None, reason: str, root: Path | None, as_json: bool) -> None:
    """Serve an earlier version at TARGET again, and withdraw what was served since.

    Runs refuse to deploy a withdrawn version, or a model trained from the same data and settings,
    until --to names it.
    """
    from mainspring.components.deployment.rollback_model import RolledBack, rollback_model
    from mainspring.pipelines import environments

    environments.ensure(["serving"], say)
    use_root(root)
    print_rows([rollback_model(target, to or 0, reason)._asdict()], as_json, "", RolledBack._fields)
