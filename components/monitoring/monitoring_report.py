"""The page on a window: what is wrong, and how traffic, features, predictions and quality went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mainspring.components.common import report
from mainspring.components.monitoring import policy

WINDOWS_DRAWN = 60
FEATURES_DRAWN = 4

Findings = Mapping[str, Any]


def page(found: Findings, earlier: Sequence[Findings]) -> str:
    """Returns the HTML page.

    Args:
        found: This window's findings.
        earlier: Those of the windows before, oldest first.
    """
    reasons = list(found["reasons"])
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    verdict = f"Not healthy: {reasons[0]}{more}" if reasons else "Healthy. Nothing is wrong."
    windows = [*earlier, found][-WINDOWS_DRAWN:]
    notes = [one["sentence"] for one in found["findings"] if not one["alarm"] and one["kind"] in _NOTED]
    sections: list[tuple[str, Markup | str]] = []
    if reasons:
        sections.append(("Reasons", report.listing(reasons)))
        sections.append(("What to do next", report.listing(_next_steps(found))))
    sections += [("The window", report.key_values(_facts(found))), ("Traffic", _traffic(found, windows))]
    if found.get("quality") or any(window.get("quality") for window in windows):
        sections.append(("Quality, once labels came", _quality(found, windows)))
    if found.get("skew"):
        sections.append(("Features", _features(found, windows)))
    if found.get("predictions"):
        sections.append(("Predictions", _predictions(found, earlier)))
    if notes:
        sections.append(("Also noted", report.listing(notes)))
    return report.page(f"Live traffic of {found['name']}", (not reasons, verdict), sections)


_NOTED = (policy.RECORDS, policy.ANOMALY, policy.QUALITY, policy.ESTIMATE)


_ADVICE = {
    policy.TRAFFIC: (
        "See whether requests reach the endpoint and its logger writes where `logs` points; a quiet endpoint "
        "may have `min_requests: 0`."
    ),
    policy.ERRORS: (
        "Look at the endpoint's own logs for the ids and times of the failed requests; a new model mends no errors."
    ),
    policy.RECORDS: (
        "Look at the examples named above in the logs: a client, the logger or another service writes them."
    ),
    policy.VOLUME: ("Ask the clients' owners whether the change of volume is meant."),
    policy.UNUSABLE: (
        "Send the requests of the ids named above to the endpoint again; a version that answers null is one "
        "to roll back (`mainspring rollback`)."
    ),
    policy.SKEW: (
        "Compare the feature's source with that of training, its unit first; where the change is real, train anew."
    ),
    policy.DRIFT: (
        "See what changed in the feature's source since the window before; where the change is real, train anew."
    ),
    policy.PREDICTIONS: ("See which features moved; where labels have come, the quality says whether it matters."),
    policy.QUALITY: ("Where quality fell, train anew; where it was not judged, mend the labels as the reason says."),
    policy.ESTIMATE: ("Get labels for this window: they confirm or refute the estimate."),
    policy.BUSINESS: ("See which rows make the number, by the same SQL over fewer of them."),
}
"""What to do about each kind of alarm."""


def _next_steps(found: Findings) -> list[str]:
    kinds = dict.fromkeys(one["kind"] for one in found["findings"] if one["alarm"])
    return [_ADVICE[kind] for kind in kinds if kind in _ADVICE]


def _facts(found: Findings) -> dict[str, report.Cell]:
    volume = found["volume"]
    requests = volume["requests"]
    return {
        "Ends": found["as_of"],
        "Version": found["version"],
        "Requests": requests,
        "Without a logged answer": f"{volume['unanswered']:,} ({volume['unanswered'] / max(requests, 1):.2%})",
        "Rows asked for": volume["rows"],
        "Rows that another version answered": volume["other_versions"],
        "Records of another time": found["records_outside"],
        **{name.capitalize(): count for name, count in sorted(found["faults"].items())},
    }


def _traffic(found: Findings, windows: Sequence[Findings]) -> Markup:
    steps = found["volume"]["steps"]
    start = steps[0]["start"] if steps else 0.0
    within = {
        "requests": [((step["start"] - start) / 60, step["requests"]) for step in steps],
        "without an answer": [((step["start"] - start) / 60, step["errors"]) for step in steps],
    }
    drawn = _card(
        "Within the window", report.line_chart(within, x_label="minutes since its first request", y_label="requests")
    )
    if len(windows) > 1:
        over = {
            "requests": [(index, window["volume"]["requests"]) for index, window in enumerate(windows, 1)],
            "without an answer": [(index, window["volume"]["unanswered"]) for index, window in enumerate(windows, 1)],
        }
        drawn += _card("Window by window", report.line_chart(over, x_label="window", y_label="requests"))
    return Markup('<div class="grid">{}</div>').format(drawn)


def _quality(found: Findings, windows: Sequence[Findings]) -> Markup:
    points = [(index, window["quality"]) for index, window in enumerate(windows, 1) if window.get("quality")]
    metric = points[-1][1]["metric"]
    lines: dict[str, list[tuple[float, float]]] = {
        "live": [(index, one["overall"]["live"]) for index, one in points if one["overall"]["live"] is not None],
        "baseline": [
            (index, one["overall"]["baseline"]) for index, one in points if one["overall"]["baseline"] is not None
        ],
    }
    drawn = _card(metric, report.line_chart(lines, x_label="window", y_label=metric))
    business = [(index, one["business"]) for index, one in points if one.get("business") is not None]
    if business:
        drawn += _card("Business metric", report.line_chart({"live": business}, x_label="window"))
    newest = found.get("quality") or points[-1][1]
    rows: list[list[report.Cell]] = [
        [
            ", ".join(f"{name} {value or '(missing)'}" for name, value in one["slice"].items()) or "all rows",
            one["rows"],
            one["live"],
            one["baseline"],
            Markup('<span class="no">worse</span>') if one["alarm"] else "",
        ]
        for one in [newest["overall"], *sorted(newest["slices"], key=lambda one: one["live"] or 0.0)]
    ]
    table = report.table(["Rows", "Labelled", f"Live {metric}", "Baseline", ""], rows)
    told = f"{newest['labelled']:,} of {newest['rows']:,} predictions have labels."
    return Markup('<p>{}</p><div class="grid">{}</div>{}').format(told, drawn, table)


def _features(found: Findings, windows: Sequence[Findings]) -> Markup:
    largest = [one["feature"] for one in found["skew"][:FEATURES_DRAWN]]
    over = {
        name: [
            (index, one["value"] / max(one["threshold"], 1e-9))
            for index, window in enumerate(windows, 1)
            for one in window.get("skew") or ()
            if one["feature"] == name
        ]
        for name in largest
    }
    pictures = Markup("")
    if len(windows) > 1:
        label = "skew, as a part of what is allowed"
        pictures = _card("The largest, window by window", report.line_chart(over, x_label="window", y_label=label))
    shares = {"skew": [one["value"] for one in found["skew"]], "allowed": [one["threshold"] for one in found["skew"]]}
    names = [one["feature"] for one in found["skew"]]
    pictures = _card("From training", report.bar_chart(names, shares, width=480)) + pictures
    drifts = {one["feature"]: one for one in found.get("drift") or ()}
    rows: list[list[report.Cell]] = [
        [
            one["feature"],
            one["measure"],
            one["value"],
            one["threshold"],
            _crossed(one),
            drifts[one["feature"]]["value"] if one["feature"] in drifts else None,
            _crossed(drifts.get(one["feature"])),
        ]
        for one in found["skew"]
    ]
    headers = ["Feature", "Measure", "Skew from training", "Allowed", "", "Drift from the window before", ""]
    return Markup('<div class="grid">{}</div>{}').format(pictures, report.table(headers, rows))


def _predictions(found: Findings, earlier: Sequence[Findings]) -> Markup:
    now = found["predictions"]
    same = [window for window in earlier if window["version"] == found["version"] and window.get("predictions")]
    series = {"this window": _steps(now)}
    if same:
        series["the version's first"] = _steps(same[0]["predictions"])
    told = "" if now["divergence"] is None else f" Jensen–Shannon divergence: {now['divergence']:.3f} bits."
    mean = "none" if now["mean"] is None else f"{now['mean']:.4f}"
    chart = report.line_chart(series, x_label="prediction", y_label="% of rows")
    return Markup("<p>Mean {}.{}</p>{}").format(mean, told, chart)


def _steps(counted: Mapping[str, Any]) -> list[tuple[float, float]]:
    total = sum(counted["counts"]) or 1
    corners = zip(counted["counts"], counted["edges"][:-1], counted["edges"][1:], strict=True)
    return [
        point for count, low, high in corners for point in ((low, 100 * count / total), (high, 100 * count / total))
    ]


def _crossed(one: Mapping[str, Any] | None) -> Markup | str:
    return Markup('<span class="no">over</span>') if one and one["value"] > one["threshold"] else ""


def _card(title: str, body: Markup) -> Markup:
    return Markup('<article class="card"><h3>{}</h3>{}</article>').format(title, body)
