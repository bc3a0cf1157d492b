from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.resolve_spans import resolve_spans
from mainspring.components.ingestion.sources.file import File
from mainspring.components.ingestion.spans.found import Span, find_spans, fingerprint_files
from mainspring.components.ingestion.spans.selecting import in_words, select_spans


def made_of(*numbers: int) -> list[Span]:
    return [Span(str(number), (File(f"{number}.parquet", 1, "1"),)) for number in sorted(numbers)]


def names(spans: list[Span]) -> list[str]:
    return [span.name for span in spans]


@pytest.fixture
def monthly(tmp_path: Path) -> Path:
    for month in (1, 2, 3, 10, 12):
        (tmp_path / f"flights-{month:02d}.parquet").write_bytes(b"x" * month)
    return tmp_path


def test_spans_are_ordered_by_number_and_not_by_name(tmp_path: Path) -> None:
    for number in (9, 10, 1, 100):
        (tmp_path / f"s{number}.csv").touch()
    assert names(find_spans(str(tmp_path / "s{SPAN}.csv"))) == ["1", "9", "10", "100"]


def test_leading_zeros_are_the_same_span(tmp_path: Path) -> None:
    (tmp_path / "s07.csv").touch()
    (tmp_path / "s7.csv").touch()
    (span,) = find_spans(str(tmp_path / "s{SPAN}.csv"))
    assert (span.name, len(span.files)) == ("7", 2)


def test_a_span_may_stand_in_a_folder_name_with_many_files_below(tmp_path: Path) -> None:
    for day, part in ((1, "a"), (1, "b"), (2, "a")):
        folder = tmp_path / f"day={day}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{part}.parquet").touch()
    spans = find_spans(str(tmp_path / "day={SPAN}" / "**" / "*.parquet"))
    assert [(span.name, len(span.files)) for span in spans] == [("1", 2), ("2", 1)]


def test_a_source_without_a_span_is_one_span_called_all(monthly: Path) -> None:
    assert names(find_spans(str(monthly))) == ["all"]
    assert names(find_spans(str(monthly / "flights-0?.parquet"))) == ["all"]
    assert select_spans(find_spans(str(monthly)), "latest") == find_spans(str(monthly))


def test_wildcard_characters_in_a_pattern_do_not_become_part_of_the_number(tmp_path: Path) -> None:
    (tmp_path / "v1-span20.csv").touch()
    (tmp_path / "v2-span21.csv").touch()
    assert names(find_spans(str(tmp_path / "v?-span{SPAN}.csv"))) == ["20", "21"]
    assert names(find_spans(str(tmp_path / "v[2]-span{SPAN}.csv"))) == ["21"]
    assert names(find_spans(str(tmp_path / "v[!2]-span{SPAN}.csv"))) == ["20"]


@pytest.mark.parametrize(
    ("selection", "window", "expected"),
    [
        ("latest", 1, [12]),
        ("latest", 2, [10, 12]),
        ("latest", 99, [1, 2, 3, 10, 12]),
        ("3", 1, [3]),
        ("3", 2, [2, 3]),
        ("10", 2, [3, 10]),
        ("1-3", 1, [1, 2, 3]),
        ("1,3,10-10", 1, [1, 3, 10]),
        (" 1 , 2-3 ", 1, [1, 2, 3]),
        ("3,1,1", 1, [1, 3]),
        ("all", 1, [1, 2, 3, 10, 12]),
    ],
)
def test_selections(selection: str, window: int, expected: list[int]) -> None:
    assert names(select_spans(made_of(1, 2, 3, 10, 12), selection, window)) == [str(n) for n in expected]


@pytest.mark.parametrize("selection", ["", "x", "1-", "-1", "3-1", "1;2", "1,,2", "latest,1", "1.5", "٣-"])
def test_a_malformed_selection_is_refused(selection: str) -> None:
    with pytest.raises(UserError, match="is not understood"):
        select_spans(made_of(1, 2, 3), selection)


def test_a_missing_span_is_refused_and_the_present_ones_named() -> None:
    with pytest.raises(UserError, match=r"span 4, 5 is not there; the source has 1-3,7"):
        select_spans(made_of(1, 2, 3, 7), "3-5")


