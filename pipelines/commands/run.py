"""`mainspring run`: a pipeline on this machine."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from mainspring.components.common import storage
from mainspring.pipelines.commands.printing import ROOT, say
from mainspring.pipelines.local_root import root_or_default


class _WithParameters(click.Command):
    """Lists a pipeline's parameters in the help that is asked for after its name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Notes the pipeline, which `--help` would otherwise come before."""
        ctx.meta["pipeline"] = args[0] if args and not args[0].startswith("-") else ""
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, and the parameters below them."""
        super().format_options(ctx, formatter)
        if not ctx.meta["pipeline"]:
            return
        from mainspring.pipelines.parameters.declared import parameters
        from mainspring.pipelines.project import in_environment

        found = parameters(in_environment.load(ctx.meta["pipeline"]).pipeline_spec).values()
        with formatter.section(f"Parameters of {ctx.meta['pipeline']}"):
            in_order = sorted(found, key=lambda parameter: (not parameter.is_needed, parameter.name))
            rows = [(parameter.name, parameter.in_words) for parameter in in_order]
            formatter.write_dl(rows)


@click.command(cls=_WithParameters)
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
@click.option(
    "--if-busy",
    type=click.Choice(["wait", "fail"]),
    default="wait",
    show_default=True,
    help="What to do while another run deploys to the same target.",
)
def run(
    pipeline: str,
    parameters: tuple[str, ...],
    file: Path | None,
    engine: str,
    root: Path | None,
    summary: Path | None,
    no_cache: bool,
    if_busy: str,
) -> None:
    """Run PIPELINE on this machine.

    PIPELINE is a built-in name (continuous_training), module:function, a compiled YAML file, or a
    pipeline of mainspring.yaml in an environment (training@dev). The
    exit status is 0 only if the run succeeded. `mainspring run PIPELINE --help` lists its parameters.
    Of two runs that deploy to the same target, the second waits for the first.

    \b
    mainspring run continuous_training --params flights.yaml -p span=7
    """
    from mainspring.pipelines import environments
    from mainspring.pipelines.compiling import catalogue
    from mainspring.pipelines.engines.one_at_a_time import alone_at_target
    from mainspring.pipelines.engines.progress import print_result, progress_on
    from mainspring.pipelines.parameters import read_parameters, split_parameters, typed_arguments
    from mainspring.pipelines.project import in_environment

    given = read_parameters(file) | split_parameters(parameters)
    spec = catalogue.fitting(in_environment.load(pipeline), given).pipeline_spec
    arguments = typed_arguments(spec, given)
    progress, caching = progress_on(Console(stderr=True)), not no_cache
    folder = root_or_default(root)
    if engine == "docker":
        from mainspring.pipelines.engines import docker

        with alone_at_target(spec, arguments, folder, say, if_busy):
            result = docker.run_here(spec, arguments, folder, progress, caching)
    else:
        from mainspring.pipelines.engines import process

        environments.ensure(process.folders(spec), say)
        with alone_at_target(spec, arguments, folder, say, if_busy):
            result = process.run_here(spec, arguments, folder, progress, caching)
    print_result(result, Console())
    if summary:
        storage.write_json(summary, result.as_json())
    if not result.is_success:
        raise SystemExit(1)
