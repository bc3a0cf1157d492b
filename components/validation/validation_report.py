"""The page that shows what was judged, and what the data looks like beside its baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from tensorflow_metadata.proto.v0 import statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList, FeatureNameStatistics

from mainspring.components.common import report
from mainspring.components.statistics import drift
from mainspring.components.statistics.drift import Drift
from mainspring.components.statistics.span_statistics import by_name, common, missing_share, value_counts
from mainspring.components.validation import samples, words
from mainspring.components.validation.judgement import Finding, Judgement, Scope
from mainspring.components.validation.policy import anomaly_kinds
from mainspring.components.validation.schemas import UsedSchema

VALUES_DRAWN = 8
"""The most frequent values of a string column that are drawn."""

BUCKETS_DRAWN = 20
"""TFDV's histograms have ten buckets between the least and the largest number of each dataset. Whole numbers that are
no more than these have a step each."""

ROUNDING = 1e-6
"""By which an edge that should be a whole number may miss it."""

PICTURE_WIDTH = 440

COLUMNS_DRAWN = 300
"""No more columns than these have a picture, those with findings first: a browser takes seconds to open thousands."""

LISTED = 200
"""No more findings of one severity than these are written out; `validation.json` has all."""

LISTED_WITH_ROWS = 20
"""No more findings of one severity than these come with the rows that show them: the pictures stand below."""


BASELINE_IS = (
    "The baseline is the data of the model that is served: the newest span that it was trained on. Drift is how far "
    "the newest span here is from it, skew how far it is from what is served; 0 is no difference and 1 the largest."
)

COLUMNS = ("Column", "Missing in train", "in eval", "in the baseline", "Values", "Drift", "Allowed")


class Bucket(NamedTuple):
    """A part of a histogram, as TFDV's own buckets are."""

    low_value: float
    high_value: float
    sample_count: float


@dataclass(frozen=True)
class Told:
    """What the page tells of."""

    schema: UsedSchema
    judgement: Judgement
    baseline: DatasetFeatureStatisticsList | None
    baseline_uri: str
    moments: Collection[str] = ()
    """Columns of dates or times, as seconds since 1970."""
    version: str = ""
    """The published version that the baseline is, in words; empty if it is none."""


def page(scopes: Sequence[Scope], told: Told) -> str:
    """Returns the HTML page."""
    judgement, schema, baseline = told.judgement, told.schema, told.baseline
    reasons = judgement.reasons()
    verdict = "The examples are valid." if not reasons else f"Refused: {words.count(len(reasons), 'reason')}."
    sources = {"given": "given", "baseline": "taken over from the baseline", "inferred": "inferred from train"}
    facts: dict[str, report.Cell] = {f"Rows of {scope.words}": scope.rows for scope in scopes}
    named = f"{told.version} ({told.baseline_uri})" if told.version else told.baseline_uri
    facts |= {"Schema": sources[schema.source], "Baseline": named or "none: drift was not judged"}
    sections: list[tuple[str, Markup | str]] = _findings(judgement, told.moments)
    sections += [
        ("What was judged", report.key_values(facts) + Markup("<p>{}</p>").format(BASELINE_IS)),
        ("Distributions", _cards(scopes, judgement, baseline, told.moments)),
    ]
    if judgement.left_out:
        rows = [[name, why] for name, why in judgement.left_out.items()]
        overrule = Markup("<p>{}</p>").format("The policy's drift: {judge: [COLUMN]} has one of them judged.")
        sections.append(("Left out of drift", report.table(["Column", "Why"], rows) + overrule))
    sections += [
        ("Checks", report.table(["Check", "Passed"], list(judgement.made.items()))),
        ("Columns", _columns(scopes, judgement, baseline, told.moments)),
    ]
    return report.page("Validation of the examples", (not reasons, verdict), sections)


