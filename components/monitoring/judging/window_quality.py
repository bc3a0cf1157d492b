"""The quality of this window's predictions, and of earlier ones' for which more labels have come since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainspring.components.monitoring import policy
from mainspring.components.monitoring.journal import windows
from mainspring.components.monitoring.judging import labels, quality
from mainspring.components.monitoring.judging.asked import Asked
from mainspring.components.monitoring.judging.findings import Finding, SliceQuality, WindowQuality, plain
from mainspring.components.monitoring.judging.quality import Baseline
from mainspring.components.monitoring.judging.served_model import ServedModel

THIS = "this"


def judge(
    model: ServedModel, asked: Asked, scratch: Path, earlier: Sequence[dict[str, Any]], journal_folder: Path
) -> tuple[list[Finding], dict[str, Any]]:
    """Returns findings on the newest window with enough labels, and this window's quality if it is that one.

    Earlier windows' findings in the journal get the quality that their labels now give.
    """
    assert asked.labels is not None
    version, kept = model.version.version, asked.policy.label_windows
    same = [window for window in earlier if window.get("version") == version]
    files = {window["key"]: windows.served_of(journal_folder, window["key"]) for window in same[-kept:] if kept}
    files = {key: path for key, path in files.items() if path.is_file()} | {THIS: scratch / "served.parquet"}
    sliced_by = quality.sliced_by(model.evaluation, model.manifest, asked.policy)
    name, _ = quality.metric_of(model.manifest, asked.policy)
    findings: list[Finding] = []
    measured: dict[str, WindowQuality] = {}
    labels.check_key(asked.labels, list(model.manifest.features))
    columns = quality.columns(asked.labels, model.manifest, asked.policy, sliced_by)
    has_own_sql = bool(asked.policy.business.sql or asked.labels.query)
    with labels.loaded(asked.labels, files, columns, has_own_sql, scratch) as connection:
        contradicting = labels.prepare(connection, asked.labels)
        if contradicting:
            sentence = f"{contradicting:,} keys have labels that contradict each other; they are left out"
            findings.append(Finding(policy.QUALITY, "labels", False, sentence))
        for key in files:
            baseline = _baseline(model, asked, name, same, measured)
            arguments = (asked.labels, key, model.manifest, asked.policy, baseline, sliced_by)
            found = quality.of_window(connection, *arguments)
            if found is not None:
                measured[key] = found
    for window in same:
        if window["key"] in measured:
            window["quality"] = plain(measured[window["key"]])
            windows.rewrite_findings(journal_folder, window["key"], window)
    if not measured:
        sentence = (
            f"fewer than {asked.policy.limits.min_labelled:,} labelled rows in this window and those before: "
            "quality is not judged"
        )
        findings.append(Finding(policy.QUALITY, "labels", False, sentence))
        return findings, {"quality": None, "quality_window": None}
    newest = list(measured)[-1]
    where = "this window" if newest == THIS else f"the window {newest}"
    findings += [
        Finding(kind, about, True, told) for kind, about, told in quality.alarms(measured[newest], asked.policy, where)
    ]
    return findings, {"quality": measured.get(THIS), "quality_window": None if newest == THIS else newest}


def _baseline(
    model: ServedModel,
    asked: Asked,
    metric: str,
    same: Sequence[Mapping[str, Any]],
    measured: Mapping[str, WindowQuality],
) -> Baseline:
    if asked.policy.quality.baseline == policy.EVALUATION:
        return quality.promised(model.evaluation, metric)
    judged = [window["quality"] for window in same if window.get("quality") and window["key"] not in measured]
    known = next((found for found in judged if found["metric"] == metric), None)
    if known is not None:
        return quality.first_window(_read(known))
    first = next(iter(measured.values()), None)
    return quality.first_window(first) if first is not None else Baseline(float("nan"))


def _read(content: Mapping[str, Any]) -> WindowQuality:
    def read_slice(one: Mapping[str, Any]) -> SliceQuality:
        numbers = {name: float("nan") if one[name] is None else one[name] for name in ("live", "error", "baseline")}
        return SliceQuality(dict(one["slice"]), one["rows"], **numbers, alarm=one["alarm"])

    slices = [read_slice(one) for one in content["slices"]]
    overall = read_slice(content["overall"])
    return WindowQuality(content["metric"], content["labelled"], content["rows"], overall, slices, content["business"])
