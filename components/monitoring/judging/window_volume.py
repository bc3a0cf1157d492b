"""A window's traffic: how much there was, what became of it, and what was wrong with its records."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from mainspring.components.monitoring import policy
from mainspring.components.monitoring.judging.findings import Finding, plain
from mainspring.components.monitoring.logs import record_faults
from mainspring.components.monitoring.logs.record_faults import Faults
from mainspring.components.monitoring.logs.traffic import Volume
from mainspring.components.monitoring.policy import Policy

NAMESPACES = "namespaces"
"""What a finding is about where nothing says which of several namespaces' records are the endpoint's."""


def judge(
    volume: Volume, counted: Faults, outside: int, asked: Policy, earlier: Sequence[Mapping[str, Any]]
) -> list[Finding]:
    """Returns findings on the amount of traffic, errors and records.

    Args:
        volume: What there was.
        counted: What was wrong with it.
        outside: Records of another time.
        asked: Limits.
        earlier: Findings of the windows before, oldest first.
    """
    findings = [*_amount(volume, counted, outside, asked), *_errors(volume, asked), *_unusable(volume, counted, asked)]
    given = counted.records - outside
    for kind in sorted(counted.counts.keys() - {record_faults.UNUSABLE}):
        findings.append(_fault(kind, volume, counted, given, asked.limits.max_bad_record_share))
    if len(counted.namespaces) > 1:
        told = ", ".join(f"{name} ({count:,})" for name, count in counted.namespaces.most_common(3))
        sentence = (
            f"records of {len(counted.namespaces)} namespaces, {told}: which of them are this endpoint's is not said, "
            "and none are judged; give target=kserve://<namespace>/<name>"
        )
        findings.append(Finding(policy.RECORDS, NAMESPACES, True, sentence))
    return [*findings, *_rate(volume, asked, earlier)]


def accounts(volume: Volume, counted: Faults, outside: int) -> dict[str, int]:
    """Returns what became of the records: `given` is the sum of the others."""
    return {
        "given": counted.records,
        "outside": outside,
        "set_aside": sum(counted.counts[kind] for kind in record_faults.SET_ASIDE),
        "requests": volume.requests,
        "responses": volume.responses,
        "repeated": volume.repeated,
    }


def _amount(volume: Volume, counted: Faults, outside: int, asked: Policy) -> list[Finding]:
    needed = asked.limits.min_requests
    if volume.requests >= max(needed, 1):
        return []
    given = counted.records - outside
    unreadable = counted.counts[record_faults.UNREADABLE_FILE]
    if needed == 0 and not given and not unreadable:
        return [Finding(policy.TRAFFIC, "", False, "no requests: a quiet window, as min_requests: 0 allows")]
    told = f"; {max(needed, 1):,} are needed to judge"
    if not counted.records:
        told += f"; the logs hold no record{f', and {unreadable:,} unreadable files' if unreadable else ''}"
    elif not given:
        told += f"; all {outside:,} records are of another time"
    elif not volume.requests:
        told += f"; of {given:,} records none is a request to this endpoint"
    return [Finding(policy.TRAFFIC, "", True, f"only {volume.requests:,} requests{told}")]


def _errors(volume: Volume, asked: Policy) -> list[Finding]:
    if not volume.requests:
        return []
    share, limit = volume.failed / volume.requests, asked.limits.max_error_share
    parts = {
        "without a logged answer": volume.unanswered,
        "answered with an error": volume.errors,
        "with an answer that cannot be read": volume.unreadable,
    }
    told = ", ".join(f"{count:,} {words}" for words, count in parts.items() if count)
    sentence = (
        f"{share:.2%} of {volume.requests:,} requests have no logged answer of status 200 that can be used"
        f"{f' ({told})' if told else ''}; {limit:.2%} are allowed"
    )
    return [Finding(policy.ERRORS, "", share > limit, sentence, share, limit)]


def _unusable(volume: Volume, counted: Faults, asked: Policy) -> list[Finding]:
    if not volume.unusable:
        return []
    share, limit = volume.unusable / volume.predicted, asked.limits.max_unusable_share
    sentence = (
        f"{volume.unusable:,} of {volume.predicted:,} predictions are null, absent or no number ({share:.2%}; "
        f"{limit:.2%} are allowed), such as: {counted.samples[record_faults.UNUSABLE][0]}"
    )
    return [Finding(policy.UNUSABLE, "", share > limit, sentence, share, limit)]


def _fault(kind: str, volume: Volume, counted: Faults, given: int, limit: float) -> Finding:
    count = counted.counts[kind]
    part, whole, name = count, given, "records"
    if kind in record_faults.OF_FILES:
        whole, name = counted.files, "files"
    elif kind in record_faults.OF_REQUESTS:
        whole, name = volume.requests, "requests"
    elif kind == record_faults.MISTYPED:
        feature, part = counted.by_feature.most_common(1)[0]
        whole, name = volume.rows, f"rows, of {feature}"
    elif kind in record_faults.OF_ROWS:
        whole, name = volume.rows, "rows"
    share = part / max(whole, part, 1)
    sentence = (
        f"{count:,} {kind} ({share:.2%} of {whole:,} {name}; {limit:.2%} are allowed), such as: "
        f"{counted.samples[kind][0]}"
    )
    return Finding(policy.RECORDS, kind, share > limit, sentence, share, limit)


def _rate(volume: Volume, asked: Policy, earlier: Sequence[Mapping[str, Any]]) -> list[Finding]:
    rates = [rate for window in earlier if (rate := _requests_a_second(window.get("volume") or {}))]
    rate = _requests_a_second(plain(volume))
    if not rates or not rate:
        return []
    usual, limit = statistics.median(rates), asked.limits.max_volume_factor
    factor = max(rate / usual, usual / rate)
    sentence = f"{rate:.3g} requests a second, where earlier windows had {usual:.3g}"
    return [Finding(policy.VOLUME, "", factor > limit, sentence, factor, limit)]


def _requests_a_second(volume: Mapping[str, Any]) -> float:
    seconds = (volume.get("last") or 0) - (volume.get("first") or 0)
    return float(volume.get("requests") or 0) / seconds if seconds > 0 else 0.0
