"""Metrics over the published versions: a line for each metric's way, and the champion then and now."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mainspring.components.common import report
from mainspring.components.evaluation.gates.gates import CHALLENGER, CHAMPION, Measured
from mainspring.components.evaluation.reporting.history import PastVersion

MOST_PICTURES = 4


def picture(versions: Sequence[PastVersion], overall: Measured) -> Markup:
    """Returns a picture for each of the first metrics, and a table of all.

    Args:
        versions: Oldest first; each was judged on the eval rows of its own time.
        overall: This run's measurement, on today's rows; drawn as the version to come.
    """
    now = overall.values
    names = [
        name for name in now[CHALLENGER] if name != "example_count" and any(name in each.metrics for each in versions)
    ]
    following = versions[-1].version + 1
    pictures = {}
    for name in names[:MOST_PICTURES]:
        judged = [(float(each.version), each.metrics[name]) for each in versions if name in each.metrics]
        lines = {"as judged in its time": [*judged, (float(following), now[CHALLENGER][name])]}
        champion = next((each for each in versions if each.is_champion), None)
        if champion and name in champion.metrics and CHAMPION in now:
            lines["champion, then and on today's rows"] = [
                (float(champion.version), champion.metrics[name]),
                (float(following), now[CHAMPION][name]),
            ]
        pictures[name] = report.line_chart(
            lines, width=440, height=180, x_label=f"version ({following}: this challenger)", y_label=name
        )
    rows: list[list[report.Cell]] = [
        [
            f"{each.version}{' (champion)' if each.is_champion else ''}",
            each.created[:16].replace("T", " "),
            each.rows,
            *_values(each, names),
        ]
        for each in versions
    ]
    today = [role for role in (CHAMPION, CHALLENGER) if role in now]
    rows += [[f"{role} on today's rows", "this run", "", *(now[role][name] for name in names)] for role in today]
    table = report.table(["Version", "Published", "Eval rows", *names], rows)
    note = "Each version was judged on the eval rows of its own time: a line shows the model and the times together."
    return Markup("<p>{}</p>{}{}").format(note, report.gallery(pictures), table)


def _values(version: PastVersion, names: Sequence[str]) -> list[report.Cell]:
    return [version.metrics.get(name) for name in names]
