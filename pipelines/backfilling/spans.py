"""What a backfill runs: the spans of the source in order, without those that were run already."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines import asking
from mainspring.pipelines.history.records import RUNNING, RunRecord

TOOL = "mainspring.components.ingestion.source_tool"
DONE = ("succeeded", "refused", "skipped")
"""How a run may have ended so that its span needs no other: a refusal stays one."""


@dataclass(frozen=True)
class SpanRun:
    """One span of a backfill, and how far it is."""

    span: str
    status: str
    """`to do`, or how its run ended; `there` if it was run before, `running` if a cluster runs it now."""
    run: str = ""
    error: str = ""
    version: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the backfill goes on after it."""
        return self.status in (*DONE, "there")


def spans_between(arguments: dict[str, Any], first: str, last: str, say: Callable[[str], None]) -> list[str]:
    """Returns the names of the source's spans from one to another, oldest first.

    Args:
        arguments: The run's: `source` and `exclude_spans`.
        first: The first span; empty: the source's first.
        last: The last span; empty: the source's last.
        say: Is told what is prepared.

    Raises:
        UserError: The pipeline has no source, or there is no span.
    """
    if not arguments.get("source"):
        raise UserError("backfill: the pipeline needs a source with spans; give -p source=…")
    given = {name: arguments.get(name, "") for name in ("source", "exclude_spans")}
    found = asking.ask("ingestion", TOOL, "spans", given | {"from": first, "to": last}, say)
    return [str(span["name"]) for span in found]


def pending(
    spans: list[str], arguments: dict[str, Any], past: Iterable[RunRecord], *, pipeline: str = "", again: bool = False
) -> list[SpanRun]:
    """Returns the spans with those marked that an earlier run of the very same parameters has done.

    Args:
        spans: Oldest first.
        arguments: Without the span.
        past: The runs so far, the newest first.
        pipeline: Its name; empty: on a cluster, where a run's name is anybody's, and the parameters tell.
        again: Whether to run all of them once more.
    """
    done: dict[str, RunRecord] = {}
    for record in past if not again else ():
        is_under_way = not pipeline and record.status == RUNNING
        if record.pipeline == (pipeline or record.pipeline) and (record.status in DONE or is_under_way):
            done.setdefault(_key(record.arguments), record)
    found = []
    for span in spans:
        before = done.get(_key(arguments | {"span": span}))
        if before is None:
            found.append(SpanRun(span, "to do"))
        else:
            status = RUNNING if before.status == RUNNING else "there"
            found.append(SpanRun(span, status, before.run, "", before.outcome.version))
    return found


def _key(arguments: dict[str, Any]) -> str:
    return json.dumps(_plain(arguments), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    """Returns values with whole numbers as such: Kubeflow makes floats of them."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
