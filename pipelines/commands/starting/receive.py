"""`mainspring receive`: runs that arriving objects start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.cluster_options import OPTIONS, connected, image_options
from mainspring.pipelines.commands.printing import ROOT, say
from mainspring.pipelines.local_root import root_or_default, use_root

TOKEN_VARIABLE = "MAINSPRING_EVENTS_TOKEN"
CLI = "mainspring.pipelines.cli"


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS[1:]):
        command = option(command)
    return click.option("--host", default="", help="Address of Kubeflow Pipelines: run there, not here.")(command)


@click.command(short_help="Run a span once its objects arrive in a bucket.")
@click.argument("pipeline")
@click.option("-p", "--param", "parameters", multiple=True, metavar="KEY=VALUE", help="A parameter; repeat for more.")
@click.option("--params", "file", type=click.Path(path_type=Path), help="Parameters from a YAML or JSON file.")
@click.option("--listen", default="127.0.0.1:8088", show_default=True, metavar="HOST:PORT", help="Port 0: any.")
@click.option("--on", "pattern", default="", metavar="PATTERN", help="Whose arrival counts. [default: the source]")
@click.option("--events", default="", metavar="URI", help="Where arrivals are kept. [default: events/ in the root]")
@ROOT
@image_options
@_where
def receive(
    pipeline: str,
    parameters: tuple[str, ...],
    file: Path | None,
    listen: str,
    pattern: str,
    events: str,
    root: Path | None,
    registry: str,
    digests: Path | None,
    **where: Any,
) -> None:
    """Listen for events of buckets, and run PIPELINE for the span of each object that arrives, once.

    It takes CloudEvents (Eventarc, Knative, Kafka through Knative), Pub/Sub's pushes, and the events of
    S3, MinIO, SNS and EventBridge. The same content at the same place starts nothing again. Runs follow
    each other. If $MAINSPRING_EVENTS_TOKEN is set, senders must give it as `Authorization: Bearer …`.

    \b
    mainspring receive continuous_training --params flights.yaml --listen 0.0.0.0:8088
    mainspring receive training@prod --host http://ml-pipeline.kubeflow:8888 --events gs://team/events
    mainspring receive training@prod --on 'gs://team/raw/{YYYY}/{MM}/{DD}/_SUCCESS'
    """
    from mainspring.pipelines.cluster import uploads
    from mainspring.pipelines.events.queue import Queue
    from mainspring.pipelines.events.receiver import receiver
    from mainspring.pipelines.parameters import read_parameters, split_parameters, typed_arguments
    from mainspring.pipelines.parameters.declared import effective
    from mainspring.pipelines.parameters.declared import parameters as declared
    from mainspring.pipelines.project import in_environment

    use_root(root)
    given = read_parameters(file) | split_parameters(parameters)
    prepared = uploads.prepare(in_environment.load(pipeline), registry=registry, digests=digests, given=given)
    if "span" in given:
        raise UserError("span: each run gets that of the object that arrived; leave it out")
    spec = prepared.spec
    arguments = uploads.for_cluster(spec, given) if where["host"] else typed_arguments(spec, given)
    arguments = effective(spec, arguments)
    if "span" not in declared(spec):
        raise UserError(f"{pipeline}: has no parameter span, by which a run would be told what to read")
    source = pattern or str(arguments.get("source") or "")
    if not source:
        raise UserError("source: is not given; give -p source=… or --on, by which arrivals are known")
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise UserError(f"--listen {listen!r}: write it as 0.0.0.0:8088")
    if where["host"]:
        run: Callable[[str], Any] = _on_cluster(prepared, arguments, where)
    else:
        run = _here(prepared.text, arguments, root_or_default(root))
    place = events or str(root_or_default(root) / "events" / prepared.name)
    queue = Queue(place, run, say)
    with receiver((host or "127.0.0.1", int(port)), queue, source, os.environ.get(TOKEN_VARIABLE, ""), say) as server:
        click.echo(f"listening on {host or '127.0.0.1'}:{server.server_address[1]} for {source}")
        try:
            server.serve_forever()
        finally:
            queue.close()


def _here(text: str, arguments: dict[str, Any], root: Path) -> Callable[[str], Any]:
    """Returns what runs a span on this machine, in a process of its own."""
    from mainspring.pipelines.events.queue import Started

    def run(span: str) -> Any:
        with tempfile.TemporaryDirectory(prefix="mainspring-event.") as folder:
            pipeline, summary = Path(folder) / "pipeline.yaml", Path(folder) / "summary.json"
            pipeline.write_text(text, encoding="utf-8")
            storage.write_json(Path(folder) / "parameters.json", arguments | {"span": span})
            options = ["--params", f"{folder}/parameters.json", "--summary", str(summary), "--root", str(root)]
            command = [sys.executable, "-m", CLI, "run", str(pipeline), *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not summary.is_file():
                return Started("", False, (done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
            told = storage.read_json(summary)
            is_well = told["status"] in ("succeeded", "skipped", "refused")
            return Started(told["run"], is_well, told["error"] or told["refusal"])

    return run


def _on_cluster(prepared: Any, arguments: dict[str, Any], where: dict[str, Any]) -> Callable[[str], Any]:
    """Returns what runs a span on the cluster, and follows it to its end."""
    from mainspring.pipelines.backfilling import on_cluster
    from mainspring.pipelines.backfilling.spans import SpanRun
    from mainspring.pipelines.events.queue import Started

    def run(span: str) -> Any:
        todo = [SpanRun(span, "to do")]
        [ended] = on_cluster.in_order(todo, connected(where), prepared, arguments, lambda line: None)
        return Started(ended.run, ended.is_done, ended.error)

    return run
