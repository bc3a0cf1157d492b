"""`mainspring backfill`: one run for each span of the past."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.cluster_options import OPTIONS, connected, image_options
from mainspring.pipelines.commands.printing import AS_JSON, ROOT, print_rows, say
from mainspring.pipelines.local_root import root_or_default, use_root

if TYPE_CHECKING:
    from mainspring.pipelines.backfilling.spans import SpanRun

COLUMNS = ("span", "status", "version", "run", "error")
PAST_RUNS = 2_000
"""Of a cluster, that are searched for those of an earlier backfill."""


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS[1:]):
        command = option(command)
    return click.option("--host", default="", help="Address of Kubeflow Pipelines: run there, not here.")(command)


@click.command(short_help="Run a pipeline for each span of the past, in order.")
@click.argument("pipeline")
@click.option("--from", "first", default="", metavar="SPAN", help="[default: the source's first span]")
@click.option("--to", "last", default="", metavar="SPAN", help="[default: the source's last span]")
@click.option("-p", "--param", "parameters", multiple=True, metavar="KEY=VALUE", help="A parameter; repeat for more.")
@click.option("--params", "file", type=click.Path(path_type=Path), help="Parameters from a YAML or JSON file.")
@click.option("--parallel", type=click.IntRange(min=1), help="So many at a time, without a deployment.")
@click.option("--again", is_flag=True, help="Run also spans that were run before.")
@click.option("--keep-going", is_flag=True, help="Go on after a run that failed.")
@click.option("--dry-run", is_flag=True, help="Only show what would be run.")
@click.option("--experiment", default="", help="Of the runs on a cluster.")
@click.option("--service-account", default="", help="That the pods of runs on a cluster use.")
@ROOT
@AS_JSON
@image_options
@_where
def backfill(
    pipeline: str,
    first: str,
    last: str,
    parameters: tuple[str, ...],
    file: Path | None,
    parallel: int | None,
    again: bool,
    keep_going: bool,
    dry_run: bool,
    experiment: str,
    service_account: str,
    root: Path | None,
    as_json: bool,
    registry: str,
    digests: Path | None,
    **where: Any,
) -> None:
    """Run PIPELINE once for each span from --from to --to, the oldest first, and each after the one before.

    It can be cut short and run again: spans that the same parameters have done are not run again. A
    refusal counts as done; a failure stops the backfill. With --parallel, several runs measure at a
    time and none deploys. A model of older data replaces no newer one: see the parameter allow_older.

    \b
    mainspring backfill continuous_training --params flights.yaml --from 1 --to 6
    mainspring backfill continuous_training --params flights.yaml --from 2026-01 --to 2026-06 --parallel 2
    """
    from mainspring.pipelines import environments
    from mainspring.pipelines.backfilling import here, on_cluster, spans
    from mainspring.pipelines.cluster import uploads
    from mainspring.pipelines.cluster.past_runs import past_runs
    from mainspring.pipelines.compiling import deploying
    from mainspring.pipelines.engines import process
    from mainspring.pipelines.history import records
    from mainspring.pipelines.parameters import read_parameters, split_parameters, typed_arguments
    from mainspring.pipelines.parameters.declared import effective
    from mainspring.pipelines.project import in_environment

    if parallel and where["host"]:
        raise click.UsageError("--parallel runs here; on a cluster, runs follow each other")
    use_root(root)
    folder = root_or_default(root)
    given = read_parameters(file) | split_parameters(parameters)
    if "span" in given:
        raise UserError("span: a backfill gives each run its own; leave it out, and say --from and --to")
    prepared = uploads.prepare(in_environment.load(pipeline), registry=registry, digests=digests, given=given)
    spec = prepared.spec
    typed = uploads.for_cluster(spec, given) if where["host"] else typed_arguments(spec, given)
    arguments = {name: value for name, value in effective(spec, typed).items() if name != "span"}
    if "span" not in spec.root.input_definitions.parameters:
        raise UserError(f"{pipeline}: has no parameter span, by which a run would be told what to read")
    names = spans.spans_between(arguments, first, last, say)
    cluster = connected(where) if where["host"] else None
    past = past_runs(cluster, PAST_RUNS) if cluster else records.all_runs(folder)
    todo = spans.pending(names, arguments, past, pipeline="" if cluster else prepared.name, again=again)
    if dry_run:
        going: Iterable[SpanRun] = todo
    elif cluster:
        settings = {"experiment": experiment, "service_account": service_account}
        going = on_cluster.in_order(todo, cluster, prepared, arguments, say, keep_going=keep_going, settings=settings)
    elif parallel:
        environments.ensure(process.folders(spec), say)
        going = here.side_by_side(todo, deploying.without_deployment(spec), arguments, folder, parallel)
    else:
        environments.ensure(process.folders(spec), say)
        going = here.in_order(todo, partial(_run, spec, arguments, folder), keep_going)
    ended: list[SpanRun] = []
    for each in going:
        ended.append(each)
        if not as_json:
            click.echo(f"{each.span}: {each.status}{f', version {each.version}' if each.version else ''}{_why(each)}")
    if as_json:
        print_rows([asdict(each) for each in ended], as_json, "", COLUMNS)
    failed = [each for each in ended if not each.is_done]
    if failed and not dry_run:
        left = len(todo) - len(ended)
        more = f"; {left} spans are left: run the same command again to go on" if left else ""
        raise UserError(f"backfill: {', '.join(each.span for each in failed)} failed{more}")


def _run(spec: Any, arguments: dict[str, Any], root: Path, span: str) -> Any:
    from rich.console import Console

    from mainspring.pipelines.engines import process
    from mainspring.pipelines.engines.one_at_a_time import alone_at_target
    from mainspring.pipelines.engines.progress import PlainProgress

    values = arguments | {"span": span}
    with alone_at_target(spec, values, root, say):
        return process.run_here(spec, values, root, PlainProgress(Console(stderr=True)))


def _why(each: SpanRun) -> str:
    return f": {' '.join(each.error.split())}" if each.error else f" ({each.run})" if each.run else ""
