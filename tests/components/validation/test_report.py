"""The report in a real browser."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pyarrow as pa
import pytest
from browser import opened
from flightlike import Run, changed, span, write_examples
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory

from mainspring.components.statistics import span_statistics
from mainspring.components.statistics.span_statistics import by_name
from mainspring.components.validation import validation_report


def test_the_report_opens_in_a_browser_with_each_anomaly_marked_where_it_is(tmp_path: Path) -> None:
    first = Run(tmp_path / "b", write_examples(tmp_path / "e", {"3": span(3), "4": span(4)}))
    (tmp_path / "b" / "schema.pbtxt").write_bytes((first.schema / "schema.pbtxt").read_bytes())
    table = changed(span(5), distance=[round(miles * 1.609) for miles in span(5)["distance"].to_pylist()])
    Run(tmp_path / "r", write_examples(tmp_path / "e2", {"4": span(4), "5": table}), baseline_uri=str(tmp_path / "b"))
    dom = opened(tmp_path / "r" / "report.html", tmp_path / "profile")
    cards = dict(re.findall(r'<article class="card" id="feature-(\w+)">(.*?)</article>', dom, re.DOTALL))
    assert next(iter(cards)) == "distance"
    assert set(cards) == set(span(5).column_names)
    assert "✗ drift" in cards["distance"]
    assert re.search(r'class="no">drift 0\.\d+ of 0\.\d+ allowed', cards["distance"])
    assert "✗" not in cards["carrier"]
    for name, card in cards.items():
        assert card.count("<svg") == 1, name
        for series in ("baseline", "span 5", "train", "eval"):
            assert series in card, (name, series)
    assert re.search(r"Missing: 1[0-9.]+ % in baseline, [0-9.]+ % in span 5, ", cards["seats"])
    assert "Nothing is missing" in cards["carrier"]
    assert re.findall(r'(?:src|href)="(?!#)', dom) == []


def test_the_report_needs_no_sideways_scrolling_on_a_screen_or_a_phone(tmp_path: Path) -> None:
    odd = "a_name_that_nobody_would_give_a_column_" * 3
    table = span(1).append_column(odd, span(1)["carrier"]).append_column("<b>\x1b\n", span(1)["tail"])
    page = html.escape(Run(tmp_path / "r", write_examples(tmp_path / "e", {"1": table})).page, quote=True)
    frames = "".join(f'<iframe style="width:{width}px" srcdoc="{page}"></iframe>' for width in (400, 1000))
    measure = """onload = () => { for (const frame of document.querySelectorAll("iframe")) {
        const root = frame.contentDocument.documentElement;
        document.title += ` ${root.querySelectorAll("svg").length}:${root.clientWidth}:${root.scrollWidth}`; } }"""
    (tmp_path / "frames.html").write_text(f"<title></title>{frames}<script>{measure}</script>")
    found = re.findall(
        r"(\d+):(\d+):(\d+)", opened(tmp_path / "frames.html", tmp_path / "profile").split("</title>")[0]
    )
    assert [int(width) // 100 for _, width, _ in found] == [3, 9]
    for pictures, width, needed in found:
        assert int(pictures) == table.num_columns
        assert needed == width


def test_a_narrow_table_is_seen_whole_on_a_phone(tmp_path: Path) -> None:
    page = html.escape(Run(tmp_path / "r", write_examples(tmp_path / "e", {"1": span(1)})).page, quote=True)
    measure = """onload = () => { const page = document.querySelector("iframe").contentDocument;
        const checks = [...page.querySelectorAll(".scroll")].find(one => one.querySelector("th")?.innerText == "Check");
        document.title = `${checks.clientWidth}:${checks.scrollWidth}`; }"""
    frame = f'<iframe style="width:400px" srcdoc="{page}"></iframe>'
    (tmp_path / "frame.html").write_text(f"<title></title>{frame}<script>{measure}</script>")
    title = re.search(r"<title>(\d+):(\d+)</title>", opened(tmp_path / "frame.html", tmp_path / "profile"))
    assert title
    assert 0 < int(title[1]) <= 400
    assert int(title[2]) <= int(title[1])


@pytest.mark.parametrize("values", [[1, 2, 2, 3, 3, 3, 7], [0, 1], [-2, 0, 0, 5, 5, 5, 5], list(range(1, 12))])
def test_few_whole_numbers_are_drawn_a_step_each_with_their_true_shares(values: list[int]) -> None:
    batch = pa.RecordBatch.from_pydict({"number": pa.array([[value] for value in values for _ in range(10)])})
    feature = by_name(generate_statistics_in_memory(batch, span_statistics.options()))["number"]
    picture = validation_report._histograms({"train": feature})
    [line] = re.findall(r'<polyline[^>]* points="([^"]+)"', picture)
    heights = [float(point.split(",")[1]) for point in line.split()][::2]
    base, top = 144.0, min(heights)  # The y axis begins at zero, whatever the numbers.
    counts = [values.count(number) for number in range(min(values), max(values) + 1)]
    shares = [(base - height) / (base - top) for height in heights]
    assert shares == pytest.approx([count / max(counts) for count in counts], abs=0.01)
