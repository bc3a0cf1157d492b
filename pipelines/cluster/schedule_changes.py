"""The difference between a schedules file and the cluster's recurring runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.cluster import cron, uploads
from mainspring.pipelines.cluster.rest import Json
from mainspring.pipelines.cluster.schedule_file import Schedule, ScheduleFile
from mainspring.pipelines.cluster.schedule_terms import Names, Terms, as_json, digest, mark_of, terms_of
from mainspring.pipelines.cluster.server import API, Server, in_namespace
from mainspring.pipelines.cluster.uploads import LATEST, Prepared

DUE_PARAMETER, DUE_WORDS = "scheduled_time", ("due", "[[ScheduledTime]]")
"""The parameter by which a run asks for its own due time, and the words that do."""


@dataclass(frozen=True)
class Difference:
    """One term that is not as the file says."""

    field: str
    cluster: Any
    file: Any


@dataclass(frozen=True)
class Wanted:
    """A schedule of the file, with what it takes to make it."""

    schedule: Schedule
    terms: Terms
    parameters: dict[str, Any]
    prepared: Prepared | None
    """None where a version of the server's is meant."""

    def file_digest(self) -> str:
        """Returns a digest of everything that the file says."""
        # The parameters as typed, which the terms have: 0.2 and 2e-1 are the same.
        return digest([asdict(self.terms), asdict(replace(self.schedule, parameters=None))])


@dataclass(frozen=True)
class Change:
    """What is to be done about one name."""

    name: str
    action: str
    """`keep`, `create`, `replace`, `disable`, `delete`, or `unlisted` (not in the file, and not to be deleted)."""
    differences: tuple[Difference, ...] = ()
    is_edited: bool = False
    """Whether somebody made or changed it in the cluster since the last `apply`: only overwritten when told to."""
    notes: tuple[str, ...] = ()
    current: str = ""
    """Id of the recurring run that stands for it now."""
    leftovers: tuple[str, ...] = ()
    """Ids of the other recurring runs of this name, which are to go: an `apply` that was cut short left them."""
    wanted: Wanted | None = None
    outcome: str = ""
    """After `apply`: `done`, `waits` (for a run to end) or `refused` (it was edited)."""

    def as_json(self) -> Json:
        """Returns what scripts may rely on."""
        return {
            "name": self.name,
            "action": self.action,
            "differences": [asdict(difference) for difference in self.differences],
            "edited_in_cluster": self.is_edited,
            "notes": list(self.notes),
            "recurring_run_id": self.current,
            "outcome": self.outcome,
        }


def plan(
    cluster: Server,
    file: ScheduleFile,
    *,
    prune: bool = False,
    registry: str = "",
    digests: Path | None = None,
    now: datetime | None = None,
) -> list[Change]:
    """Returns what would have to change, the file's schedules first; changes nothing.

    Args:
        cluster: Whose schedules.
        file: What they should be.
        prune: Whether this group's schedules that the file no longer names are to be deleted.
        registry: Put before every image of Mainspring's.
        digests: A file of `mainspring images push`, by which the images are named instead.
        now: The moment that daylight saving time is judged by; None: this one.

    Raises:
        UserError: A schedule cannot be made as the file says: nothing of the file is then applied.
    """
    at = now or datetime.now(timezone.utc)
    wanted = [_wanted(cluster, schedule, file, at, registry, digests) for schedule in file.schedules]
    existing: dict[str, list[Json]] = {}
    for item in cluster.api.pages(f"{API}/recurringruns", "recurringRuns", **in_namespace(cluster)):
        existing.setdefault(item.get("display_name", ""), []).append(item)
    names = Names(cluster)
    changes = [_change(w, existing.get(w.schedule.name, []), file, names, at) for w in wanted]
    listed = {schedule.name for schedule in file.schedules}
    for name, items in existing.items():
        ours = [item for item in items if (mark := mark_of(item)) and mark[0] == file.group]
        if ours and name not in listed:
            ids = tuple(item["recurring_run_id"] for item in ours)
            changes.append(Change(name, "delete" if prune else "unlisted", current=ids[0], leftovers=ids[1:]))
    return changes


def _wanted(
    cluster: Server, schedule: Schedule, file: ScheduleFile, at: datetime, registry: str, digests: Path | None
) -> Wanted:
    prepared = None
    try:
        if schedule.version:
            pipeline, version, spec = _on_server(cluster, schedule)
            parameters = uploads.typed_by(spec, schedule.parameters or {})
        else:
            if schedule.pipeline in file.compiled:
                prepared = uploads.prepare_text(file.compiled[schedule.pipeline], caching=schedule.caching)
            else:
                prepared = uploads.prepare(
                    schedule.pipeline,
                    registry=registry,
                    digests=digests,
                    caching=schedule.caching,
                    given=schedule.parameters,
                )
            pipeline, version = prepared.name, prepared.version
            parameters = prepared.typed(schedule.parameters or {})
        trigger = f"every {schedule.interval} s"
        if schedule.cron:
            trigger = f"cron {cron.in_zone(schedule.cron, schedule.time_zone, file.controller_time_zone, at)}"
        if schedule.version == LATEST and parameters.get(DUE_PARAMETER) in DUE_WORDS:
            raise UserError(
                "scheduled_time: KFP knows when a run was due only where the pipeline's version is fixed; "
                "leave `version: latest` out, or name a version"
            )
    except UserError as error:
        raise UserError(f"schedule {schedule.name}: {error}") from error
    terms = Terms(
        pipeline=pipeline,
        version=version,
        trigger=trigger,
        parameters=as_json(parameters),
        catch_up=schedule.catch_up,
        max_concurrency=schedule.max_concurrency,
        service_account=schedule.service_account,
        experiment=schedule.experiment or cluster.experiment,
        enabled=schedule.enabled,
    )
    return Wanted(schedule, terms, parameters, prepared)


