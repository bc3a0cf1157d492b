"""`mainspring backfill`: a run for each span in order, which goes on where it was cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mainspring.components.common.errors import UserError
from mainspring.pipelines.backfilling import on_cluster, spans
from mainspring.pipelines.cluster import uploads
from mainspring.pipelines.cluster.connection import connect
from mainspring.pipelines.cluster.past_runs import past_runs
from mainspring.pipelines.compiling import catalogue, deploying
from mainspring.pipelines.history import records
from mainspring.pipelines.history.records import RunRecord
from tests.pipelines import small_pipelines
from tests.pipelines.cluster.kfp_server import running_server
from tests.pipelines.conftest import Mainspring

PIPELINES = Path(__file__).parents[1]


def statuses(text: str) -> list[tuple[str, str, int]]:
    return [(each["span"], each["status"], each["version"]) for each in json.loads(text)]


def test_spans_run_in_order_stop_at_a_failure_and_go_on_where_it_was(mainspring: Mainspring, tmp_path: Path) -> None:
    for number in (1, 2, 4, 5):
        (tmp_path / f"{number}.csv").write_text("x\n1\n")
    stop = tmp_path / "stop"
    stop.mkdir()
    (stop / "4").touch()
    root = tmp_path / "root"

    def backfill(*more: str) -> Any:
        given = ("-p", f"source={tmp_path}/{{SPAN}}.csv", "-p", f"stop={stop}", "--root", root, "--json")
        return mainspring("backfill", "small_pipelines:by_span", *given, *more, cwd=PIPELINES)

    first = backfill("--from", "2")
    assert first.returncode == 1
    assert statuses(first.stdout) == [("2", "succeeded", 2), ("4", "failed", 0)]
    assert "4 failed; 1 spans are left: run the same command again to go on" in first.stderr
    (stop / "4").unlink()
    again = backfill("--from", "2")
    assert again.returncode == 0, again.stderr
    assert statuses(again.stdout) == [("2", "there", 2), ("4", "succeeded", 4), ("5", "succeeded", 5)]
    assert [record.arguments["span"] for record in records.all_runs(root)] == ["5", "4", "4", "2"]

    measured = backfill("--to", "1", "--parallel", "2", "-p", "target=local://other")
    assert statuses(measured.stdout) == [("1", "succeeded", 0)]
    newest = records.all_runs(root)[0]
    assert [task["name"] for task in newest.tasks] == ["look-at"], "neither the deployment nor what needs it"
    assert backfill("-p", "span=3").returncode == 1


def test_the_shipped_pipeline_without_its_deployment_still_judges() -> None:
    spec = catalogue.load_pipeline("continuous_training")
    assert deploying.deploys(spec)
    without = deploying.without_deployment(spec)
    assert not any(task == "deploy-model" for dag in _dags(without) for task in dag)
    assert any(task == "evaluate-model" for dag in _dags(without) for task in dag)
    assert not deploying.deploys(small_pipelines.doubles.pipeline_spec)


def _dags(spec: Any) -> list[list[str]]:
    return [list(each.dag.tasks) for each in [spec.root, *spec.components.values()] if each.HasField("dag")]


def test_only_what_the_very_same_parameters_have_done_is_not_run_again() -> None:
    def past(status: str, **arguments: Any) -> RunRecord:
        return RunRecord(f"run-{status}", "p", status, "2026-11-01T03:00:00+00:00", arguments=arguments)

    runs = [
        past("failed", span="1", window=1),
        past("refused", span="2", window=1.0),
        past("succeeded", span="3", window=2),
    ]
    found = spans.pending(["1", "2", "3"], {"window": 1}, runs, pipeline="p")
    assert [(each.span, each.status) for each in found] == [("1", "to do"), ("2", "there"), ("3", "to do")]
    assert [each.status for each in spans.pending(["2"], {"window": 1}, runs, pipeline="other")] == ["to do"]
    assert [each.status for each in spans.pending(["2"], {"window": 1}, runs, pipeline="p", again=True)] == ["to do"]


def test_on_a_cluster_each_run_ends_before_the_next_and_one_under_way_is_followed(monkeypatch: Any) -> None:
    monkeypatch.setattr("mainspring.pipelines.cluster.runs.FIRST_LOOK", 0.01)
    given = {"source": "gs://b/{SPAN}.csv", "stop": "gs://b/stop", "target": "kserve://team/small"}
    prepared = uploads.prepare(small_pipelines.by_span)
    with running_server() as server:
        cluster = connect(host=server.url)
        server.steps = [{"state": "RUNNING"}]
        left = cluster.submit(prepared, given | {"span": "1"})
        server.runs[left.run_id]["steps"].append({"state": "SUCCEEDED"})
        server.steps = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
        todo = spans.pending(["1", "2"], given, past_runs(cluster, 10))
        assert [(each.status, each.run) for each in todo] == [("running", left.run_id), ("to do", "")]
        ended = list(on_cluster.in_order(todo, cluster, prepared, given, lambda line: None))
        assert [(each.span, each.status) for each in ended] == [("1", "succeeded"), ("2", "succeeded")]
        assert len(server.runs) == 2
        assert [each.status for each in spans.pending(["1", "2"], given, past_runs(cluster, 10))] == ["there", "there"]
        server.steps = [{"state": "FAILED", "tasks": {"look-at": "FAILED"}}]
        ended = list(
            on_cluster.in_order(spans.pending(["3", "4"], given, []), cluster, prepared, given, lambda line: None)
        )
        assert [(each.span, each.status) for each in ended] == [("3", "failed")]


def test_a_pipeline_without_a_source_has_nothing_to_backfill() -> None:
    with pytest.raises(UserError, match="needs a source with spans"):
        spans.spans_between({}, "", "", print)