def _findings(judgement: Judgement, moments: Collection[str]) -> list[tuple[str, Markup | str]]:
    """Returns a section per severity, with the rows that show each anomaly."""
    sections: list[tuple[str, Markup | str]] = []
    together = judgement.all_accepted()
    for severity, heading in (
        (anomaly_kinds.ERROR, "Reasons"),
        (anomaly_kinds.WARNING, "Warnings"),
        (anomaly_kinds.IGNORE, "Passed over"),
    ):
        found = judgement.of_severity(severity)
        items = [_finding(one, moments, with_rows=place < LISTED_WITH_ROWS) for place, one in enumerate(found[:LISTED])]
        if len(found) > LISTED:
            items.append(Markup("and {} more, in validation.json").format(f"{len(found) - LISTED:,}"))
        if items:
            body = report.listing(items)
            if together and severity == anomaly_kinds.ERROR:
                body += Markup("<p>To accept all of it at once: <code>{}</code></p>").format(together)
            sections.append((heading, body))
    return sections


def _finding(finding: Finding, moments: Collection[str], *, with_rows: bool) -> Markup:
    note = f": {finding.note}" if finding.note and not finding.error else ""
    text = Markup("{}{} <code>{}</code>").format(finding.sentence, note, finding.kind)
    if finding.error:
        text += _cure(finding)
    if not finding.rows or not with_rows:
        return text
    columns = list(dict.fromkeys(name for row in finding.rows for name in row["values"]))
    rows = [
        [f"{row['file']}, row {row['row']:,}", *(_value(row["values"].get(name), name in moments) for name in columns)]
        for row in finding.rows
    ]
    return text + report.table(["Such as", *columns], rows)


def _cure(finding: Finding) -> Markup:
    """Returns what can be done about an error: the parameter, the policy's line, and what follows from it."""
    if not finding.policy:
        return Markup('<p class="legend">No policy passes what nobody could judge.</p>')
    lines = [Markup("Meant to be so? Run with <code>{}</code>.").format(finding.accept)] if finding.accept else []
    lines.append(Markup("To pass it for a while, policy <code>{}</code>;").format(finding.policy))
    lines.append(Markup("then {}.").format(finding.consequence))
    return Markup('<p class="legend">{}</p>').format(Markup(" ").join(lines))


def _value(value: Any, moment: bool = False) -> str:
    if moment and isinstance(value, int | float):
        return words.moment(value)
    return "—" if value is None else str(value)


def _columns(
    scopes: Sequence[Scope],
    judgement: Judgement,
    baseline: DatasetFeatureStatisticsList | None,
    moments: Collection[str],
) -> Markup:
    named = {scope.name: by_name(scope.statistics) for scope in scopes}
    before = by_name(baseline) if baseline else {}
    drifts = drift.worst(judgement.drifts)
    rows: list[list[report.Cell]] = []
    for name in dict.fromkeys([*named["train"], *before]):
        found = drifts.get(name)
        rows.append(
            [
                name,
                *(_missing(features.get(name)) for features in (named["train"], named["eval"], before)),
                _summary(named["train"].get(name), name in moments),
                found.value if found else None,
                found.threshold if found else None,
            ]
        )
    return report.table(COLUMNS, rows)


