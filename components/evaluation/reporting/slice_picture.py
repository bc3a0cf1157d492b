"""Slices as a sortable picture: a row each, the metric and its interval as a dot and a line on one common scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from mainspring.components.common.report import number_text
from mainspring.components.evaluation.gates.gates import CHALLENGER, CHAMPION, Measured
from mainspring.components.evaluation.metrics.noise import Interval
from mainspring.components.evaluation.slices.slices import described

WIDTH = 330

SCRIPT = Markup("""<script>
document.querySelectorAll("table.sortable th").forEach(function (head) {
  head.style.cursor = "pointer";
  head.title = "sort";
  head.addEventListener("click", function () {
    var table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    var down = head.dataset.order !== "down";
    table.querySelectorAll("th").forEach(function (other) { delete other.dataset.order; });
    head.dataset.order = down ? "down" : "up";
    Array.from(body.rows).sort(function (a, b) {
      var x = a.cells[column].dataset.value, y = b.cells[column].dataset.value;
      var order = isNaN(x) || isNaN(y) || x === "" || y === "" ? x.localeCompare(y) : x - y;
      return down ? order : -order;
    }).forEach(function (row) { body.appendChild(row); });
  });
});
</script>""")


def picture(slices: Sequence[Measured], metric: str, overall: Measured | None) -> Markup:
    """Returns the table; a click on a heading sorts by it.

    Args:
        slices: A row each.
        metric: The metric drawn.
        overall: All rows, whose challenger's value is drawn as a line through every row.
    """
    roles = [role for role in (CHALLENGER, CHAMPION) if role in slices[0].values]
    low, high = _range(slices, metric, roles, overall)
    middle = _value(overall, CHALLENGER, metric) if overall else None
    headers = ["Slice", "Rows", *(f"{metric} ({role})" for role in roles), *(["Difference"] if len(roles) > 1 else [])]
    cells = Markup("").join(Markup("<th>{}</th>").format(header) for header in headers)
    body = Markup("").join(_row(measured, metric, roles, (low, high), middle) for measured in slices)
    scale = Markup('<th>{} <span style="float:right">{}</span></th>').format(number_text(low), number_text(high))
    return Markup(
        '<div class="scroll"><table class="sortable"><thead><tr>{}{}</tr></thead><tbody>{}</tbody></table></div>{}'
    ).format(cells, scale, body, SCRIPT)


def _row(
    measured: Measured, metric: str, roles: Sequence[str], scale: tuple[float, float], middle: float | None
) -> Markup:
    name = described(measured.slice.values)
    values = [_value(measured, role, metric) for role in roles]
    numbers: list[float | None] = [measured.slice.rows, *values]
    if len(values) > 1:
        numbers.append(values[0] - values[1] if values[0] is not None and values[1] is not None else None)
    cells = [Markup('<td data-value="{0}">{0}</td>').format(name)]
    cells += [
        Markup('<td class="number" data-value="{}">{}</td>').format("" if value is None else value, number_text(value))
        for value in numbers
    ]
    first = values[0]
    cells.append(
        Markup('<td data-value="{}">{}</td>').format(
            "" if first is None else first, _drawing(measured, metric, roles, scale, middle)
        )
    )
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _drawing(
    measured: Measured, metric: str, roles: Sequence[str], scale: tuple[float, float], middle: float | None
) -> Markup:
    low, high = scale

    def across(value: float) -> str:
        return f"{6 + (min(max(value, low), high) - low) / (high - low) * (WIDTH - 12):.1f}"

    parts = []
    if middle is not None:
        parts.append(
            Markup('<line class="axis" x1="{0}" x2="{0}" y1="0" y2="22" stroke-width="2"/>').format(across(middle))
        )
    for number, role in enumerate(roles):
        value, y = _value(measured, role, metric), 11 if len(roles) == 1 else 6 + 10 * number
        if value is None:
            continue
        interval = measured.intervals.get(role, {}).get(metric, Interval(value, value))
        parts.append(
            Markup(
                '<line x1="{}" x2="{}" y1="{y}" y2="{y}" stroke="var(--s{n})" stroke-width="2"/>'
                '<circle class="s{n}" cx="{}" cy="{y}" r="3.5"/>'
            ).format(across(interval.low), across(interval.high), across(value), y=y, n=number + 1)
        )
    return Markup('<svg viewBox="0 0 {w} 22" width="{w}" height="22" role="img">{}</svg>').format(
        Markup("").join(parts), w=WIDTH
    )


def _range(
    slices: Sequence[Measured], metric: str, roles: Sequence[str], overall: Measured | None
) -> tuple[float, float]:
    places = []
    for measured in [*slices, *([overall] if overall else [])]:
        for role in roles:
            value = _value(measured, role, metric)
            if value is not None:
                interval = measured.intervals.get(role, {}).get(metric, Interval(value, value))
                places += [interval.low, interval.high]
    if not places:
        return 0.0, 1.0
    low, high = min(places), max(places)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _value(measured: Measured, role: str, metric: str) -> float | None:
    value = measured.values.get(role, {}).get(metric, math.nan)
    return value if math.isfinite(value) else None
