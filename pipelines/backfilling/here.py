"""A backfill on this machine: runs in order in this process, or several at a time without a deployment."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format

from mainspring.components.common import storage
from mainspring.pipelines.backfilling.spans import SpanRun
from mainspring.pipelines.compiling.light_kfp import PipelineSpec

CLI = "mainspring.pipelines.cli"

RunSpan = Callable[[str], Any]


def in_order(todo: list[SpanRun], run: RunSpan, keep_going: bool) -> Iterator[SpanRun]:
    """Runs a span after the other and yields how each went; stops at the first that failed.

    Args:
        todo: The spans, oldest first; those that are done are passed on as they are.
        run: Runs one span and returns a `RunResult`.
        keep_going: Whether to go on after a failure.
    """
    for each in todo:
        if each.is_done:
            yield each
            continue
        result = run(each.span)
        record = result.record()
        ended = SpanRun(each.span, record.status, record.run, record.error, record.outcome.version)
        yield ended
        if not ended.is_done and not keep_going:
            return


def side_by_side(
    todo: list[SpanRun], spec: PipelineSpec, arguments: dict[str, Any], root: Path, count: int
) -> Iterator[SpanRun]:
    """Runs several spans at a time, each in a process of its own, and yields how each went, in the order of the spans.

    Args:
        todo: The spans.
        spec: The pipeline, without its deployment: runs side by side must not change what the others are judged by.
        arguments: Without the span.
        root: The local root.
        count: How many at a time.
    """
    with tempfile.TemporaryDirectory(prefix="mainspring-backfill.") as folder:
        pipeline = Path(folder) / "pipeline.yaml"
        pipeline.write_text(yaml.safe_dump(json_format.MessageToDict(spec)), encoding="utf-8")

        def run(each: SpanRun) -> SpanRun:
            if each.is_done:
                return each
            # One file for each run: they start at the same time.
            parameters, summary = (Path(folder) / f"{each.span}.{what}.json" for what in ("parameters", "summary"))
            storage.write_json(parameters, arguments | {"span": each.span})
            options = ["--params", str(parameters), "--summary", str(summary), "--root", str(root)]
            command = [sys.executable, "-m", CLI, "run", str(pipeline), *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not summary.is_file():
                lines = done.stderr.strip().splitlines() or ["it ended without a word"]
                return SpanRun(each.span, "failed", "", lines[-1])
            told = storage.read_json(summary)
            return SpanRun(each.span, told["status"], told["run"], told["error"] or told["refusal"])

        with ThreadPoolExecutor(count) as pool:
            yield from pool.map(run, todo)
