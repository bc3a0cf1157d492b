"""`mainspring runs`: the history of runs, on this machine or on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mainspring.components.common import storage
from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.cluster_options import OPTIONS, connected
from mainspring.pipelines.commands.printing import AS_JSON, ROOT, print_rows
from mainspring.pipelines.history.records import RunRecord
from mainspring.pipelines.local_root import root_or_default

COLUMNS = ("started", "run", "status", "seconds", "spans", "metric", "challenger", "champion", "version", "says")
LONGEST_SAYING = 60
LOCAL_STATES = ("running", "succeeded", "refused", "skipped", "failed", "interrupted")

Command = TypeVar("Command", bound=Callable[..., Any])


def _where(command: Command) -> Command:
    """Adds the options of the cluster; without --host the runs are this machine's."""
    for option in reversed(OPTIONS[1:]):
        command = option(command)
    return click.option("--host", default="", help="Address of Kubeflow Pipelines: the runs there, not those here.")(
        ROOT(command)
    )


@click.group(short_help="List, show, open and remove past runs.")
def runs() -> None:
    """Show the history of runs: of this machine or, with --host, of a cluster.

    \b
    mainspring runs list
    mainspring runs show latest
    """


@runs.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, the newest first.")
@click.option("--status", type=click.Choice(LOCAL_STATES), help="Only these.")
@click.option("--target", default="", metavar="TARGET", help="Only runs that deploy there.")
@AS_JSON
@_where
def runs_list(limit: int, status: str | None, target: str, as_json: bool, root: Path | None, **where: Any) -> None:
    """List past runs, the newest first, with the metric of challenger and champion.

    \b
    mainspring runs list --target local://flights
    mainspring runs list --host http://localhost:8080 --limit 10 --json
    """
    records = [r for r in _records(root, where, limit) if (not status or r.status == status)]
    records = [r for r in records if not target or r.target == target][:limit]
    rows = [r.as_json() for r in records] if as_json else [_row(r) for r in records]
    print_rows(rows, as_json, "no runs", COLUMNS)


@runs.command("show")
@click.argument("run", default="latest")
@click.option("--log", "task", metavar="TASK", help="Print the log of this task instead.")
@AS_JSON
@_where
def runs_show(run: str, task: str | None, as_json: bool, root: Path | None, **where: Any) -> None:
    """Show a RUN (its id, the beginning of it, or `latest`): its steps, its verdict, and what to do next.

    \b
    mainspring runs show latest
    mainspring runs show continuous-training-20261201 --log train-model
    """
    from mainspring.pipelines.history import records

    record = records.find(_records(root, where, 1000 if run != records.LATEST else 1), run)
    if task:
        click.echo(_log(record, task, root_or_default(root), where), nl=False)
        return
    if where["host"]:
        record = _with_tasks(record, where)
    if as_json:
        click.echo(json.dumps(record.as_json(), indent=2), file=click.get_current_context().obj)
        return
    _print(record, root_or_default(root))


@runs.command("open")
@click.argument("run", default="")
@click.option("--print", "only_print", is_flag=True, help="Only print where the page is.")
@_where
def runs_open(run: str, only_print: bool, root: Path | None, **where: Any) -> None:
    """Open the page of a RUN in the browser; without RUN, the page of all runs.

    \b
    mainspring runs open
    mainspring runs open latest
    """
    from mainspring.pipelines.history import index_page, records

    if run:
        page = records.find(_records(root, where, 1000), run).page
        if not page or ("://" not in page and not Path(page).is_file()):
            raise UserError(f"run {run}: has no page; it did not end by itself, or was cut short")
    elif where["host"]:
        target = root_or_default(root) / "cluster-runs.html"
        storage.write_atomically(target, index_page.index_page(_records(root, where, index_page.SHOWN)))
        page = str(target)
    else:
        page = str(index_page.write_index(root_or_default(root)))
    click.echo(page)
    if not only_print:
        click.launch(page)