def test_a_range_too_wide_to_list_is_refused_at_once() -> None:
    with pytest.raises(UserError):  # Listing it would end neither in time nor in memory.
        select_spans(made_of(1, 2, 3), "1-99999999999")


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_below_one_is_refused(window: int) -> None:
    with pytest.raises(UserError, match="window"):
        select_spans(made_of(1, 2), "latest", window)


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=30))
def test_in_words_names_exactly_the_spans_that_selecting_gives_back(numbers: set[int]) -> None:
    spans = made_of(*numbers)
    # One number alone would be read with the window; a window of 1 gives it alone.
    assert select_spans(spans, in_words(spans)) == spans


@given(st.sets(st.integers(0, 500), min_size=1, max_size=30), st.integers(1, 40))
def test_a_window_is_the_newest_spans_in_order(numbers: set[int], window: int) -> None:
    chosen = select_spans(made_of(*numbers), "latest", window)
    assert names(chosen) == [str(number) for number in sorted(numbers)[-window:]]


@given(st.text(max_size=20))
def test_any_selection_gives_spans_or_one_line(selection: str) -> None:
    spans = made_of(1, 2, 3)
    try:
        said = ""
        assert set(names(select_spans(spans, selection))) <= {"1", "2", "3", "all"}
    except UserError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "source is empty"),
        ("nowhere/{SPAN}.parquet", "no file matches"),
        ("flights-{SPAN}.csv", "no file matches"),
        ("{NUMBER}.parquet", "is not known"),
        ("{SPAN}-{YYYY}.parquet", "not by both"),
        ("{YYYY}-{DD}.parquet", "larger parts"),
        ("ftp://host/x.csv", "not supported"),
    ],
)
def test_a_source_that_cannot_be_found_is_refused(
    monthly: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, says: str
) -> None:
    monkeypatch.chdir(monthly)
    with pytest.raises(UserError, match=says):
        find_spans(pattern)


def test_a_missing_source_says_what_is_there(monthly: Path) -> None:
    with pytest.raises(UserError, match=r"flights-01\.parquet"):
        find_spans(str(monthly / "flight-{SPAN}.parquet"))


def test_a_pattern_in_a_folder_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file matches"):
        find_spans(str(tmp_path / "a" / "b" / "{SPAN}" / "*.csv"))


def test_files_without_a_number_where_the_span_stands_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s-x.csv").touch()
    with pytest.raises(UserError, match="none has a number"):
        find_spans(str(tmp_path / "s-{SPAN}.csv"))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        find_spans(str(tmp_path))


def test_the_fingerprint_changes_when_a_file_is_added_removed_or_rewritten(monthly: Path) -> None:
    pattern = str(monthly / "flights-{SPAN}.parquet")

    def now(selection: str = "all") -> str:
        return resolve_spans(pattern, selection, 1)[1]

    first = now()
    assert now() == first
    (monthly / "flights-03.parquet").write_bytes(b"zzz")
    os.utime(monthly / "flights-03.parquet", (1, 1))
    rewritten = now()
    assert rewritten != first
    (monthly / "flights-04.parquet").touch()
    added = now()
    assert added not in (first, rewritten)
    (monthly / "flights-04.parquet").unlink()
    assert now() == rewritten
    assert now("1") == fingerprint_files(find_spans(pattern)[:1])


def test_a_newer_span_does_not_change_an_older_ones_fingerprint(monthly: Path) -> None:
    pattern = str(monthly / "flights-{SPAN}.parquet")
    before = resolve_spans(pattern, "1-3", 1)
    (monthly / "flights-13.parquet").touch()
    assert resolve_spans(pattern, "1-3", 1) == before


def test_resolving_loads_no_database(monthly: Path) -> None:
    code = (
        "import sys\n"
        "from mainspring.components.ingestion.resolve_spans import resolve_spans\n"
        f"resolve_spans({str(monthly / 'flights-{SPAN}.parquet')!r}, 'latest', 2)\n"
        "assert 'duckdb' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
