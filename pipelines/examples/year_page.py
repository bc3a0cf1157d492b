"""What came of the year, three ways: in a few lines, and as a page with pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from markupsafe import Markup

from mainspring.components.common import report

MONTHS = range(7, 13)
NAMES = {7: "July", 8: "August", 9: "September", 10: "October", 11: "November", 12: "December"}

NEVER, MONTHLY, PAYING = "never", "monthly", "paying"
TITLES = {NEVER: "never retrained", MONTHLY: "retrained every month", PAYING: "retrained when it paid"}


@dataclass
class Strategy:
    """One way, and what came of it."""

    name: str
    auc: list[float] = field(default_factory=list)
    """By month."""
    runs: int = 0
    """Retrainings."""
    seconds: float = 0.0
    """What they took."""
    monitoring_seconds: float = 0.0
    decisions: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The way in words."""
        return TITLES[self.name]


def kept(ways: list[Strategy]) -> float:
    """Returns which part of monthly retraining's gain over none the one that paid kept; NaN without a gain."""
    never, monthly, paying = (sum(way.auc) for way in ways)
    return (paying - never) / (monthly - never) if monthly > never else float("nan")


def told(ways: list[Strategy]) -> list[str]:
    """Returns the outcome in a few lines."""
    lines = [
        f"{way.title}: mean AUC {sum(way.auc) / len(way.auc):.4f}, {way.runs} retrainings in {way.seconds:.0f} s"
        + (f", and {way.monitoring_seconds:.0f} s of monitoring" if way.monitoring_seconds else "")
        for way in ways
    ]
    share, monthly, paying = kept(ways), ways[1].runs, ways[2].runs
    if math.isnan(share):
        return [*lines, "retraining every month gained nothing over never retraining: there is nothing to keep"]
    reached = share >= 0.95 and paying <= monthly / 2
    return [
        *lines,
        f"when it paid: {share:.0%} of the gain of retraining every month, with {paying} of its {monthly} runs "
        f"(wanted: 95 % with at most half: {'reached' if reached else 'missed'})",
    ]


def page_of(ways: list[Strategy], brought: str, seconds: float | None) -> str:
    """Returns the page; `brought` is what the year brought, `seconds` what playing took, None if that was in parts."""
    lines = {way.title: list(zip(map(float, MONTHS), way.auc, strict=True)) for way in ways}
    seconds_spent = {
        "retraining": [way.seconds for way in ways],
        "monitoring": [way.monitoring_seconds for way in ways],
    }
    costs = report.bar_chart([way.title for way in ways], seconds_spent, unit=" s")
    rows: list[list[report.Cell]] = [
        [
            way.title,
            *(f"{value:.3f}" for value in way.auc),
            f"{sum(way.auc) / len(way.auc):.4f}",
            way.runs,
            f"{way.seconds:.0f}",
        ]
        for way in ways
    ]
    headers = ["", *(NAMES[month] for month in MONTHS), "Mean AUC", "Retrainings", "Seconds"]
    story = (
        f"January to June made the champion. {brought} Delays of a month's last days are known in the next month only. "
        "A retraining takes the newest month."
    )
    chart = report.line_chart(lines, width=760, height=300, x_label="month of 2013", y_label="AUC, live")
    return report.page(
        "A year of flights",
        (None, told(ways)[-1]),
        [
            ("Quality over the year", Markup("<p>{}</p>{}").format(story, chart)),
            ("What each cost", Markup("{}{}").format(costs, report.table(headers, rows))),
            ("What was decided, and why", report.listing(ways[2].decisions)),
            (
                "How it was made",
                f"Played {'in several parts' if seconds is None else f'in {seconds:.0f} s'}, with real runs of both "
                "pipelines and real endpoints.",
            ),
        ],
    )
