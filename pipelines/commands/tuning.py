"""`mainspring tuning`: hyperparameters searched on a cluster by Katib. The work runs in training's environment."""

from __future__ import annotations

import json
import subprocess
import sys

import click

from mainspring.components.common.errors import ERROR_PREFIX, UserError

TOOL = "mainspring.components.training.tuning.katib"


@click.group()
def tuning() -> None:
    """Search for hyperparameters on a cluster, through Katib."""


@tuning.command(short_help="Print a Katib Experiment to apply.")
@click.argument("examples")
@click.argument("schema")
@click.option("--label", required=True, help="The label's column.")
@click.option("--name", default="tune", show_default=True, help="The Experiment's name.")
@click.option("--runtime", default="mainspring-tensorflow", show_default=True, help="The trials' training runtime.")
@click.option("--image", default="", help="The trials' image; the runtime's if not given.")
@click.option("--space", default="", help="JSON of what is searched, as tune_model takes it.")
@click.option("--hyperparameters", default="", help="JSON of those that are fixed.")
@click.option("--exclude", multiple=True, help="A column that is no feature; repeat for more.")
@click.option("--module", default="", help="The team's own model, a URI or a module of the image.")
@click.option("--count", default=20, show_default=True, help="Trials.")
@click.option("--parallel", default=3, show_default=True, help="Trials at a time.")
def katib(
    examples: str,
    schema: str,
    label: str,
    name: str,
    runtime: str,
    image: str,
    space: str,
    hyperparameters: str,
    exclude: tuple[str, ...],
    module: str,
    count: int,
    parallel: int,
) -> None:
    """Print an Experiment that tunes on EXAMPLES with SCHEMA, both URIs that a pod can read, for kubectl apply -f -."""
    order = {"examples": examples, "schema": schema, "label": label, "exclude": list(exclude), "module": module}
    given = {"name": name, "image": image, "order": json.dumps(order), "space": space, "fixed": hyperparameters}
    counts = {"runtime": runtime, "count": count, "parallel": parallel}
    click.echo(_run("experiment", *(f"--{key}={value}" for key, value in (given | counts).items())), nl=False)


@tuning.command(short_help="Print what an Experiment found.")
def best() -> None:
    """Print the best hyperparameters of the Experiment on standard input, as kubectl get -o json prints it."""
    click.echo(_run("best", text=sys.stdin.read()), nl=False)


def _run(*arguments: str, text: str = "") -> str:
    from mainspring.pipelines import environments

    environments.ensure(["training"], lambda line: click.echo(line, err=True))
    command = [str(environments.environment("training").python), "-m", TOOL, *arguments]
    variables = environments.task_variables()
    done = subprocess.run(command, env=variables, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith(ERROR_PREFIX)]
        if told:
            raise UserError(told[-1].removeprefix(ERROR_PREFIX))
        raise RuntimeError(f"{TOOL} failed:\n{done.stderr}")
    return done.stdout
