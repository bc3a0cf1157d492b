"""`mainspring setup`: the components' environments, built now."""

from __future__ import annotations

import click

from mainspring.pipelines.commands.printing import say


@click.command(short_help="Build the components' environments now.")
def setup() -> None:
    """Build the components' environments now, instead of when a run first needs them."""
    from mainspring.pipelines import environments

    environments.ensure(environments.FOLDERS, say)
    say(f"the environments are ready in {environments.base_folder()}")