def _cards(
    scopes: Sequence[Scope],
    judgement: Judgement,
    baseline: DatasetFeatureStatisticsList | None,
    moments: Collection[str],
) -> Markup:
    """Returns a card per column, those with findings first: what was found, missing shares, the distributions."""
    series = {"baseline": by_name(baseline)} if baseline else {}
    series |= {scope.words: by_name(scope.statistics) for scope in scopes if scope.rows}
    train = by_name(next(scope for scope in scopes if scope.name == "train").statistics)
    found: dict[str, list[Finding]] = {}
    for finding in judgement.findings:
        found.setdefault(finding.feature, []).append(finding)
    ranks = {anomaly_kinds.ERROR: 0, anomaly_kinds.WARNING: 1, anomaly_kinds.IGNORE: 2}
    names = sorted(train, key=lambda name: min([ranks[one.severity] for one in found.get(name, ())], default=3))
    distances: dict[str, list[Markup]] = {}
    for what, measured in (("drift", judgement.drifts), ("skew", judgement.skews)):
        for one in measured:
            distances.setdefault(one.feature, []).append(_distance(what, one))
    cards = [
        _card(name, found.get(name, []), distances.get(name, []), series, name in moments)
        for name in names[:COLUMNS_DRAWN]
    ]
    more = len(names) - len(cards)
    note = f"{words.count(more, 'further column')} without a picture: see Columns." if more else ""
    return Markup('<div class="grid">{}</div>{}').format(Markup("").join(cards), Markup("<p>{}</p>").format(note))


def _card(
    name: str,
    findings: Sequence[Finding],
    distances: Sequence[Markup],
    series: Mapping[str, Mapping[str, Any]],
    moment: bool,
) -> Markup:
    features = {title: found[name] for title, found in series.items() if name in found}
    kind = next(reversed(features.values())).WhichOneof("stats") if features else None
    same = {title: one for title, one in features.items() if one.WhichOneof("stats") == kind}
    refused = [value for finding in findings for value in finding.values]
    drawn = _bars(same, refused) if kind == "string_stats" else _histograms(same, moment)
    marks = [*(_mark(finding) for finding in findings), *distances]
    return Markup('<article class="card" id="{}"><h3>{}</h3><p class="legend">{}</p>{}{}</article>').format(
        f"feature-{name}", name, _missing_in(features), Markup("").join(marks), drawn
    )


def _missing_in(features: Mapping[str, Any]) -> str:
    shares = {title: missing_share(feature) for title, feature in features.items()}
    if not any(shares.values()):
        return "Nothing is missing." if shares else "There are no rows."
    return "Missing: " + ", ".join(f"{words.percent(share)} in {title}" for title, share in shares.items())


def _mark(finding: Finding) -> Markup:
    signs = {
        anomaly_kinds.ERROR: ("no", "✗"),
        anomaly_kinds.WARNING: ("warning", "!"),
        anomaly_kinds.IGNORE: ("yes", "passed over:"),
    }
    style, sign = signs[finding.severity]
    return Markup('<p class="{}">{} {}</p>').format(style, sign, finding.kind.replace("_", " "))


def _distance(what: str, found: Drift) -> Markup:
    over = found.value > found.threshold
    text = f"{what} {found.value:.3f} of {found.threshold:.3f} allowed"
    return Markup('<p class="{}">{}</p>').format("no" if over else "legend", text)


def _bars(features: Mapping[str, Any], refused: Sequence[str] = ()) -> Markup:
    """Draws the share of the most frequent values, those that findings are about first."""
    counts = {title: value_counts(feature) for title, feature in features.items()}
    totals: dict[str, float] = {}
    for found in counts.values():
        for value, rows in found.items():
            totals[value] = totals.get(value, 0.0) + rows / sum(found.values())
    frequent = sorted(totals, key=lambda value: -totals[value])
    values = list(dict.fromkeys([*refused, *frequent]))[: max(VALUES_DRAWN, len(refused))]
    if not values:
        return Markup("<p>No values.</p>")
    shares = {
        title: [round(100 * found.get(value, 0.0) / (sum(found.values()) or 1), 2) for value in values]
        for title, found in counts.items()
    }
    names = [f"{samples.clipped(value) or '(empty)'}{' ✗' if value in refused else ''}" for value in values]
    return report.bar_chart(names, shares, width=PICTURE_WIDTH, unit=" %")


