"""What several command groups share: the option for the root, rows as a table or as JSON, and progress."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click

ROOT = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of runs, models and endpoints. [default: $MAINSPRING_ROOT or .mainspring]",
)


def _keep_stdout_for_json(context: click.Context, _: click.Parameter, as_json: bool) -> bool:
    """Sends everything to stderr but what `print_rows` prints, the progress that other code prints included."""
    if as_json:
        context.obj = sys.stdout
        context.with_resource(contextlib.redirect_stdout(sys.stderr))
    return as_json


AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for scripts.", callback=_keep_stdout_for_json
)
"""Of commands that end with `print_rows`."""


def print_rows(rows: list[dict[str, Any]], as_json: bool, none: str, columns: tuple[str, ...]) -> None:
    """Prints everything as JSON, or the given columns as a table that is never folded."""
    if as_json:
        click.echo(json.dumps(rows, indent=2), file=click.get_current_context().obj)
        return
    if not rows:
        click.echo(none)
        return
    lines = [columns, *(tuple(str(row[column]) for column in columns) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def say(line: str) -> None:
    """Tells on stderr what is being done, so that stdout holds the answer alone."""
    click.echo(line, err=True)
