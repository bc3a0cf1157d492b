"""The quality of this window's predictions, and of earlier ones' for which more labels have come since."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainspring.components.monitoring import policy
from mainspring.components.monitoring.journal import windows
from mainspring.components.monitoring.judging import labels, quality, window_labels
from mainspring.components.monitoring.judging.asked import Asked
from mainspring.components.monitoring.judging.findings import Finding, SliceQuality, WindowQuality, plain
from mainspring.components.monitoring.judging.quality import Baseline
from mainspring.components.monitoring.judging.served_model import ServedModel

THIS = "this"

NOT_JUDGED = "quality is not judged"


def judge(
    model: ServedModel, asked: Asked, scratch: Path, earlier: Sequence[dict[str, Any]], journal_folder: Path
) -> tuple[list[Finding], dict[str, Any]]:
    """Returns findings on the newest window with enough labels, and this window's quality if it is that one.

    Earlier windows' findings in the journal get the quality that their labels now give.
    """
    assert asked.labels is not None
    source, manifest, limits = asked.labels, model.manifest, asked.policy.limits
    version, kept, kinds = model.version.version, asked.policy.label_windows, model.served.features
    last = earlier[-kept:] if kept else []
    files = {window["key"]: windows.served_of(journal_folder, window["key"]) for window in last}
    files = {key: path for key, path in files.items() if path.is_file()} | {THIS: scratch / "served.parquet"}
    same = [window for window in earlier if window.get("version") == version]
    ours = {window["key"] for window in same} | {THIS}
    sliced_by = quality.sliced_by(model.evaluation, manifest, asked.policy)
    name, _ = quality.metric_of(manifest, asked.policy)
    measured: dict[str, WindowQuality] = {}
    labels.check_key(source, list(manifest.features))
    columns = quality.columns(source, manifest, asked.policy, sliced_by)
    has_own_sql = bool(asked.policy.business.sql or source.query)
    with labels.loaded(source, files, columns, kinds, has_own_sql, scratch) as connection:
        accounts = labels.prepare(connection, source, kinds, manifest.classes)
        for key in files:  # Another version's windows too: their labels are no strays.
            labelled = labels.join(connection, source, key, columns, kinds, accounts)
            baseline = _baseline(model, asked, name, same, measured)
            found = None
            if key in ours:
                found = quality.of_window(connection, labelled, key, manifest, asked.policy, baseline, sliced_by)
            if found is not None:
                measured[key] = found
        labels.count_unjoined(connection, source, list(files), accounts)
    findings = window_labels.judge(accounts, limits, manifest)
    if any(finding.alarm for finding in findings):
        measured = {key: dataclasses.replace(found, judged=False) for key, found in measured.items()}
    for window in same:
        if window["key"] in measured:
            window["quality"] = plain(measured[window["key"]])
            windows.rewrite_findings(journal_folder, window["key"], window)
    told: dict[str, Any] = {"labels": plain(accounts), "quality": measured.get(THIS), "quality_window": None}
    if not measured:
        sentence = f"fewer than {limits.min_labelled:,} labelled rows in this window and those before: " + NOT_JUDGED
        return [*findings, Finding(policy.QUALITY, "labels", False, sentence)], told
    newest = list(measured)[-1]
    where = "this window" if newest == THIS else f"the window {newest}"
    return [*findings, *quality.told(measured[newest], asked.policy, where)], told | {
        "quality_window": None if newest == THIS else newest
    }


def _baseline(
    model: ServedModel,
    asked: Asked,
    metric: str,
    same: Sequence[Mapping[str, Any]],
    measured: Mapping[str, WindowQuality],
) -> Baseline:
    if asked.policy.quality.baseline == policy.EVALUATION:
        return quality.promised(model.evaluation, metric)
    judged = [
        window["quality"]
        for window in same
        if window.get("quality") and window["quality"].get("judged", True) and window["key"] not in measured
    ]
    known = next((found for found in judged if found["metric"] == metric), None)
    if known is not None:
        return quality.first_window(_read(known))
    first = next((found for found in measured.values() if found.judged), None)
    return quality.first_window(first) if first is not None else Baseline(float("nan"), is_itself=True)


def _read(content: Mapping[str, Any]) -> WindowQuality:
    def read_slice(one: Mapping[str, Any]) -> SliceQuality:
        live, error, baseline = (
            float("nan") if one[name] is None else float(one[name]) for name in ("live", "error", "baseline")
        )
        unjudged = str(one.get("unjudged", ""))
        return SliceQuality(dict(one["slice"]), one["rows"], live, error, baseline, one["alarm"], unjudged)

    slices = [read_slice(one) for one in content["slices"]]
    overall = read_slice(content["overall"])
    return WindowQuality(content["metric"], content["labelled"], content["rows"], overall, slices, content["business"])
