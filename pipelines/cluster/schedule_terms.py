"""A schedule's terms: as the cluster has them, and by which mark in its description `apply` knows its own."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from mainspring.pipelines.cluster.rest import Json, Missing
from mainspring.pipelines.cluster.server import API, Server
from mainspring.pipelines.cluster.uploads import LATEST

MARK = re.compile(r"\[mainspring group=(\S+) file=([0-9a-f]+) cluster=([0-9a-f]+)\]")
"""Ends the description of a recurring run that `apply` made: whose it is, what the file said, what was then made."""


@dataclass(frozen=True)
class Terms:
    """A schedule's terms, as they can be read back from the cluster."""

    pipeline: str
    version: str
    """Its name; `latest`."""
    trigger: str
    """`cron …` in the controller's zone, or `every … s`."""
    parameters: str
    """As JSON."""
    catch_up: bool
    max_concurrency: int
    service_account: str
    experiment: str
    enabled: bool


def mark_of(item: Json) -> tuple[str, str, str] | None:
    """Returns group, file's digest and cluster's digest that `apply` wrote; None for a recurring run made otherwise."""
    match = MARK.search(item.get("description") or "")
    return (match[1], match[2], match[3]) if match else None


def digest(content: Any) -> str:
    """Returns a short digest of plain values; 3 and 3.0 are the same, for KFP makes one of the other."""
    return hashlib.sha256(json.dumps(_plain(content), sort_keys=True).encode()).hexdigest()[:16]


class Names:
    """Names of the server's things by their ids; each is asked for once."""

    def __init__(self, cluster: Server) -> None:
        self.get = cache(lambda path: self._get(cluster, path))

    @staticmethod
    def _get(cluster: Server, path: str) -> str:
        try:
            return str(cluster.api.get(f"{API}/{path}").get("display_name", ""))
        except Missing:
            return "(deleted)"


def terms_of(item: Json, names: Names) -> Terms:
    """Returns a recurring run's terms, as the server has them."""
    reference = item.get("pipeline_version_reference") or {}
    pipeline, version = reference.get("pipeline_id", ""), reference.get("pipeline_version_id", "")
    trigger = item.get("trigger") or {}
    crons, periods = trigger.get("cron_schedule") or {}, trigger.get("periodic_schedule") or {}
    parameters = (item.get("runtime_config") or {}).get("parameters") or {}
    experiment = item.get("experiment_id", "")
    return Terms(
        pipeline=names.get(f"pipelines/{pipeline}") if pipeline else "(within the schedule)",
        version=names.get(f"pipelines/{pipeline}/versions/{version}") if version else LATEST,
        trigger=f"cron {crons['cron']}" if crons.get("cron") else f"every {periods.get('interval_second')} s",
        parameters=as_json(parameters),
        catch_up=not item.get("no_catchup", False),
        max_concurrency=int(item.get("max_concurrency") or 0),
        service_account=item.get("service_account", ""),
        experiment=names.get(f"experiments/{experiment}") if experiment else "",
        enabled=(item.get("status") or item.get("mode", "")).startswith("ENABLE"),
    )


def as_json(content: Any) -> str:
    """Returns plain values as JSON that is the same however they came about."""
    return json.dumps(_plain(content), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() else value
