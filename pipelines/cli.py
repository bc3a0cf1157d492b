"""The command line. Each command is a thin layer over a module that does the work."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from mainspring.components.common import storage
from mainspring.components.common.errors import ERROR_PREFIX, UserError
from mainspring.components.common.images import VERSION
from mainspring.pipelines.approve_commands import approve
from mainspring.pipelines.doctor_commands import doctor
from mainspring.pipelines.image_commands import images
from mainspring.pipelines.model_commands import models
from mainspring.pipelines.parameters import read_parameters, split_parameters
from mainspring.pipelines.printing import AS_JSON, ROOT, print_rows, root_or_default, use_root
from mainspring.pipelines.schedule_commands import schedule
from mainspring.pipelines.schema_commands import schema
from mainspring.pipelines.submit_commands import submit
from mainspring.pipelines.tuning_commands import tuning

INTERRUPTED = 130
ENDPOINT = ("name", "state", "version", "url", "problem")
"""What `endpoints` shows of an endpoint; `--json` shows all of it."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="mainspring")
def cli() -> None:
    """Keep models fresh: validate data, train, evaluate, deploy, and again."""


@cli.command()
@click.argument("pipeline")
@click.option("-p", "--param", "parameters", multiple=True, metavar="KEY=VALUE", help="A parameter; repeat for more.")
@click.option("--params", "file", type=click.Path(path_type=Path), help="Parameters from a YAML or JSON file.")
@click.option(
    "--engine",
    type=click.Choice(["process", "docker"]),
    default="process",
    show_default=True,
    help="What runs the tasks: processes, or containers of the images.",
)
@ROOT
@click.option("--summary", type=click.Path(path_type=Path), help="Write how the run went to this file, as JSON.")
@click.option("--no-cache", is_flag=True, help="Run every task, even if nothing has changed.")
def run(
    pipeline: str,
    parameters: tuple[str, ...],
    file: Path | None,
    engine: str,
    root: Path | None,
    summary: Path | None,
    no_cache: bool,
) -> None:
    """Run PIPELINE on this machine.

    PIPELINE is a built-in name (continuous_training), module:function, or a compiled YAML file. The
    exit status is 0 only if the run succeeded.
    """
    from mainspring.pipelines import catalogue, environments
    from mainspring.pipelines.progress import print_result, progress_on

    spec = catalogue.load_pipeline(pipeline)
    arguments = catalogue.typed_arguments(spec, read_parameters(file) | split_parameters(parameters))
    progress, caching = progress_on(Console(stderr=True)), not no_cache
    if engine == "docker":
        from mainspring.pipelines.engines import docker

        result = docker.run_here(spec, arguments, root_or_default(root), progress, caching)
    else:
        from mainspring.pipelines.engines import process

        environments.ensure(process.folders(spec), _say)
        result = process.run_here(spec, arguments, root_or_default(root), progress, caching)
    print_result(result, Console())
    if summary:
        storage.write_json(summary, result.as_json())
    if not result.is_success:
        raise SystemExit(1)


@cli.command("compile")
@click.argument("pipeline")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The YAML file. [default: NAME.yaml here]")
@click.option("--registry", default="", help="Put this before every image of Mainspring's: registry.example.com/team.")
@click.option("--digests", type=click.Path(path_type=Path), help="Name the images as in this file of `images push`.")
def compile_(pipeline: str, output: Path | None, registry: str, digests: Path | None) -> None:
    """Compile PIPELINE for Kubeflow Pipelines."""
    from mainspring.pipelines import catalogue, compiling

    target = output or Path(f"{catalogue.load_pipeline(pipeline).pipeline_info.name}.yaml")
    storage.write_atomically(target, compiling.compiled(catalogue.load(pipeline), registry, digests))
    click.echo(str(target))


@cli.group()
def endpoints() -> None:
    """Show, stop and start the local endpoints."""


@endpoints.command("list")
@ROOT
@AS_JSON
def endpoints_list(root: Path | None, as_json: bool) -> None:
    """List the local endpoints with what they serve."""
    from mainspring.components.deployment import local_target

    use_root(root)
    print_rows([asdict(endpoint) for endpoint in local_target.list_endpoints()], as_json, "no endpoints", ENDPOINT)


@endpoints.command("stop", short_help="Stop an endpoint; it keeps version and port.")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Stop every endpoint.")
@ROOT
@AS_JSON
def endpoints_stop(name: str | None, everything: bool, root: Path | None, as_json: bool) -> None:
    """Stop the endpoint NAME; its version and port are kept for `endpoints start`."""
    from mainspring.components.deployment import local_target

    if bool(name) == everything:
        raise click.UsageError("say which endpoint, or --all")
    use_root(root)
    names = [endpoint.name for endpoint in local_target.list_endpoints()] if everything else [str(name)]
    print_rows([asdict(local_target.stop(stopping)) for stopping in names], as_json, "no endpoints", ENDPOINT)


@endpoints.command("start", short_help="Bring an endpoint back as it was.")
@click.argument("name")
@ROOT
@AS_JSON
def endpoints_start(name: str, root: Path | None, as_json: bool) -> None:
    """Bring the endpoint NAME back with the version it served last, on its port."""
    from mainspring.components.deployment import local_target
    from mainspring.pipelines import environments

    environments.ensure(["serving"], _say)
    use_root(root)
    print_rows([asdict(local_target.start(name))], as_json, "", ENDPOINT)


@cli.command()
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

    environments.ensure(["serving"], _say)
    use_root(root)
    print_rows([rollback_model(target, to or 0, reason)._asdict()], as_json, "", RolledBack._fields)


@cli.command(short_help="Write the example data into a folder.")
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


@cli.command(short_help="Build the components' environments now.")
def setup() -> None:
    """Build the components' environments now, instead of when a run first needs them."""
    from mainspring.pipelines import environments

    environments.ensure(environments.FOLDERS, _say)
    _say(f"the environments are ready in {environments.base_folder()}")


cli.add_command(images)
cli.add_command(doctor)
cli.add_command(approve)
cli.add_command(models)
cli.add_command(schema)
cli.add_command(tuning)
cli.add_command(submit)
cli.add_command(schedule)


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


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
