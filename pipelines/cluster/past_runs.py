"""The runs of a cluster as the history of runs shows them.

KFP says what a run was given and how it ended, and nothing of what its steps decided. What a run deployed is in the
versions that were published: each names its run.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from mainspring.components.common import published
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.versions import models_root
from mainspring.pipelines.cluster.rest import Json
from mainspring.pipelines.cluster.runs import ENDED, STOPPED
from mainspring.pipelines.cluster.server import API, Server, in_namespace
from mainspring.pipelines.history.outcome import EVALUATION_FILE, Outcome, figures
from mainspring.pipelines.history.records import INTERRUPTED, RUNNING, RunRecord

STATES = {"SUCCEEDED": "succeeded", "SKIPPED": "skipped", "FAILED": "failed", "CANCELED": INTERRUPTED}


def past_runs(cluster: Server, limit: int) -> list[RunRecord]:
    """Returns the cluster's newest runs, newest first, with what they deployed where their bucket can be read here.

    Args:
        cluster: Whose runs.
        limit: How many at most.
    """
    pages = cluster.api.pages(f"{API}/runs", "runs", sort_by="created_at desc", **in_namespace(cluster))
    published_by = _Published()
    available = (found for found in pages if found.get("storage_state") != "ARCHIVED")
    return [record(cluster, found, published_by) for found in islice(available, limit)]


def record(cluster: Server, found: Json, published_by: _Published | None = None) -> RunRecord:
    """Returns what the server says of one run."""
    arguments = (found.get("runtime_config") or {}).get("parameters") or {}
    history = [entry.get("state") for entry in found.get("state_history") or []]
    state = found.get("state", "PENDING")
    if state == "FAILED" and any(word in history for word in STOPPED):
        state = "CANCELED"  # KFP ends a run that somebody stopped as failed.
    outcome = (published_by or _Published()).outcome(str(found["run_id"]), arguments)
    if not outcome.spans:
        outcome = replace(outcome, spans=str(arguments.get("span") or ""))
    begun = str(found.get("created_at", ""))
    return RunRecord(
        run=str(found["run_id"]),
        pipeline=found.get("display_name", ""),
        status=STATES.get(state, RUNNING),
        started=begun.replace("Z", "+00:00"),
        seconds=_seconds(begun, str(found.get("finished_at", ""))) if state in ENDED else 0.0,
        arguments=arguments,
        outcome=outcome,
        error=(found.get("error") or {}).get("message", ""),
        page=cluster.link("runs", str(found["run_id"])),
    )


class _Published:
    """The versions under each models root by the run that made them; each root is read once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], dict[str, Outcome]] = {}

    def outcome(self, run: str, arguments: dict[str, Any]) -> Outcome:
        """Returns what a run published; an empty outcome if it published nothing that can be read here."""
        root, name = str(arguments.get("models_root") or ""), str(arguments.get("target") or "").rpartition("/")[2]
        if not root or not name:
            return Outcome()
        if (root, name) not in self._found:
            try:
                self._found[root, name] = dict(self._read(models_root.models_folder(root), name))
            except UserError:  # The bucket is the cluster's, and may be closed to whoever asks here.
                self._found[root, name] = {}
        return self._found[root, name].get(run, Outcome())

    @staticmethod
    def _read(root: str, name: str) -> list[tuple[str, Outcome]]:
        found = []
        for version in models_root.versions(root, name):
            if version.run:
                uri = models_root.version_uri(root, name, version.version)
                evaluation = published.content(uri, f"evaluation/{EVALUATION_FILE}") or {}
                made = models_root.model_manifest(uri)
                told = Outcome(
                    spans=",".join(made.spans) if made else "",
                    version=version.version,
                    version_uri=uri,
                    before=version.replaces,
                    **figures(evaluation),
                )
                found.append((version.run, told))
        return found


def _seconds(begun: str, ended: str) -> float:
    try:
        first, last = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (begun, ended))
    except ValueError:
        return 0.0
    return max((last - first).total_seconds(), 0.0)
