"""Schedules as code: what the file says is what the cluster does, however an apply ends and whoever edits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

import mainspring
from mainspring.components.common.errors import UserError
from mainspring.pipelines import environments
from mainspring.pipelines.cluster import Cluster, cron, rest, schedule_changes, schedule_file
from mainspring.pipelines.cluster.rest import Unreachable
from mainspring.pipelines.cluster.schedule_changes import Change
from tests.pipelines.cluster.kfp_server import Fault, KfpServer, running_server
from tests.pipelines.conftest import Mainspring

PIPELINE = "tests.pipelines.small_pipelines:refuses"
NIGHTLY = {"name": "nightly", "pipeline": PIPELINE, "cron": "0 3 * * *", "parameters": {"words": "no"}}


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with running_server() as state:
        yield state


@pytest.fixture
def cluster(server: KfpServer, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(rest, "FIRST_PAUSE", 0.01)
    return mainspring.connect(server.url)


class Book:
    """A schedules file that a test rewrites."""

    def __init__(self, path: Path, cluster: Cluster) -> None:
        self.path, self.cluster = path, cluster

    def write(self, *schedules: dict[str, Any], **top: Any) -> Path:
        self.path.write_text(yaml.safe_dump({**top, "schedules": list(schedules)}))
        return self.path

    def apply(self, *schedules: dict[str, Any], prune: bool = False, overwrite: bool = False, **top: Any) -> list[str]:
        """Applies the schedules; returns action and outcome of each."""
        path = self.write(*schedules, **top)
        changes = self.cluster.apply(path, prune=prune, overwrite=overwrite, say=lambda line: None)
        return [f"{change.action} {change.outcome}".strip() for change in changes]

    def plan(self, *schedules: dict[str, Any], **top: Any) -> list[Change]:
        return self.cluster.plan(self.write(*schedules, **top))


@pytest.fixture
def book(tmp_path: Path, cluster: Cluster) -> Book:
    return Book(tmp_path / "schedules.yaml", cluster)


def the_one(server: KfpServer, name: str = "nightly") -> dict[str, Any]:
    [found] = server.named("recurring_runs", name)
    return found


def test_a_schedule_is_made_once_as_the_file_says(server: KfpServer, book: Book) -> None:
    full = NIGHTLY | {"catch_up": True, "max_concurrency": 2, "service_account": "trainer", "experiment": "flights"}
    assert [change.action for change in book.plan(full)] == ["create"]
    assert not server.recurring_runs
    assert not server.pipelines
    assert book.apply(full) == ["create done"]
    assert book.apply(full) == ["keep"]
    made = the_one(server)
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (made["max_concurrency"], made["no_catchup"], made["service_account"]) == ("2", False, "trainer")
    assert (made["status"], made["runtime_config"]) == ("ENABLED", {"parameters": {"words": "no"}})
    assert server.experiments[made["experiment_id"]]["display_name"] == "flights"
    assert len(server.sent("POST", "recurringruns$")) == 1


def test_a_change_in_the_file_replaces_the_schedule_and_shows_what_changes(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY)
    before = the_one(server)["recurring_run_id"]
    [change] = book.plan(NIGHTLY | {"cron": "0 4 * * *"})
    assert (change.action, change.is_edited) == ("replace", False)
    [difference] = change.differences
    assert (difference.field, difference.cluster, difference.file) == (
        "trigger",
        "cron 0 0 3 * * *",
        "cron 0 0 4 * * *",
    )
    assert book.apply(NIGHTLY | {"cron": "0 4 * * *"}) == ["replace done"]
    after = the_one(server)
    assert after["recurring_run_id"] != before
    assert after["status"] == "ENABLED"


def test_a_pipeline_that_compiles_differently_is_a_change(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY)
    assert [d.field for d in book.plan(NIGHTLY | {"caching": False})[0].differences] == ["version"]
    assert len(server.versions) == 1
    book.apply(NIGHTLY | {"caching": False})
    assert len(server.versions) == 2


def test_latest_leaves_the_version_to_the_server(server: KfpServer, book: Book) -> None:
    latest = NIGHTLY | {"pipeline": "refuses", "version": "latest"}
    with pytest.raises(UserError, match="the server has no pipeline 'refuses'; upload it"):
        book.apply(latest)
    book.cluster.submit(PIPELINE, {"words": "no"})
    assert book.apply(latest) == ["create done"]
    assert "pipeline_version_id" not in the_one(server)["pipeline_version_reference"]
    assert book.apply(latest) == ["keep"]
    with pytest.raises(UserError, match="did you mean words"):
        book.apply(latest | {"parameters": {"wrods": "no"}})
    [version] = server.versions.values()
    assert book.apply(latest | {"version": version["display_name"]}) == ["replace done"]
    assert book.apply(latest | {"version": version["display_name"]}) == ["keep"]


def test_what_was_disabled_in_the_ui_is_shown_and_not_overwritten(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY)
    the_one(server).update(status="DISABLED", mode="DISABLE")
    [change] = book.plan(NIGHTLY)
    assert change.is_edited
    assert [d.field for d in change.differences] == ["enabled"]
    assert book.apply(NIGHTLY) == ["replace refused"]
    assert the_one(server)["status"] == "DISABLED"
    assert book.apply(NIGHTLY, overwrite=True) == ["replace done"]
    assert the_one(server)["status"] == "ENABLED"


def test_one_that_was_made_by_hand_is_not_taken_over_unasked(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY)
    the_one(server)["description"] = "mine"
    assert book.apply(NIGHTLY) == ["keep"]
    assert book.apply(NIGHTLY | {"max_concurrency": 3}) == ["replace refused"]
    assert the_one(server)["description"] == "mine"


def test_a_run_under_way_is_never_stopped_and_the_change_waits_for_it(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY)
    before = the_one(server)["recurring_run_id"]
    run = server.add_run(before)
    changed = NIGHTLY | {"cron": "0 4 * * *"}
    assert book.apply(changed) == ["replace waits"]
    assert the_one(server)["recurring_run_id"] == before
    assert the_one(server)["status"] == "ENABLED"
    server.runs[run]["state"] = "SUCCEEDED"
    assert book.apply(changed) == ["replace done"]
    assert not server.killed_runs


def test_a_run_that_starts_in_the_middle_of_a_change_survives_it(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY)
    before = the_one(server)["recurring_run_id"]
    add = server.add_run
    listing = rest.Api.pages

    def fires_after_the_first_look(self: rest.Api, path: str, field: str, **query: Any) -> Iterator[rest.Json]:
        yield from listing(self, path, field, **query)
        if path.endswith("/runs") and not server.runs:
            add(before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest.Api, "pages", fires_after_the_first_look)
        assert book.apply(NIGHTLY | {"cron": "0 4 * * *"}) == ["replace waits"]
    assert the_one(server)["recurring_run_id"] == before
    assert the_one(server)["status"] == "ENABLED"
    assert not server.killed_runs


STEPS = [("POST", r"recurringruns$"), ("POST", ":disable"), ("POST", ":enable"), ("DELETE", "recurringruns/")]


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done, answer lost"])
@pytest.mark.parametrize(("method", "path"), STEPS, ids=["create", "disable", "enable", "delete"])
def test_a_change_that_is_cut_short_anywhere_is_finished_by_the_next(
    server: KfpServer, book: Book, method: str, path: str, is_done: bool
) -> None:
    book.apply(NIGHTLY)
    changed = NIGHTLY | {"cron": "0 4 * * *"}
    server.faults = [Fault(method, path, 0, times=1, is_after=is_done), Fault(method, path, 500, times=20)]
    with pytest.raises(Unreachable):
        book.apply(changed)
    enabled = [item for item in server.named("recurring_runs", "nightly") if item["status"] == "ENABLED"]
    assert len(enabled) <= 1
    server.faults.clear()
    book.apply(changed)
    made = the_one(server)
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    assert made["status"] == "ENABLED"
    assert book.apply(changed) == ["keep"]


def test_a_file_with_one_wrong_schedule_changes_nothing(server: KfpServer, book: Book) -> None:
    with pytest.raises(UserError, match=r"schedule second: .*line 10: refuses has no parameter wrods"):
        book.apply(NIGHTLY, NIGHTLY | {"name": "second", "parameters": {"wrods": "no"}})
    assert not server.sent("POST", "")


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500])
def test_what_the_server_refuses_leaves_the_old_schedule_at_work(server: KfpServer, book: Book, status: int) -> None:
    book.apply(NIGHTLY)
    server.faults = [Fault("POST", "recurringruns$", status, times=9)]
    with pytest.raises(UserError, match=str(status)):
        book.apply(NIGHTLY | {"cron": "0 4 * * *"})
    assert the_one(server)["status"] == "ENABLED"


def test_pruning_deletes_only_this_groups_schedules_and_only_when_told(server: KfpServer, book: Book) -> None:
    other = NIGHTLY | {"name": "theirs"}
    book.apply(other, group="theirs")
    book.apply(NIGHTLY, NIGHTLY | {"name": "old"})
    assert book.apply(NIGHTLY) == ["keep", "unlisted"]
    run = server.add_run(the_one(server, "old")["recurring_run_id"])
    assert book.apply(NIGHTLY, prune=True) == ["keep", "delete waits"]
    server.runs[run]["state"] = "FAILED"
    assert book.apply(NIGHTLY, prune=True) == ["keep", "delete done"]
    assert {item["display_name"] for item in server.recurring_runs.values()} == {"nightly", "theirs"}
    with pytest.raises(UserError, match="is there already, of group theirs"):
        book.apply(other)


def test_a_schedule_is_paused_by_the_file_though_a_run_is_under_way_and_resumed(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY)
    paused = NIGHTLY | {"enabled": False}
    book.apply(paused)
    assert the_one(server)["status"] == "DISABLED"
    assert book.apply(paused) == ["keep"]
    assert book.apply(NIGHTLY) == ["replace done"]
    assert the_one(server)["status"] == "ENABLED"


def test_an_interval_first_fires_at_its_start_and_keeps_its_phase(server: KfpServer, book: Book) -> None:
    # The controller fires one interval after the start it is told, and at once for a start that has passed.
    tomorrow = (datetime.now(timezone.utc) + timedelta(days=1)).replace(microsecond=0)
    item = {**NIGHTLY, "interval": "6h", "start": tomorrow.isoformat()}
    del item["cron"]
    book.apply(item)
    sent = the_one(server)["trigger"]["periodic_schedule"]
    assert sent["interval_second"] == "21600"
    assert datetime.fromisoformat(sent["start_time"].replace("Z", "+00:00")) == tomorrow - timedelta(hours=6)
    book.apply(item | {"start": (tomorrow - timedelta(days=10)).isoformat()})
    moved = datetime.fromisoformat(the_one(server)["trigger"]["periodic_schedule"]["start_time"].replace("Z", "+00:00"))
    assert moved <= datetime.now(timezone.utc) < moved + timedelta(hours=6)
    assert (tomorrow - moved) % timedelta(hours=6) == timedelta()
    assert book.apply(item | {"start": (tomorrow - timedelta(days=10)).isoformat()}) == ["keep"]


def test_a_cron_that_is_due_at_its_start_is_not_skipped(server: KfpServer, book: Book) -> None:
    book.apply(NIGHTLY | {"start": "2099-01-01T03:00:00Z"})
    assert the_one(server)["trigger"]["cron_schedule"]["start_time"] == "2099-01-01T02:59:59Z"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("30 0 3 * * mon-fri", "30 0 3 * * MON-FRI"),
        ("@daily", "0 0 0 * * *"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("*/15 * * * *", "0 */15 * * * *"),
        ("0 3 29 2 *", "0 0 3 29 2 *"),
        ("0 3 31 2,3 *", "0 0 3 31 2,3 *"),
        ("0 3 30 2 mon", "0 0 3 30 2 MON"),  # Mondays of February.
    ],
)
def test_cron_gets_its_six_fields(text: str, fields: str) -> None:
    assert cron.six_fields(text) == fields


@pytest.mark.parametrize(
    "text",
    [
        *("", "0 3 * *", "61 3 * * *", "0 24 * * *", "0 3 * * FUN", "0 3 9-2 * *", "*/0 3 * * *"),
        *("0 3 30 2 *", "0 3 31 4,6,9-11/2 *"),
    ],
)
def test_bad_cron_is_told_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"cron .*: "):
        cron.six_fields(text)


WINTER, SUMMER = datetime(2026, 12, 1, tzinfo=timezone.utc), datetime(2027, 7, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "zone", "at", "fields"),
    [
        ("0 30 2 * * *", "Europe/Berlin", WINTER, "0 30 1 * * *"),
        ("0 30 2 * * *", "Europe/Berlin", SUMMER, "0 30 0 * * *"),
        ("0 30 0 * * MON", "Europe/Berlin", WINTER, "0 30 23 * * 0"),
        ("0 0 9,17 * * *", "Asia/Kolkata", WINTER, "0 30 3,11 * * *"),
        ("0 0 20 * * 6", "America/New_York", WINTER, "0 0 1 * * 0"),
        ("0 0 * * * *", "Europe/Berlin", WINTER, "0 0 * * * *"),
    ],
)
def test_cron_in_another_zone_fires_at_the_same_moment(text: str, zone: str, at: datetime, fields: str) -> None:
    assert cron.in_zone(text, zone, "UTC", at) == fields
    assert cron.in_zone(text, zone, zone, at) == text


@pytest.mark.parametrize(
    ("text", "zone"),
    [("0 30 0 1 * *", "Europe/Berlin"), ("0 0 0,12 * * MON", "Europe/Berlin"), ("0 0,50 3 * * *", "Asia/Kathmandu")],
)
def test_a_time_that_the_controllers_zone_cannot_say_is_refused(text: str, zone: str) -> None:
    with pytest.raises(UserError, match="cannot be said in UTC"):
        cron.in_zone(text, zone, "UTC", WINTER)


def test_the_clocks_change_is_announced_and_then_a_difference(book: Book) -> None:
    file = schedule_file.read(book.write(NIGHTLY | {"time_zone": "Europe/Berlin"}))
    [change] = schedule_changes.plan(book.cluster, file, now=WINTER)
    assert change.notes == ("Europe/Berlin and UTC lie differently apart from 2027-03-29 on: apply again then",) or (
        "2027-03-28" in change.notes[0]
    )
    book.cluster.apply(book.path, say=lambda line: None)
    [winter], [summer] = (schedule_changes.plan(book.cluster, file, now=now) for now in (WINTER, SUMMER))
    assert {winter.action, summer.action} == {"keep", "replace"}
    assert not winter.is_edited
    assert not summer.is_edited


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("schedules: [{nam: x}]", "unknown key nam; did you mean name"),
        ("schedules: [{name: x}]", "x: needs pipeline"),
        ("schedules: [{name: x, pipeline: p}]", "x: needs either cron or interval"),
        ("schedules: [{name: x, pipeline: p, cron: '0 3 * *'}]", "x: cron '0 3 [*] [*]': has 4 fields"),
        ("schedules: [{name: x, pipeline: p, interval: soon}]", "interval is 'soon'; write it in seconds"),
        ("schedules: [{name: x, pipeline: p, interval: 5m, max_concurrency: 11}]", "it must be 1 to 10"),
        ("schedules: [{name: x, pipeline: p, interval: 5m, catch_up: 'yes please'}]", "it must be true or false"),
        ("schedules: [{name: x, pipeline: p, interval: 5m, time_zone: Mars}]", "time_zone 'Mars': is unknown"),
        ("schedules: [{name: x, pipeline: p, interval: 5m, start: someday}]", "start is 'someday'"),
        ("schedules: [{name: x, pipeline: p, interval: 5m, version: latest, caching: false}]", "caching: false goes"),
        ("schedules: [{name: x, pipeline: p, interval: 1h}, {name: x, pipeline: p, interval: 1h}]", "two schedules of"),
        ("schedule: []", "must hold `schedules:`"),
        ("schedules: {", "is not YAML"),
        ("schedules: [{name: x, name: y, pipeline: p, cron: '@daily'}]", "the key 'name' occurs twice"),
        ("schedules: [x]", "schedule 1: must be a mapping"),
    ],
)
def test_a_wrong_file_is_told_in_one_line_before_the_server_is_asked(
    server: KfpServer, mainspring: Mainspring, tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=words):
        schedule_file.read(path)


def test_the_commands_show_and_say_what_is_not_as_it_should_be(
    server: KfpServer, mainspring: Mainspring, book: Book
) -> None:
    path = book.write(NIGHTLY)
    planned = mainspring("schedule", "plan", path, "--host", server.url, "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)[0]["action"] == "create"
    assert mainspring("schedule", "apply", path, "--host", server.url).returncode == 0
    the_one(server).update(status="DISABLED", mode="DISABLE")
    refused = mainspring("schedule", "apply", path, "--host", server.url)
    assert refused.returncode == 1
    assert "enabled: False → True" in refused.stdout
    assert refused.stderr.splitlines()[-1].startswith("mainspring: error: nightly: edited in the cluster; take")


def test_the_example_file_can_be_applied(server: KfpServer, cluster: Cluster) -> None:
    example = environments.PIPELINES / "examples" / "schedules.yaml"
    changes = cluster.apply(example, say=lambda line: None)
    assert [(change.name, change.outcome) for change in changes] == [
        ("flights-nightly", "done"),
        ("flights-from-scratch", "done"),
    ]
    assert [change.action for change in cluster.plan(example)] == ["keep", "keep"]
    assert len(server.versions) == 2


def test_schedules_of_a_profile_stay_in_its_namespace(server: KfpServer, book: Book) -> None:
    server.is_multi_user = True
    book.cluster = mainspring.connect(server.url, namespace="team")
    assert [book.apply(NIGHTLY), book.apply(NIGHTLY)] == [["create done"], ["keep"]]
    assert book.apply(NIGHTLY | {"cron": "0 4 * * *"}) == ["replace done"]
    assert the_one(server)["namespace"] == "team"


def test_the_same_value_spelled_otherwise_is_no_change_and_a_date_is_its_text(server: KfpServer, book: Book) -> None:
    pipeline = "tests.pipelines.small_pipelines:doubles"
    text = "schedules: [{{name: nightly, pipeline: '{}', cron: '0 3 * * *', parameters: {}}}]"
    for spelled, action in (("{number: 3}", "create done"), ('{number: "3"}', "keep"), ("{number: 4}", "replace done")):
        book.path.write_text(text.format(pipeline, spelled))
        [change] = book.cluster.apply(book.path, say=lambda line: None)
        assert f"{change.action} {change.outcome}".strip() == action
    book.apply(NIGHTLY | {"name": "dated", "parameters": {"words": datetime(2026, 11, 1).date()}})
    assert the_one(server, "dated")["runtime_config"]["parameters"] == {"words": "2026-11-01"}
    with pytest.raises(UserError, match=r"schedules.yaml: line \d+: parameter words is 'null'"):
        book.plan(NIGHTLY | {"parameters": {"words": None}})


def test_a_due_time_needs_a_fixed_version_and_says_so(server: KfpServer, book: Book) -> None:
    given = {"source": "gs://b/{YYYY}-{MM}-{DD}.csv", "label": "l", "target": "kserve://t/m"}
    given |= {"models_root": "gs://b/models", "scheduled_time": "due"}
    daily = NIGHTLY | {"pipeline": "continuous_training", "parameters": given}
    [change] = book.plan(daily)
    assert any("content-" in note and "must be allowed to `get` workflows" in note for note in change.notes)
    book.apply(daily)
    with pytest.raises(
        UserError, match=r"schedule nightly: scheduled_time: .* only where the pipeline's version is fixed"
    ):
        book.plan(daily | {"version": "latest"})
