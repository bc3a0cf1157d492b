"""What a run would need, a finding for each: source, query, policies, target, permissions, images."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import rollouts, serving_now, targets
from mainspring.components.deployment.versions import models_root
from mainspring.pipelines import asking
from mainspring.pipelines.compiling.light_kfp import PipelineSpec
from mainspring.pipelines.doctor.findings import NOTE, OK, WRONG, Finding
from mainspring.pipelines.parameters.declared import effective

INGESTION = "mainspring.components.ingestion.source_tool"
VALIDATION = "mainspring.components.validation.policy_tool"
LEAST_FREE = 2**30
"""Bytes on the disk of the local root below which a run is likely to fail."""
COLUMNS_SHOWN = 8


def check(spec: PipelineSpec, arguments: dict[str, Any], say: Callable[[str], None]) -> Iterator[Finding]:
    """Yields a finding for everything that a run with these arguments would need, as far as it can be seen from here.

    Args:
        spec: The pipeline.
        arguments: Typed and checked by themselves.
        say: Is told what is prepared for the check.
    """
    given = effective(spec, arguments)
    yield Finding("parameters", OK, f"{len(arguments)} given, each of its type and in its range")
    if given.get("source"):
        yield from _of_source(given, say)
    if "validation_policy" in given:
        yield _or_wrong("validation policy", lambda: _policy(given, say))
    target = str(given.get("target") or "")
    if target:
        yield from _of_target(target, given)


def _of_source(given: dict[str, Any], say: Callable[[str], None]) -> Iterator[Finding]:
    try:
        seen = asking.ask("ingestion", INGESTION, "look", given, say)
    except UserError as error:
        yield Finding("source and query", WRONG, str(error))
        return
    notes = "; ".join(seen["notes"])
    if not seen["spans"]:
        yield Finding("source", NOTE, f"a run now would skip: {notes}")
        return
    yield Finding("source", OK, f"spans {seen['spans']} of {given['source']}")
    columns = seen["columns"]
    if not columns:
        yield Finding("query", NOTE, f"could not be judged: {notes}")
        return
    shown = ", ".join(list(columns)[:COLUMNS_SHOWN]) + (" …" if len(columns) > COLUMNS_SHOWN else "")
    yield Finding("query", OK, f"gives {len(columns)} columns: {shown}{f'; {notes}' if notes else ''}")
    if given.get("label"):
        yield Finding("label", OK, f"{given['label']} is there")


def _policy(given: dict[str, Any], say: Callable[[str], None]) -> Finding:
    text = str(given.get("validation_policy") or "")
    if not text:
        return Finding("validation policy", OK, "the defaults")
    asking.ask("validation", VALIDATION, "check", {"policy": text}, say)
    return Finding("validation policy", OK, "can be read")


def _of_target(target: str, given: dict[str, Any]) -> Iterator[Finding]:
    parsed = targets.parse(target)
    root = models_root.models_folder(str(given.get("models_root") or ""))
    yield _or_wrong("models root", lambda: _writable(root))
    if parsed.scheme == targets.LOCAL:
        yield _or_wrong("target", lambda: _serves(parsed, target))
        return
    try:
        yield _serves(parsed, target)
    except UserError as error:
        yield Finding("target", NOTE, f"{target} cannot be asked from here: {error}")
        return
    yield _or_wrong("deployment", lambda: _may_deploy(parsed, given, root))


def _serves(parsed: targets.Target, target: str) -> Finding:
    served = serving_now.champion(parsed)
    if served is None:
        return Finding("target", OK, f"{target} serves nothing yet: a first model is judged against no champion")
    if models_root.version(served[1]) is None:
        raise UserError(f"{target} serves version {served[0]}, but {served[1]} is gone; restore that folder")
    return Finding("target", OK, f"{target} serves version {served[0]}")


def _may_deploy(parsed: targets.Target, given: dict[str, Any], root: str) -> Finding:
    """Asks the cluster, by a dry run of its API, whether it would take what a deployment applies."""
    from mainspring.components.deployment.kserve import policy
    from mainspring.components.deployment.kserve import target as kserve

    plan = rollouts.parse(str(given.get("rollout") or "100"), float(given.get("rollout_seconds") or 10.0))
    kserve.check(parsed, policy.parse(str(given.get("serving_policy") or "")), plan, root)
    return Finding("deployment", OK, "the cluster takes the service, with the rights of whoever asks here")


def _writable(root: str) -> Finding:
    if buckets.is_bucket(root):
        probe = buckets.join(root, f".check-{uuid.uuid4().hex}")
        buckets.list_names(root)
        buckets.delete([buckets.create(probe, b"mainspring check")])
        return Finding("models root", OK, f"{root} can be read and written from here")
    folder = Path(root)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Finding("models root", WRONG, f"{there} may not be written", "change its rights, or give models_root")
    free = shutil.disk_usage(there).free
    if free < LEAST_FREE:
        return Finding("models root", WRONG, f"the disk of {there} has {free / 2**20:,.0f} MiB left", "free some space")
    return Finding("models root", OK, f"{root} can be written, {free / 2**30:,.0f} GiB are free")


def _or_wrong(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except UserError as error:
        return Finding(name, WRONG, str(error))
