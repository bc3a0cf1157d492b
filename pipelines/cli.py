"""The command line: each command is a module of `commands`."""

from __future__ import annotations

import sys

import click

from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.components.common.images import VERSION
from mainspring.pipelines.commands.approve import approve
from mainspring.pipelines.commands.compile import compile_
from mainspring.pipelines.commands.doctor import doctor
from mainspring.pipelines.commands.endpoints import endpoints
from mainspring.pipelines.commands.example import example
from mainspring.pipelines.commands.history.explain import explain
from mainspring.pipelines.commands.history.runs import runs
from mainspring.pipelines.commands.history.where_used import where_used
from mainspring.pipelines.commands.images import images
from mainspring.pipelines.commands.models import models
from mainspring.pipelines.commands.rollback import rollback
from mainspring.pipelines.commands.run import run
from mainspring.pipelines.commands.schedule import schedule
from mainspring.pipelines.commands.schema import schema
from mainspring.pipelines.commands.setup import setup
from mainspring.pipelines.commands.starting.backfill import backfill
from mainspring.pipelines.commands.starting.check import check
from mainspring.pipelines.commands.starting.receive import receive
from mainspring.pipelines.commands.submit import submit
from mainspring.pipelines.commands.team.plan_apply import apply, plan
from mainspring.pipelines.commands.team.promote import promote
from mainspring.pipelines.commands.tuning import tuning

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="mainspring")
def cli() -> None:
    """Keep models fresh: validate data, train, evaluate, deploy, and again."""


for command in (
    run,
    backfill,
    receive,
    check,
    compile_,
    submit,
    schedule,
    plan,
    apply,
    promote,
    setup,
    example,
    runs,
    explain,
    where_used,
    endpoints,
    models,
    rollback,
    approve,
    schema,
    tuning,
    images,
    doctor,
):
    cli.add_command(command)


def main() -> None:
    """Runs the command line; a user's mistake is one line and exit status 1, a wrong call is exit status 2."""
    try:
        cli(standalone_mode=False)
    except UserError as error:
        click.echo(f"{ERROR_PREFIX}{error}", err=True)
        sys.exit(1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"{ERROR_PREFIX}{error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            f"{ERROR_PREFIX}interrupted; nothing is left running here, and the next run goes on from where this was",
            err=True,
        )
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
