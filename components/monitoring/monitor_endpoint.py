"""Judges a window of an endpoint's live traffic: volume, errors, skew, drift, predictions, quality once labels come."""

from __future__ import annotations

import datetime
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mainspring.components.common import buckets, found_files, manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.monitoring import policy as policies
from mainspring.components.monitoring.judging.asked import Asked
from mainspring.components.monitoring.judging.findings import judged, plain

if TYPE_CHECKING:
    from mainspring.components.monitoring.judging.served_model import ServedModel
    from mainspring.components.monitoring.logs.record_faults import Faults
    from mainspring.components.monitoring.logs.traffic import Volume

FINDINGS_FILE = "monitoring.json"
HOUR = 3600.0


class Monitored(NamedTuple):
    """The verdict."""

    healthy: bool
    """True only if everything was judged and nothing is an alarm."""
    reasons: str
    """What is wrong, a sentence a line; empty if healthy."""
    requests: int
    window: str
    """The window's key in the journal."""


def preload() -> None:
    """Imports TFDV while earlier stages work; the engine calls this in a waiting interpreter."""
    import mainspring.components.monitoring.judging.distances  # noqa: F401


def monitor_endpoint(
    logs: str,
    version_uri: str,
    monitoring: str,
    report: str,
    hours: float = 0.0,
    as_of: str = "",
    journal: str = "",
    policy: str = "",
    labels: str = "",
    labels_query: str = "",
    label_key: Sequence[str] = ("id", "row"),
    target: str = "",
) -> Monitored:
    """Judges a window of payload logs against the published version that is served.

    Args:
        logs: Folder, file or pattern of KServe's records.
        version_uri: The published version.
        monitoring: Folder to write: `monitoring.json` and, with enough rows, `FeatureStats.pb`.
        report: HTML file to write.
        hours: How long the window is; 0: every record in the logs.
        as_of: When the window ends (ISO 8601; UTC unless it says otherwise); empty: now.
        journal: Folder of what is kept between windows; empty: `journal_folder.beside`, else the local root's.
        policy: YAML, or the path of a .yaml file.
        labels: Files of labels; empty: quality is not judged.
        labels_query: SQL over the table `source` that gives the key columns and `label`.
        label_key: Columns by which labels are joined.
        target: The endpoint, such as `kserve://team/flights`: records of another namespace are foreign. Empty: records
            of several namespaces are not judged.

    Raises:
        UserError: Logs, labels, version or policy cannot be used.
    """
    started = time.monotonic()
    asked = _asked(logs, version_uri, hours, as_of, policy, labels, labels_query, label_key, target)
    from mainspring.components.monitoring import monitoring_report
    from mainspring.components.monitoring.journal import journal_folder
    from mainspring.components.monitoring.journal import windows as journals
    from mainspring.components.monitoring.judging import distances, served_model

    journal = journal or journal_folder.beside(version_uri)
    model = served_model.read(asked.folder)
    distances.judgeable(model.schema, asked.policy.thresholds)
    with (
        journal_folder.opened(journal, model.version.name) as kept,
        tempfile.TemporaryDirectory(prefix="mainspring-window-") as temporary,
    ):
        scratch, earlier = Path(temporary), journals.earlier_windows(kept, asked.key)
        told, statistics = _judged(asked, model, scratch, earlier, kept)
        content = plain(told | {"journal": journal, "seconds": round(time.monotonic() - started, 3)})
        journals.write_window(kept, asked.key, content, statistics, scratch / "served.parquet")
        done = [window["key"] for window in earlier][: -asked.policy.label_windows or None]
        journals.forget_predictions(kept, done)
        earlier = journals.earlier_windows(kept, asked.key)
    with storage.publishing_directory(Path(monitoring)) as aside:
        storage.write_json(aside / FINDINGS_FILE, content)
        if statistics is not None:
            (aside / manifests.STATISTICS_FILE).write_bytes(statistics.SerializeToString())
    storage.write_atomically(Path(report), monitoring_report.page(content, earlier))
    for sentence in content["reasons"] or ["nothing is wrong"]:
        print(sentence, flush=True)
    requests = int(content["volume"]["requests"])
    return Monitored(not content["reasons"], "\n".join(content["reasons"]), requests, asked.key)


