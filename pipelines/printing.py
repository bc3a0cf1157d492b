"""What several command groups share: the root, and rows as a table or as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from mainspring.components.common import storage

ROOT = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of runs, models and endpoints. [default: $MAINSPRING_ROOT or .mainspring]",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def root_or_default(root: Path | None) -> Path:
    """Returns the local root, absolute."""
    return root.absolute() if root else storage.local_root()


def use_root(root: Path | None) -> None:
    """Points this process, and what it starts, at a local root, as the engines do for tasks."""
    from mainspring.pipelines import environments

    os.environ.update(environments.task_variables() | {storage.ROOT_VARIABLE: str(root_or_default(root))})


def print_rows(rows: list[dict[str, Any]], as_json: bool, none: str, columns: tuple[str, ...]) -> None:
    """Prints everything as JSON, or the given columns as a table that is never folded."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(none)
        return
    lines = [columns, *(tuple(str(row[column]) for column in columns) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