def _on_server(cluster: Server, schedule: Schedule) -> tuple[str, str, Json]:
    """Returns name, version's name and specification of a pipeline that the server has."""
    name = schedule.pipeline
    if name.endswith((".yaml", ".yml")) or ":" in name or name.replace("-", "_") in uploads.catalogue.BUILT_IN:
        name = uploads.prepare(name).name
    pipeline_id = uploads.find_pipeline(cluster, name)
    if not pipeline_id:
        raise UserError(f"the server has no pipeline {name!r}; upload it (mainspring submit), or leave version out")
    path = f"{API}/pipelines/{pipeline_id}/versions"
    if schedule.version == LATEST:
        found = next(cluster.api.pages(path, "pipeline_versions", sort_by="created_at desc"), None)
    else:
        found = uploads.find_version(cluster, pipeline_id, schedule.version)
    if found is None:
        raise UserError(f"pipeline {name} has no version {schedule.version!r} on the server")
    spec: Json = found.get("pipeline_spec") or {}
    return name, schedule.version, spec.get("pipeline_spec") or spec


def _change(wanted: Wanted, items: list[Json], file: ScheduleFile, names: Names, at: datetime) -> Change:
    name, notes = wanted.schedule.name, _notes(wanted, file, at)
    marked = [item for item in items if mark_of(item)]
    for item in marked:
        if (mark := mark_of(item)) and mark[0] != file.group:
            raise UserError(f"schedule {name}: is there already, of group {mark[0]}; take another name or that group")
    if len(items) > 1 and len(marked) < len(items):
        ids = tuple(item["recurring_run_id"] for item in items)
        notes = (*notes, f"there are {len(items)} of this name, made by hand: {', '.join(ids)}")
        return Change(name, "replace", (), True, notes, ids[0], ids[1:], wanted)
    if not items:
        return Change(name, "create", notes=notes, wanted=wanted)
    # Two of one name are an `apply` that was cut short: the one that is enabled counts, else the older one.
    items = sorted(items, key=lambda item: (not terms_of(item, names).enabled, item.get("created_at", "")))
    current, leftovers = items[0], tuple(item["recurring_run_id"] for item in items[1:])
    there = terms_of(current, names)
    compared = replace(there, service_account=there.service_account if wanted.terms.service_account else "")
    differences = tuple(
        Difference(field, value, asdict(wanted.terms)[field])
        for field, value in asdict(compared).items()
        if value != asdict(wanted.terms)[field]
    )
    mark = mark_of(current)
    seen = {digest(asdict(terms)) for terms in (there, replace(there, service_account=""))}
    if leftovers:  # Then it is `apply` that disabled it.
        seen |= {
            digest(asdict(replace(there, enabled=True, service_account=account)))
            for account in ("", there.service_account)
        }
    is_edited = bool(differences) and (mark is None or mark[2] not in seen)
    is_same_file = mark is None or mark[1] == wanted.file_digest()
    if not differences and not is_same_file and not is_edited:
        differences = (Difference("start, end or description", "as before", "changed"),)
    if not differences and not leftovers:
        return Change(name, "keep", notes=notes, current=current["recurring_run_id"], wanted=wanted)
    is_pause = [d.field for d in differences] == ["enabled"] and not wanted.terms.enabled and is_same_file
    action = "disable" if is_pause else "replace" if differences else "keep"
    return Change(name, action, differences, is_edited, notes, current["recurring_run_id"], leftovers, wanted)


def _notes(wanted: Wanted, file: ScheduleFile, at: datetime) -> tuple[str, ...]:
    notes, schedule = [], wanted.schedule
    if wanted.parameters.get(DUE_PARAMETER) in DUE_WORDS:
        account = schedule.service_account or "their account"
        notes.append(
            f"its runs ask when they were due: {wanted.terms.version} is what runs until the next apply, and "
            f"{account} must be allowed to `get` workflows (argoproj.io)"
        )
    if schedule.cron and schedule.time_zone != file.controller_time_zone:
        changes = cron.next_clock_change(schedule.time_zone, file.controller_time_zone, at)
        if changes:
            notes.append(
                f"{schedule.time_zone} and {file.controller_time_zone} lie differently apart from {changes} on: "
                "apply again then"
            )
    if schedule.start and schedule.start < at - timedelta(minutes=1) and schedule.catch_up:
        notes.append(f"with catch_up, every time since {schedule.start:%Y-%m-%d %H:%M} UTC is run, one after another")
    if schedule.end and schedule.end < at:
        notes.append("its end lies in the past: it will not fire")
    return tuple(notes)
