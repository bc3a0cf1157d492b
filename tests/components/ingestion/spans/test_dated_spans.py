from __future__ import annotations

from pathlib import Path

import pytest
from tables import left_over, write_file

from mainspring.components.common.errors import UserError
from mainspring.components.ingestion.ingest_examples import ingest_examples
from mainspring.components.ingestion.resolve_spans import resolve_spans
from mainspring.components.ingestion.spans.found import find_spans
from mainspring.components.ingestion.spans.selecting import in_words, select_spans

DAYS = ("2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-04")


@pytest.fixture
def daily(tmp_path: Path) -> str:
    for day in DAYS:
        year, month, date = day.split("-")
        path = tmp_path / "in" / year / month / f"{year}{month}{date}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("i\n1\n2\n3\n")
    return str(tmp_path / "in" / "{YYYY}" / "{MM}" / "{YYYY}{MM}{DD}.csv")


def resolved(source: str, **options: object) -> list[str]:
    return resolve_spans(source, **{"span": "latest", "window": 1, **options})[0].split(",")  # type: ignore[arg-type]


def test_spans_by_date_are_named_by_their_date(daily: str) -> None:
    assert [span.name for span in find_spans(daily)] == list(DAYS)


def test_spans_by_hour_and_by_month(tmp_path: Path) -> None:
    for hour in ("2026110123", "2026110200"):
        (tmp_path / f"h{hour}.csv").touch()
    assert [span.name for span in find_spans(str(tmp_path / "h{YYYY}{MM}{DD}{HH}.csv"))] == [
        "2026-11-01T23",
        "2026-11-02T00",
    ]
    assert [len(span.files) for span in find_spans(str(tmp_path / "h{YYYY}{MM}*.csv"))] == [2]


def test_what_is_no_date_is_no_span(daily: str, tmp_path: Path) -> None:
    for odd in ("2026/11/20261131", "2026/11/20261001", "2026/13/20261301"):
        (tmp_path / "in" / f"{odd}.csv").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{odd}.csv").touch()
    assert [span.name for span in find_spans(daily)] == list(DAYS)


@pytest.mark.parametrize(
    ("selection", "window", "expected"),
    [
        ("latest", 2, DAYS[-2:]),
        ("2026-11-01", 1, DAYS[2:3]),
        ("2026-11-01", 3, DAYS[:3]),
        ("2026-11", 1, DAYS[2:]),
        ("2026-10-31..2026-11-03", 1, DAYS[1:4]),
        ("2026-10..2026-11-01", 1, DAYS[:3]),
        ("2026-10-30,2026-11-04", 1, (DAYS[0], DAYS[4])),
        ("all", 1, DAYS),
    ],
)
def test_selections_by_date(daily: str, selection: str, window: int, expected: tuple[str, ...]) -> None:
    assert tuple(span.name for span in select_spans(find_spans(daily), selection, window)) == expected


@pytest.mark.parametrize("selection", ["2026-1", "yesterday", "2026-11-02..2026-11-01", "2026-11-01..", "7"])
def test_a_malformed_date_is_refused(daily: str, selection: str) -> None:
    with pytest.raises(UserError, match="is not understood"):
        select_spans(find_spans(daily), selection)


def test_a_missing_date_is_refused(daily: str) -> None:
    with pytest.raises(UserError, match="span 2026-11-03 is not there"):
        select_spans(find_spans(daily), "2026-11-03")


def test_dates_in_words_name_exactly_these_spans(daily: str) -> None:
    spans = find_spans(daily)[1:4]
    assert select_spans(find_spans(daily), in_words(spans)) == spans


def test_a_dated_span_is_ingested_under_its_name(daily: str, tmp_path: Path) -> None:
    ingest_examples(daily, str(tmp_path / "ex"), spans="2026-11-01,2026-11-02")
    assert left_over(tmp_path / "ex" / "train") == ["2026-11-01.parquet", "2026-11-02.parquet"]


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        ("2026-11-03T03:00:00Z", "2026-11-02"),
        ("20261103030000", "2026-11-02"),  # As KFP writes [[ScheduledTime]].
        ("2026-11-03T00:00:00", "2026-11-02"),
        ("2026-11-03T01:00:00+02:00", "2026-11-01"),
        ("2026-11-02T23:59:59Z", "2026-11-01"),
    ],
)
def test_a_scheduled_run_reads_the_last_period_that_had_ended_when_it_was_due(
    daily: str, due: str, expected: str
) -> None:
    assert resolved(daily, scheduled_time=due) == [expected]