def _judged(
    asked: Asked, model: ServedModel, scratch: Path, earlier: Sequence[dict[str, Any]], kept: Path
) -> tuple[dict[str, Any], Any]:
    """Returns what was found, and the statistics of the served rows if there were enough."""
    from mainspring.components.monitoring.judging import window_estimate, window_features, window_quality, window_volume

    volume, counted, outside = gather(asked, model, scratch)
    findings = window_volume.judge(volume, counted, outside, asked.policy, earlier)
    told: dict[str, Any] = {
        "key": asked.key,
        "as_of": datetime.datetime.fromtimestamp(asked.until, datetime.timezone.utc).isoformat(timespec="seconds"),
        "name": model.version.name,
        "version": model.version.version,
        "version_created": model.version.created,
        "volume": volume,
        "records_outside": outside,
        "records": window_volume.accounts(volume, counted, outside),
        "faults": dict(counted.counts),
        "fault_samples": counted.samples,
    }
    statistics = None
    is_known_ours = not any(finding.about == window_volume.NAMESPACES for finding in findings)
    if volume.requests >= max(asked.policy.limits.min_requests, 1) and is_known_ours:
        found, features, statistics = window_features.judge(model, asked, scratch, earlier, kept)
        findings += found
        told |= features
    if asked.labels is not None and is_known_ours:
        found, quality = window_quality.judge(model, asked, scratch, earlier, kept)
        findings += found
        told |= quality
    if statistics is not None:
        found, estimated = window_estimate.judge(model, asked, scratch, earlier, told)
        findings += found
        told |= estimated
    return told | {"findings": findings, "healthy": not judged(findings), "reasons": judged(findings)}, statistics


def gather(asked: Asked, model: ServedModel, scratch: Path) -> tuple[Volume, Faults, int]:
    """Reads the window's records into a folder and pairs them.

    Returns:
        The volume, what was wrong with records, and how many lie outside the window.
    """
    from mainspring.components.monitoring.logs import gathering, log_files, records, traffic
    from mainspring.components.monitoring.logs.record_faults import Faults

    counted = Faults()
    gatherer = gathering.Gatherer(scratch, model.served, asked.window, counted)
    files = log_files.find(asked.logs, asked.window.since)
    reading = records.Reading(counted, model.version.name, asked.namespace)
    counted.files = len(files)
    told = time.monotonic()
    for number, file in enumerate(files, 1):
        with found_files.local(file) as path:
            for batch in records.read(path, file.uri, file.modified, reading):
                gatherer.add(batch)
        if time.monotonic() - told > 5:
            told = time.monotonic()
            print(f"{number:,} of {len(files):,} log files read", flush=True)
    gatherer.close()
    with traffic.database(scratch) as connection:
        version = str(model.version.version)
        volume = traffic.pair(connection, scratch, model.served, version, asked.window, counted)
    print(
        f"{volume.requests:,} requests in {len(files):,} files, {volume.failed:,} without a usable answer", flush=True
    )
    return volume, counted, gatherer.outside


def _asked(
    logs: str,
    version_uri: str,
    hours: float,
    as_of: str,
    policy: str,
    labels: str,
    labels_query: str,
    label_key: Sequence[str],
    target: str,
) -> Asked:
    parsed = policies.parse(policy)
    if not version_uri:
        raise UserError("version_uri: nothing is served yet, so there is nothing to monitor; deploy a version first")
    if not math.isfinite(hours) or hours < 0:
        raise UserError(f"hours={hours}: expected a number of 0 or more")
    until = instant(as_of)
    from mainspring.components.monitoring.journal import windows as journals
    from mainspring.components.monitoring.judging.labels import LabelSource
    from mainspring.components.monitoring.logs.gathering import Window

    # Without a length, the logs themselves are the window, whatever their records' times.
    window = Window(until - hours * HOUR, until) if hours else Window(-math.inf, math.inf)
    if labels and not label_key:
        raise UserError("label_key: name the columns by which labels are joined")
    here = str(buckets.local_copy(labels)) if buckets.is_bucket(labels) else labels
    source = LabelSource(here, labels_query, tuple(label_key)) if labels else None
    folder = buckets.local_copy(version_uri)
    return Asked(logs, folder, parsed, window, until, journals.key_of(until), source, namespace_of(target))


def namespace_of(target: str) -> str:
    """Returns a target's namespace; empty for a local one, or where none is given.

    Raises:
        UserError: It is no target.
    """
    if not target or target.startswith("local://"):
        return ""
    kind, _, rest = target.partition("://")
    namespace, _, name = rest.partition("/")
    if kind != "kserve" or not namespace or not name:
        raise UserError(f"target={target!r}: expected kserve://<namespace>/<name> or local://<name>")
    return namespace


def instant(text: str) -> float:
    """Returns a time in seconds since the epoch; now for an empty one.

    Raises:
        UserError: It is no time.
    """
    if not text:
        return time.time()
    try:
        parsed = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise UserError(f"as_of={text!r}: expected a time such as 2026-12-31 or 2026-12-31T06:00:00Z") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.timezone.utc)).timestamp()
