"""The page that shows what was judged, and what the data looks like beside its baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from tensorflow_metadata.proto.v0 import statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from mainspring.components.common import report
from mainspring.components.validation import kinds, words
from mainspring.components.validation.checks import Finding, Judgement, Scope
from mainspring.components.validation.schemas import UsedSchema
from mainspring.components.validation.span_statistics import by_name, common, missing_share, value_counts

VALUES_DRAWN = 8
"""The most frequent values of a string column that are drawn."""

PICTURE_WIDTH = 460

COLUMNS = ("Column", "Missing in train", "in eval", "in the baseline", "Values", "Drift", "Allowed")


def page(
    scopes: Sequence[Scope],
    schema: UsedSchema,
    judgement: Judgement,
    baseline: DatasetFeatureStatisticsList | None,
    baseline_uri: str,
) -> str:
    """Returns the HTML page."""
    reasons = judgement.reasons()
    verdict = "The examples are valid." if not reasons else f"Refused: {words.count(len(reasons), 'reason')}."
    sources = {"given": "given", "baseline": "taken over from the baseline", "inferred": "inferred from train"}
    facts: dict[str, report.Cell] = {f"Rows of {scope.words}": scope.rows for scope in scopes}
    facts |= {"Schema": sources[schema.source], "Baseline": baseline_uri or "none: drift was not judged"}
    sections: list[tuple[str, Markup | str]] = _findings(judgement)
    sections += [
        ("What was judged", report.key_values(facts)),
        ("Checks", report.table(["Check", "Passed"], list(judgement.made.items()))),
        ("Columns", _columns(scopes, judgement, baseline)),
    ]
    sections += _pictures(scopes, judgement, baseline)
    return report.page("Validation of the examples", (not reasons, verdict), sections)


def _findings(judgement: Judgement) -> list[tuple[str, Markup | str]]:
    """Returns a section per severity, with the rows that show each anomaly."""
    sections: list[tuple[str, Markup | str]] = []
    for severity, heading in ((kinds.ERROR, "Reasons"), (kinds.WARNING, "Warnings"), (kinds.IGNORE, "Passed over")):
        items = [_finding(finding) for finding in judgement.of_severity(severity)]
        if items:
            sections.append((heading, report.listing(items)))
    return sections


def _finding(finding: Finding) -> Markup:
    note = f": {finding.note}" if finding.note and not finding.error else ""
    text = Markup("{}{}").format(finding.sentence, note)
    if not finding.rows:
        return text
    columns = list(dict.fromkeys(name for row in finding.rows for name in row["values"]))
    rows = [
        [f"{row['file']}, row {row['row']:,}", *(_value(row["values"].get(name)) for name in columns)]
        for row in finding.rows
    ]
    return text + report.table(["Such as", *columns], rows)


def _value(value: Any) -> str:
    return "—" if value is None else str(value)


def _columns(scopes: Sequence[Scope], judgement: Judgement, baseline: DatasetFeatureStatisticsList | None) -> Markup:
    named = {scope.name: by_name(scope.statistics) for scope in scopes}
    before = by_name(baseline) if baseline else {}
    drifts = {found.feature: found for found in judgement.drifts}
    rows: list[list[report.Cell]] = []
    for name in dict.fromkeys([*named["train"], *before]):
        found = drifts.get(name)
        rows.append(
            [
                name,
                *(_missing(features.get(name)) for features in (named["train"], named["eval"], before)),
                _summary(named["train"].get(name)),
                found.value if found else None,
                found.threshold if found else None,
            ]
        )
    return report.table(COLUMNS, rows)


def _pictures(
    scopes: Sequence[Scope], judgement: Judgement, baseline: DatasetFeatureStatisticsList | None
) -> list[tuple[str, Markup | str]]:
    """Returns a picture per column, those with findings first."""
    series = {"baseline": by_name(baseline)} if baseline else {}
    series |= {scope.words: by_name(scope.statistics) for scope in scopes if scope.name != "eval"}
    train = by_name(next(scope for scope in scopes if scope.name == "train").statistics)
    refused = {finding.feature for finding in judgement.findings}
    names = sorted(train, key=lambda name: name not in refused)
    pictures: list[tuple[str, Markup | str]] = []
    for name in names:
        features = {title: found[name] for title, found in series.items() if name in found}
        same = {
            title: one for title, one in features.items() if one.WhichOneof("stats") == train[name].WhichOneof("stats")
        }
        drawn = _bars(same) if train[name].HasField("string_stats") else _histograms(same)
        pictures.append((name, drawn))
    return pictures


def _bars(features: Mapping[str, Any]) -> Markup:
    """Draws the share of the most frequent values."""
    counts = {title: value_counts(feature) for title, feature in features.items()}
    totals: dict[str, float] = {}
    for found in counts.values():
        for value, rows in found.items():
            totals[value] = totals.get(value, 0.0) + rows / sum(found.values())
    values = sorted(totals, key=lambda value: -totals[value])[:VALUES_DRAWN]
    if not values:
        return Markup("<p>No values.</p>")
    shares = {
        title: [round(100 * found.get(value, 0.0) / (sum(found.values()) or 1), 2) for value in values]
        for title, found in counts.items()
    }
    return report.bar_chart([value or "(empty)" for value in values], shares, width=PICTURE_WIDTH, unit=" %")


def _histograms(features: Mapping[str, Any]) -> Markup:
    """Draws equal-width histograms as steps: per cent of the rows per bucket."""
    steps = {}
    for title, feature in features.items():
        buckets = _buckets(feature.num_stats)
        total = sum(bucket.sample_count for bucket in buckets) or 1
        shares = [(bucket, 100 * bucket.sample_count / total) for bucket in buckets]
        steps[title] = [
            point for bucket, share in shares for point in ((bucket.low_value, share), (bucket.high_value, share))
        ]
    return report.line_chart(steps, width=PICTURE_WIDTH, height=180, y_label="% of rows")


def _buckets(numbers: Any) -> Sequence[Any]:
    standard = statistics_pb2.Histogram.STANDARD
    return next((histogram.buckets for histogram in numbers.histograms if histogram.type == standard), ())


def _missing(feature: Any) -> str:
    return "no such column" if feature is None else words.percent(missing_share(feature))


def _summary(feature: Any) -> str:
    if feature is None or not common(feature).num_non_missing:
        return ""
    if feature.HasField("string_stats"):
        top = ", ".join(list(value_counts(feature))[:3])
        return f"{words.count(feature.string_stats.unique, 'value')}: {top}"
    numbers = feature.num_stats
    return f"{numbers.min:,.4g} to {numbers.max:,.4g}, median {numbers.median:,.4g}"
