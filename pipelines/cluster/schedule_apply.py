"""Makes the cluster's recurring runs those of a schedules file.

KFP can neither change a recurring run nor hold two apart by name, and a run is killed with the recurring run it came
from. So a change makes a new one, disabled; disables the old one; sees that none of its runs is under way; enables the
new one; and deletes the old one. At most one of a name is ever enabled. Cut short anywhere, it leaves two of one name,
which no hand does by accident: the next `apply` clears that up and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from mainspring.pipelines.cluster import runs, uploads
from mainspring.pipelines.cluster.rest import Json
from mainspring.pipelines.cluster.schedule_changes import Change, Wanted, plan
from mainspring.pipelines.cluster.schedule_file import Schedule, ScheduleFile
from mainspring.pipelines.cluster.schedule_terms import digest
from mainspring.pipelines.cluster.server import API, Server, in_namespace


def apply(
    cluster: Server,
    file: ScheduleFile,
    *,
    prune: bool = False,
    overwrite: bool = False,
    registry: str = "",
    digests: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Change]:
    """Makes the cluster's schedules those of the file; see `Cluster.apply`.

    Everything that the file says is checked before the first change. It may be cut short at any point and run again.
    """
    changes = []
    for change in plan(cluster, file, prune=prune, registry=registry, digests=digests):
        if change.is_edited and not overwrite:
            outcome = "refused"
        elif change.action in ("keep", "unlisted") and not change.leftovers:
            outcome = ""
        else:
            outcome = _do(cluster, change, file.group, say)
        changes.append(replace(change, outcome=outcome))
    return changes


def _do(cluster: Server, change: Change, group: str, say: Callable[[str], None]) -> str:
    """Does one change; returns its outcome."""
    if change.action == "disable":
        switch(cluster, change.current, "disable")
        say(f"{change.name}: disabled")
        return "done"
    going = [*change.leftovers, *([] if change.action in ("create", "keep") else [change.current])]
    if waits := _under_way(cluster, going):
        say(f"{change.name}: waits for the run {waits} to end; apply again then")
        return "waits"
    for leftover in change.leftovers:
        switch(cluster, leftover, "disable")
        _delete(cluster, leftover)
        say(f"{change.name}: removed {leftover}, which was left from before")
    if change.action == "create" and change.wanted:
        made = _create(cluster, change.wanted, group, is_enabled=change.wanted.terms.enabled)
        say(f"{change.name}: created, {cluster.link('recurringrun', made)}")
    elif change.action == "delete":
        switch(cluster, change.current, "disable")
        if waits := _under_way(cluster, [change.current]):
            say(f"{change.name}: disabled; waits for the run {waits} to end; apply again then")
            return "waits"
        _delete(cluster, change.current)
        say(f"{change.name}: deleted")
    elif change.action == "replace" and change.wanted:
        return _replace(cluster, change, change.wanted, group, say)
    return "done"


def _replace(cluster: Server, change: Change, wanted: Wanted, group: str, say: Callable[[str], None]) -> str:
    new = _create(cluster, wanted, group, is_enabled=False)
    switch(cluster, change.current, "disable")
    if waits := _under_way(cluster, [change.current]):  # It fired between our look and our switch.
        _delete(cluster, new)
        switch(cluster, change.current, "enable")
        say(f"{change.name}: waits for the run {waits} to end; apply again then")
        return "waits"
    if wanted.terms.enabled:
        switch(cluster, new, "enable")
    _delete(cluster, change.current)
    say(f"{change.name}: replaced, {cluster.link('recurringrun', new)}")
    return "done"


def _create(cluster: Server, wanted: Wanted, group: str, *, is_enabled: bool) -> str:
    schedule, terms = wanted.schedule, wanted.terms
    if wanted.prepared:
        version = uploads.upload(cluster, wanted.prepared)
        reference = {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.version_id}
    else:
        reference = {"pipeline_id": uploads.find_pipeline(cluster, terms.pipeline)}
        if schedule.version != uploads.LATEST:
            found = uploads.find_version(cluster, reference["pipeline_id"], schedule.version) or {}
            reference["pipeline_version_id"] = str(found.get("pipeline_version_id", ""))
    mark = f"[mainspring group={group} file={wanted.file_digest()} cluster={digest(asdict(terms))}]"
    body: Json = {
        "display_name": schedule.name,
        "description": f"{schedule.description} Kept by `mainspring schedule apply`. {mark}".strip(),
        "experiment_id": cluster.experiment_id(terms.experiment),
        "pipeline_version_reference": reference,
        "runtime_config": {"parameters": wanted.parameters},
        "trigger": _trigger(schedule, terms.trigger, datetime.now(timezone.utc)),
        "max_concurrency": schedule.max_concurrency,
        "no_catchup": not schedule.catch_up,
        "mode": "ENABLE" if is_enabled else "DISABLE",
        **in_namespace(cluster),
    }
    if schedule.service_account:
        body["service_account"] = schedule.service_account
    return str(cluster.api.post(f"{API}/recurringruns", body)["recurring_run_id"])


def _trigger(schedule: Schedule, trigger: str, now: datetime) -> Json:
    """Returns the trigger, with a start that makes the controller fire first when the file says.

    The controller fires strictly after a cron's start, and one interval after an interval's: so the start is sent that
    much earlier. A start in the past, without catch-up, would fire at once: it is left out, or for an interval moved by
    whole intervals to just before now.
    """
    times: Json = {"end_time": _text(schedule.end)} if schedule.end else {}
    if schedule.cron:
        if schedule.start and (schedule.catch_up or schedule.start > now):
            times["start_time"] = _text(schedule.start - timedelta(seconds=1))
        return {"cron_schedule": {"cron": trigger.removeprefix("cron "), **times}}
    if schedule.start:
        start = schedule.start - timedelta(seconds=schedule.interval)
        if not schedule.catch_up and schedule.start <= now:
            start = now - (now - schedule.start) % timedelta(seconds=schedule.interval)
        times["start_time"] = _text(start)
    return {"periodic_schedule": {"interval_second": schedule.interval, **times}}


def switch(cluster: Server, identity: str, mode: str) -> None:
    """Enables or disables a recurring run; `mode` is `enable` or `disable`."""
    cluster.api.post(f"{API}/recurringruns/{identity}:{mode}", is_repeatable=True)


def _delete(cluster: Server, identity: str) -> None:
    # Servers before 2.17 do not know the policy and ignore it; none of its runs is under way by now in any case.
    cluster.api.delete(f"{API}/recurringruns/{identity}", propagation_policy="ORPHAN")


def _under_way(cluster: Server, identities: list[str]) -> str:
    for identity in identities:
        for run in runs.running(cluster, identity):
            return str(run["run_id"])
    return ""


def _text(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