@pytest.mark.parametrize("asked", ["due", "[[ScheduledTime]]"])
def test_a_run_reads_by_its_own_due_time_or_says_that_it_has_none(daily: str, asked: str) -> None:
    late = {"scheduled_time": asked, "created": "2026-11-09T07:10:11Z"}
    assert resolved(daily, **late, due="2026-11-03T03:00:00Z") == ["2026-11-02"]
    on_time = {"scheduled_time": asked, "created": "2026-11-03T03:00:00Z"}
    assert resolved(daily, **on_time, due="2026-11-03T03:00:00Z") == ["2026-11-02"]
    with pytest.raises(UserError, match="not known when this run was due, only when it was made"):
        resolved(daily, **late, due="2026-11-09T07:10:11Z")
    for old in ("", "{{$.pipeline_job_schedule_time_utc}}"):
        with pytest.raises(UserError, match=r"does not tell when a run was due \(2.16 does\); give the time itself"):
            resolved(daily, **late, due=old)


def test_a_scheduled_run_whose_data_is_not_there_never_reads_older_data(daily: str) -> None:
    with pytest.raises(UserError, match="2026-11-03 is not there"):
        resolved(daily, scheduled_time="2026-11-04T03:00:00Z")
    with pytest.raises(UserError, match="2026-11-03 is not there"):
        resolved(daily, scheduled_time="2026-11-04T03:00:00Z", window=3)
    skipped = resolve_spans(daily, "latest", 1, scheduled_time="2026-11-04T03:00:00Z", on_too_few="skip")
    assert (skipped.spans, skipped.enough) == ("", False)
    assert "span 2026-11-03, which was due at 2026-11-04T03:00:00Z, is not there" in skipped.reason


def test_a_scheduled_window_ends_at_the_scheduled_span(daily: str) -> None:
    assert resolved(daily, scheduled_time="2026-11-03T03:00:00Z", window=3) == list(DAYS[1:4])


def test_a_backfill_names_its_spans_whatever_the_time(daily: str) -> None:
    assert resolved(daily, span="2026-10-30", scheduled_time="2026-11-03T03:00:00Z") == ["2026-10-30"]


def test_hours_and_months_map_to_their_schedules(tmp_path: Path) -> None:
    for name in ("h2026110123.csv", "m202610.csv"):
        (tmp_path / name).touch()
    hourly, monthly = str(tmp_path / "h{YYYY}{MM}{DD}{HH}.csv"), str(tmp_path / "m{YYYY}{MM}.csv")
    assert resolved(hourly, scheduled_time="2026-11-02T00:10:00Z") == ["2026-11-01T23"]
    assert resolved(monthly, scheduled_time="2026-11-01T00:10:00Z") == ["2026-10"]


def test_a_scheduled_time_that_is_malformed_or_meets_numbered_spans_is_refused(daily: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ISO 8601"):
        resolved(daily, scheduled_time="this morning")
    (tmp_path / "s1.csv").touch()
    with pytest.raises(UserError, match="numbered"):
        resolved(str(tmp_path / "s{SPAN}.csv"), scheduled_time="2026-11-03T03:00:00Z")


def test_excluded_spans_are_left_out_before_the_window_is_counted(daily: str) -> None:
    assert resolved(daily, window=2, exclude="2026-11-02..2026-11-03,2026-10-30") == [DAYS[2], DAYS[4]]
    with pytest.raises(UserError, match="leaves no span"):
        resolved(daily, exclude="2026")


def test_too_few_spans_fail_or_are_skipped(daily: str) -> None:
    assert len(resolved(daily, window=5, min_spans=5)) == 5
    with pytest.raises(UserError, match="5 of at least 6 spans"):
        resolved(daily, window=9, min_spans=6)
    skipped = resolve_spans(daily, "latest", 9, min_spans=6, on_too_few="skip")
    assert (skipped.spans, skipped.enough) == ("", False)
    assert "5 of at least 6 spans" in skipped.reason
    with pytest.raises(UserError, match="on_too_few"):
        resolved(daily, on_too_few="ignore")
    with pytest.raises(UserError, match="min_spans"):
        resolved(daily, min_spans=0)


def test_nothing_is_ingested_of_skipped_spans(daily: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to ingest"):
        ingest_examples(daily, str(tmp_path / "ex"), spans="")


def test_the_highest_version_of_each_span_is_read(tmp_path: Path) -> None:
    for name in ("s1-v1", "s1-v2", "s1-v10", "s2-v1"):
        write_file(tmp_path / "in" / f"{name}.csv", f"SELECT '{name}' AS name")
    spans = find_spans(str(tmp_path / "in" / "s{SPAN}-v{VERSION}.csv"))
    assert [[Path(file.uri).name for file in span.files] for span in spans] == [["s1-v10.csv"], ["s2-v1.csv"]]
    before = resolve_spans(str(tmp_path / "in" / "s{SPAN}-v{VERSION}.csv"), "1", 1)
    write_file(tmp_path / "in" / "s1-v11.csv", "SELECT 1 AS name")
    assert resolve_spans(str(tmp_path / "in" / "s{SPAN}-v{VERSION}.csv"), "1", 1) != before
