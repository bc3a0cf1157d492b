"""`mainspring schema`: schemas to review and check in. The work runs in validation's environment, beside TFDV."""

from __future__ import annotations

import subprocess

import click

from mainspring.components.common.errors import ERROR_PREFIX, UserError

TOOL = "mainspring.components.validation.schema_tool"

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.group()
def schema() -> None:
    """Infer a schema to review, show what one would have to change, and change it when told."""


@schema.command()
@click.argument("source")
@click.option("--label", required=True, help="The label's column: required in training, absent in serving.")
@click.option("-o", "--output", default="schema.pbtxt", show_default=True, help="The file to write; never overwritten.")
def infer(source: str, label: str, output: str) -> None:
    """Write the schema that suits SOURCE: a folder of examples or statistics, or a FeatureStats.pb."""
    _run("infer", source, "--label", label, "--output", output)


@schema.command()
@click.argument("schema_file")
@click.argument("source")
@AS_JSON
def diff(schema_file: str, source: str, as_json: bool) -> None:
    """Show in words what SCHEMA_FILE would have to change for SOURCE to be valid."""
    _run("diff", schema_file, source, *(["--json"] if as_json else []))


@schema.command()
@click.argument("schema_file")
@click.argument("source")
@click.option("--write", is_flag=True, help="Change the file; without it, the changes are only shown.")
@AS_JSON
def update(schema_file: str, source: str, write: bool, as_json: bool) -> None:
    """Change SCHEMA_FILE so that SOURCE is valid, with --write."""
    _run("update", schema_file, source, *(["--write"] if write else []), *(["--json"] if as_json else []))


def _run(*arguments: str) -> None:
    from mainspring.pipelines import environments

    environments.ensure(["validation"], lambda line: click.echo(line, err=True))
    python = str(environments.environment("validation").python)
    done = subprocess.run(
        [python, "-m", TOOL, *arguments],
        env=environments.task_variables() | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        told = next((line for line in lines if line.startswith(ERROR_PREFIX)), "")
        if told:
            raise UserError(told.removeprefix(ERROR_PREFIX))
        raise RuntimeError(f"{TOOL} failed:\n{done.stderr}")
    click.echo(done.stdout, nl=False)
