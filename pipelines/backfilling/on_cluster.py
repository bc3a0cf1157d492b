"""A backfill on a cluster: each span's run is submitted and followed to its end before the next one starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.pipelines.backfilling.spans import SpanRun
from mainspring.pipelines.cluster.connection import Cluster
from mainspring.pipelines.cluster.uploads import Prepared
from mainspring.pipelines.history.records import RUNNING

REFUSAL = re.compile(r"the (data|model) was refused")
"""What a step says that ends a run because a gate said no: Kubeflow knows it as failed."""


def in_order(
    todo: list[SpanRun],
    cluster: Cluster,
    prepared: Prepared,
    arguments: dict[str, Any],
    say: Callable[[str], None],
    *,
    keep_going: bool = False,
    settings: dict[str, Any] | None = None,
) -> Iterator[SpanRun]:
    """Submits a span after the other, follows each to its end, and yields how it went.

    A span whose run is under way already, from a backfill that was cut short, is followed and not started again.

    Args:
        todo: The spans, oldest first; those that are done are passed on as they are.
        cluster: Where.
        prepared: The pipeline.
        arguments: Without the span.
        say: Is told how the runs go.
        keep_going: Whether to go on after a failure.
        settings: `experiment`, `service_account` and `pipeline_root` of the runs, where they are given.
    """
    for each in todo:
        if each.is_done:
            yield each
            continue
        if each.status == RUNNING:
            run = cluster.run(each.run)
        else:
            values = arguments | {"span": each.span}
            run = cluster.submit(prepared, values, name=f"{prepared.name} {each.span}", **(settings or {}))
        say(f"{each.span}: {run.url}")
        try:
            state = run.wait(say=say)
            ended = SpanRun(each.span, state.state.lower(), run.run_id)
        except UserError as error:
            said = str(error)
            ended = SpanRun(each.span, "refused" if REFUSAL.search(said) else "failed", run.run_id, said)
        yield ended
        if not ended.is_done and not keep_going:
            return
