"""Self-contained HTML pages: one file, no network, for the Kubeflow UI's frame and for a browser, light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

Cell = str | int | float | bool | Markup | None

SERIES_CLASSES = ("s1", "s2", "s3", "s4")
"""CSS classes of a chart's series, in order; more series than that are more than a reader can tell apart."""

LETTER = 7
"""Pixels that a letter of a chart's texts takes at most, nearly."""

ROOM = 1e-12
"""An axis spans this share of its numbers at least."""

SMALLEST = 1e-290
"""An axis spans this at least: powers of ten below are no doubles."""

CONTROL_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {127: 0x2421}
"""What HTML allows in no page, as Unicode draws it: names and values of the data may hold anything."""

TURNS = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""What turns the direction of text, written out: a column named with one would read as another."""


def page(title: str, verdict: tuple[bool | None, str] | None, sections: Sequence[tuple[str, Markup | str]]) -> str:
    """Returns a whole HTML page.

    Args:
        title: The page's heading.
        verdict: Passed (True), refused (False) or neither (None), and the sentence beside it; no banner if None.
        sections: Heading and body of each; a body that is no `Markup` is escaped.
    """
    state = None if verdict is None else {True: "passed", False: "refused", None: "neutral"}[verdict[0]]
    sentence = "" if verdict is None else verdict[1]
    text = _template("page").render(title=title, state=state, sentence=sentence, sections=sections)
    return text.translate(CONTROL_PICTURES).translate(TURNS)


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Markup:
    """Returns a table; numbers are aligned and rounded to four significant digits, True and False become marks."""
    cells = [[_cell(value) for value in row] for row in rows]
    kinds = [{kind for kind, text in column if text != ""} for column in zip(*cells, strict=False)]
    heads = [
        ("number" if place < len(kinds) and kinds[place] == {"number"} else "", header)
        for place, header in enumerate(headers)
    ]
    return Markup(_template("table").render(headers=heads, rows=cells))


def key_values(values: Mapping[str, Cell]) -> Markup:
    """Returns a two-column table without a header."""
    texts = {key: value if isinstance(value, Markup | bool) else number_text(value) for key, value in values.items()}
    return table([], [[key, text] for key, text in texts.items()])


def listing(items: Sequence[str | Markup]) -> Markup:
    """Returns a bulleted list."""
    return Markup(_template("listing").render(items=items))


def gallery(pictures: Mapping[str, Markup]) -> Markup:
    """Returns pictures side by side where the window has room, each under its title."""
    titled = [Markup("<div><h3>{}</h3>{}</div>").format(title, picture) for title, picture in pictures.items()]
    return Markup('<div class="grid">{}</div>').format(Markup("").join(titled))


def bar_chart(
    categories: Sequence[str], series: Mapping[str, Sequence[float | None]], *, width: int = 520, unit: str = ""
) -> Markup:
    """Returns horizontal bars, a group per category and a bar per series.

    Args:
        categories: Names, top to bottom.
        series: Values by series name, one per category, none negative; None draws no bar.
        width: Pixels.
        unit: Written after each value.
    """
    largest = max((value for values in series.values() for value in values if _drawable(value)), default=0.0) or 1.0  # type: ignore[type-var]
    bar, gap, left, right = 11, 9, 150, 64
    groups, top = [], 4
    for index, category in enumerate(categories):
        bars = []
        for number, values in enumerate(series.values()):
            value = values[index]
            if _drawable(value):
                length = float(value) / largest * (width - left - right)  # type: ignore[arg-type]
                bars.append(
                    {
                        "y": top + number * bar,
                        "length": max(length, 0.5),
                        "class": SERIES_CLASSES[number % 4],
                        "text": f"{number_text(value)}{unit}",
                    }
                )
        groups.append({"name": category, "y": top + bar * len(series) / 2 + 4, "bars": bars})
        top += bar * len(series) + gap
    return Markup(
        _template("bars").render(
            groups=groups, width=width, height=top, left=left, bar=bar - 2, legend=_legend(list(series))
        )
    )


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    width: int = 520,
    height: int = 220,
    x_label: str = "",
    y_label: str = "",
    diagonal: bool = False,
    from_zero: bool = False,
    x_text: Callable[[float], str] | None = None,
) -> Markup:
    """Returns lines through (x, y) points, with axes.

    Args:
        series: Points by series name; points that are not finite are left out.
        width: Pixels.
        height: Pixels.
        x_label: Under the x axis.
        y_label: Beside the y axis.
        diagonal: Whether to draw y = x, as ROC and calibration curves want it.
        from_zero: Whether the y axis begins at zero, as shares want it.
        x_text: How a number of the x axis is written, such as a date; None: as numbers are.
    """
    clean = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    points = [point for values in clean.values() for point in values]
    if not points:
        return Markup("<p>Nothing to draw.</p>")
    x_low, x_high = _range([x for x, _ in points])
    y_low, y_high = _range([y for _, y in points] + [0.0] * from_zero)
    whole = all(x == int(x) for x, _ in points) and x_high - x_low >= 1
    heights = _ticks(y_low, y_high)
    longest = max((len(number_text(height)) for height in heights), default=0)
    left, right, top, bottom = max(56, LETTER * longest + 26), 12, 10, 36

    def place(x: float, y: float) -> str:
        # By halves: the distance of the largest doubles is no double.
        across = left + (x / 2 - x_low / 2) / (x_high / 2 - x_low / 2) * (width - left - right)
        down = top + (y_high / 2 - y / 2) / (y_high / 2 - y_low / 2) * (height - top - bottom)
        return f"{across:.1f},{down:.1f}"

    lines = [
        {
            "class": SERIES_CLASSES[index % 4],
            "points": " ".join(place(x, y) for x, y in values),
            "dots": [place(*values[0]).split(",")] if len(values) == 1 else [],
        }
        for index, values in enumerate(clean.values())
        if values
    ]
    low, high = max(x_low, y_low), min(x_high, y_high)
    return Markup(
        _template("lines").render(
            lines=lines,
            diagonal=f"{place(low, low)} {place(high, high)}" if diagonal else "",
            width=width,
            height=height,
            left=left,
            right=width - right,
            top=top,
            base=height - bottom,
            x_ticks=[(place(x, y_low).split(",")[0], (x_text or number_text)(x)) for x in _ticks(x_low, x_high, whole)],
            y_ticks=[(place(x_low, y).split(",")[1], number_text(y)) for y in heights],
            x_label=x_label,
            y_label=y_label,
            legend=_legend(list(series)),
        )
    )


def number_text(value: Cell) -> str:
    """Returns a number as people read it: thousands apart, four significant digits, no trailing zeros."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "" if value is None else str(value)
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _cell(value: Cell) -> tuple[str, str | Markup]:
    if isinstance(value, bool):
        return ("yes", "✓") if value else ("no", "✗")
    if isinstance(value, Markup):
        return "", value
    return ("number" if isinstance(value, int | float) else ""), number_text(value)


def _drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _legend(names: list[str]) -> list[tuple[str, str]]:
    return [(SERIES_CLASSES[index % 4], name) for index, name in enumerate(names)] if len(names) > 1 else []


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = max(0.5, ROOM * max(abs(low), abs(high)))
    # Numbers that doubles can hardly tell apart, and those next to zero, have no scale of their own.
    return (low, high) if high - low > max(2 * room * ROOM, SMALLEST) else (low - room, high + room)


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    if not math.isfinite(high - low):
        return [low, 0.0, high]
    step = 10.0 ** math.floor(math.log10(high - low))
    step *= next((factor for factor in (0.1, 0.2, 0.5, 1) if (high - low) / (step * factor) <= 6), 2)
    if whole:  # Versions, epochs: there is nothing between them.
        step = max(1.0, math.ceil(step))
    return [float(f"{step * index:.12g}") for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


@cache
def _template(name: str) -> Template:
    loader = PackageLoader("mainspring.components.common", "templates")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(
        f"{name}.html.j2"
    )