def _histograms(features: Mapping[str, Any], moment: bool = False) -> Markup:
    """Draws the numbers as steps: per cent of the rows in each of some buckets that all series share."""
    buckets = {title: _buckets(feature.num_stats) for title, feature in features.items()}
    bounds = [bound for found in buckets.values() for one in found for bound in (one.low_value, one.high_value)]
    bounds = [bound for bound in bounds if math.isfinite(bound)]
    if not bounds:
        return report.line_chart({}, width=PICTURE_WIDTH, height=180)
    low, high = min(bounds), max(bounds)
    if low == high:
        value = words.moment(low) if moment else words.number(low)
        return report.bar_chart([value], {title: [100.0] for title in features}, width=PICTURE_WIDTH, unit=" %")
    if high - low < BUCKETS_DRAWN and all(feature.type == FeatureNameStatistics.INT for feature in features.values()):
        buckets = {title: _whole_numbers(found) for title, found in buckets.items()}
        edges = np.arange(low - 0.5, high + 1)
    else:
        edges = np.linspace(low, high, BUCKETS_DRAWN + 1)
    if not np.all(np.diff(edges) > 0) or not np.isfinite(edges).all():
        # Neighbours that doubles cannot tell apart, or further apart than the largest double.
        between = f"{report.number_text(low)} to {report.number_text(high)}"
        return report.bar_chart([between], {title: [100.0] for title in features}, width=PICTURE_WIDTH, unit=" %")
    steps = {title: _steps(_shares(found, edges), edges) for title, found in buckets.items()}
    return report.line_chart(
        steps,
        width=PICTURE_WIDTH,
        height=180,
        y_label="% of rows",
        from_zero=True,
        x_text=words.day if moment else None,
    )


def _whole_numbers(buckets: Sequence[Any]) -> list[Bucket]:
    """Returns buckets of whole numbers as a bucket a number: TFDV's edges lie between numbers or cut across several.

    TFDV counts a number that is an edge in the bucket below it, and the least number in the first.
    """
    found = []
    for place, bucket in enumerate(buckets):
        low, high = (math.floor(edge + ROUNDING) for edge in (bucket.low_value, bucket.high_value))
        numbers = range(low if place == 0 else low + 1, high + 1)
        found += [Bucket(number, number, bucket.sample_count / len(numbers)) for number in numbers]
    return found


def _shares(buckets: Sequence[Any], edges: np.ndarray) -> np.ndarray:
    """Returns the per cent of the rows between the edges, as if each bucket's rows were spread evenly over it."""
    rows = np.zeros(len(edges) - 1)
    for bucket in buckets:
        low, high = bucket.low_value, bucket.high_value
        if not (math.isfinite(low) and math.isfinite(high)):
            continue
        if low == high:
            rows[min(int(np.searchsorted(edges, low, side="right")) - 1, len(rows) - 1)] += bucket.sample_count
            continue
        overlap = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        rows += bucket.sample_count * np.clip(overlap, 0, None) / (high - low)
    return 100 * rows / (rows.sum() or 1)


def _steps(shares: np.ndarray, edges: np.ndarray) -> list[tuple[float, float]]:
    corners = zip(shares.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [point for share, low, high in corners for point in ((low, share), (high, share))]


def _buckets(numbers: Any) -> Sequence[Any]:
    standard = statistics_pb2.Histogram.STANDARD
    return next((histogram.buckets for histogram in numbers.histograms if histogram.type == standard), ())


def _missing(feature: Any) -> str:
    return "no such column" if feature is None else words.percent(missing_share(feature))


def _summary(feature: Any, moment: bool = False) -> str:
    if feature is None or not common(feature).num_non_missing:
        return ""
    if feature.HasField("string_stats"):
        top = ", ".join(samples.clipped(value) for value in list(value_counts(feature))[:3])
        return f"{words.count(feature.string_stats.unique, 'value')}: {top}"
    numbers = feature.num_stats
    low, high, median = (
        words.moment(value) if moment else report.number_text(value)
        for value in (numbers.min, numbers.max, numbers.median)
    )
    return f"{low} to {high}, median {median}"
