"""`mainspring example`: data to begin with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write the example data into a folder.")
@click.argument("name", type=click.Choice(["flights"]))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--poisoned", type=int, metavar="MONTH", help="Write only this month, with faults that validation must find."
)
def example(name: str, folder: Path, poisoned: int | None) -> None:
    """Write example data into FOLDER: the flights that left New York City in 2013, a Parquet file a month."""
    from mainspring.pipelines.examples import flights

    for path in flights.write_poisoned(folder, poisoned) if poisoned else flights.write_months(folder):
        click.echo(str(path))
