"""A window's quality as its scores promise it, beside what labels say of this window and of those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mainspring.components.monitoring.judging import estimated_quality, quality
from mainspring.components.monitoring.judging.asked import Asked
from mainspring.components.monitoring.judging.findings import Finding, plain
from mainspring.components.monitoring.judging.served_model import ServedModel
from mainspring.components.monitoring.logs import traffic


def judge(
    model: ServedModel, asked: Asked, scratch: Path, earlier: Sequence[Mapping[str, Any]], judged: Mapping[str, Any]
) -> tuple[list[Finding], dict[str, Any]]:
    """Returns what is estimated.

    Args:
        model: What is served.
        asked: The policy.
        scratch: With the window's served rows.
        earlier: Findings of the windows before, oldest first.
        judged: What labels said of this window; empty without labels.
    """
    name, _ = quality.metric_of(model.manifest, asked.policy)
    column = pq.read_table(scratch / "served.parquet", columns=[traffic.PREDICTION]).column(0)
    scores = np.asarray(column.drop_null().to_numpy(), float)
    if len(scores) < max(asked.policy.limits.min_rows, 1):
        return [], {}
    found = estimated_quality.estimate(model.manifest.task, name, scores, model.manifest.threshold)
    if found is None:
        return [estimated_quality.cannot(model.manifest.task, name)], {"estimate": None}
    mine = judged.get("quality")
    same = [window for window in earlier if window.get("version") == model.version.version]
    if mine is not None:
        same = [*same, {"estimate": plain(found), "quality": plain(mine)}]
    baseline = quality.promised(model.evaluation, name)
    is_labelled = mine is not None and mine.judged
    finding = estimated_quality.judge(found, baseline, asked.policy, same, is_labelled)
    return [finding], {"estimate": found}