@runs.command("prune", short_help="Remove old runs; published versions stay.")
@click.option("--keep", type=click.IntRange(min=0), default=0, help="How many of the newest stay, whatever their age.")
@click.option("--older-than", "days", type=click.FloatRange(min=0), default=0.0, help="Only runs older, in days.")
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@AS_JSON
@_where
def runs_prune(keep: int, days: float, dry_run: bool, as_json: bool, root: Path | None, **where: Any) -> None:
    """Remove the folders of old runs: pages, logs and intermediate results.

    Runs under way and published versions stay. With --host, old runs are archived in Kubeflow, where
    they can be restored.

    \b
    mainspring runs prune --keep 20 --dry-run
    mainspring runs prune --older-than 90 --keep 5
    """
    from mainspring.pipelines.history import index_page, pruning

    if not keep and not days:
        raise click.UsageError("say how many runs stay (--keep), or how old they must be to go (--older-than)")
    gone = pruning.removable(_records(root, where, 100_000), keep, days)
    for record in gone if not dry_run else []:
        if where["host"]:
            _archive(record, where)
        else:
            pruning.remove(root_or_default(root), record)
    if gone and not dry_run and not where["host"]:
        index_page.write_index(root_or_default(root))
    rows = [record.as_json() for record in gone] if as_json else [_row(record) for record in gone]
    print_rows(rows, as_json, "nothing to remove", COLUMNS[:3])


def _records(root: Path | None, where: dict[str, Any], limit: int) -> list[RunRecord]:
    if where["host"]:
        from mainspring.pipelines.cluster.past_runs import past_runs

        return past_runs(connected(where), limit)
    from mainspring.pipelines.history import records

    return records.all_runs(root_or_default(root))


def _with_tasks(record: RunRecord, where: dict[str, Any]) -> RunRecord:
    from dataclasses import replace

    state = connected(where).run(record.run).state()
    tasks = [{"name": t.name, "title": t.name, "state": t.state.lower(), "seconds": t.seconds} for t in state.tasks]
    return replace(record, tasks=tasks)


def _archive(record: RunRecord, where: dict[str, Any]) -> None:
    from mainspring.pipelines.cluster.server import API

    connected(where).api.post(f"{API}/runs/{record.run}:archive", is_repeatable=True)


def _log(record: RunRecord, task: str, root: Path, where: dict[str, Any]) -> str:
    if where["host"]:
        run = connected(where).run(record.run)
        found = next((each for each in run.state().tasks if each.name == task), None)
        if found is None:
            raise UserError(f"run {record.run}: has no task {task!r}; `mainspring runs show` lists them")
        return f"{run.log(found)}\n"
    from mainspring.pipelines.history import records

    logs = {path.stem: path for path in (records.runs_folder(root) / record.run / "logs").glob("*.log")}
    if task not in logs:
        raise UserError(f"run {record.run}: has no log of {task!r}; there are {', '.join(sorted(logs)) or 'none'}")
    return logs[task].read_text(encoding="utf-8", errors="replace")


def _row(record: RunRecord) -> dict[str, Any]:
    from mainspring.components.common.report import number_text

    outcome, says = record.outcome, " ".join(record.error.split())
    return {
        "started": record.started[:16].replace("T", " "),
        "run": record.run,
        "status": record.status,
        "seconds": f"{record.seconds:.0f}",
        "spans": outcome.spans,
        "metric": outcome.metric,
        "challenger": number_text(outcome.challenger),
        "champion": number_text(outcome.champion),
        "version": outcome.version or "",
        "says": says if len(says) <= LONGEST_SAYING else f"{says[:LONGEST_SAYING]}…",
    }


def _print(record: RunRecord, root: Path) -> None:
    from mainspring.components.common.report import number_text
    from mainspring.pipelines.history.advice import next_steps

    outcome = record.outcome
    figure = f"{outcome.metric} {number_text(outcome.challenger)}, champion {number_text(outcome.champion) or 'none'}"
    facts = {
        "run": record.run,
        "pipeline": record.pipeline,
        "status": record.status,
        "began": record.started,
        "took": f"{record.seconds:.1f} s",
        "target": record.target,
        "spans": outcome.spans,
        "verdict": figure if outcome.metric else "",
        "version": f"{outcome.version} ({outcome.version_uri})" if outcome.version else "",
        "version before": str(outcome.before) if outcome.before else "",
        "approved by": outcome.approved_by,
        "says": record.error,
        "page": record.page,
    }
    for name, fact in facts.items():
        if fact:
            click.echo(f"{name + ':':<16}{fact}")
    for task in record.tasks:
        if task["state"] != "skipped":
            click.echo(f"  {task['title']:<28}{task['state']:<11}{task['seconds']:>8.1f} s")
    for what, command in next_steps(record, "" if root == storage.local_root() else str(root)):
        click.echo(f"{what[0].lower()}{what[1:]}:\n  {command}")
