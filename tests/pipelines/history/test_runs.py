"""`mainspring runs`: what was run, what it decided, and what a person does next."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mainspring.components.common.errors import UserError
from mainspring.pipelines.commands.history.runs import runs
from mainspring.pipelines.history import index_page, records
from tests.pipelines.cluster.kfp_server import running_server
from tests.pipelines.history.past import TARGET, put_run, put_version


def asked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(runs, [str(argument) for argument in arguments])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_run(tmp_path, 1, spans="1-6", auc=0.74, version=1)
    put_run(tmp_path, 2, spans="2-7", auc=0.76, version=2)
    put_run(tmp_path, 3, "refused", spans="3-8", error="the data was refused: 5 % of the rows are empty")
    put_run(tmp_path, 4, "failed", spans="3-8", error="Train model: the disk is full")
    return tmp_path


def test_the_list_has_the_figure_that_matters_newest_first(root: Path) -> None:
    listed = json.loads(asked("list", "--json", "--root", root).stdout)
    told = [(run["status"], run["outcome"]["spans"], run["outcome"]["challenger"]) for run in listed]
    assert told == [
        ("failed", "3-8", None),
        ("refused", "3-8", None),
        ("succeeded", "2-7", 0.76),
        ("succeeded", "1-6", 0.74),
    ]
    assert [run["outcome"]["version"] for run in listed] == [0, 0, 2, 1]
    shown = asked("list", "--root", root, "--status", "refused").stdout.splitlines()
    assert len(shown) == 2
    assert shown[1].endswith("the data was refused: 5 % of the rows are empty")
    assert asked("list", "--root", root, "--target", "local://other").stdout == "no runs\n"


def test_a_run_is_shown_with_what_to_do_next(root: Path) -> None:
    shown = asked("show", "continuous-training-20261102", "--root", root).stdout
    assert re.search(r"verdict: +auc 0.76, champion 0.7", shown)
    assert f"mainspring rollback {TARGET} --to 1 --root {root}" in shown
    assert f"mainspring endpoints stop flights --root {root}" in shown
    failed = asked("show", "--root", root).stdout
    assert f"mainspring runs show continuous-training-20261104-030000-000000 --log train-model --root {root}" in failed
    assert asked("show", "latest", "--log", "train-model", "--root", root).stdout == "epoch 1\n"
    for wanted, said in (("continuous", "is the beginning of 4 runs"), ("nothing", "is not there")):
        with pytest.raises(UserError, match=said):
            CliRunner().invoke(runs, ["show", wanted, "--root", str(root)], catch_exceptions=False)
    with pytest.raises(UserError, match="there are train-model"):
        CliRunner().invoke(runs, ["show", "--log", "../../x", "--root", str(root)], catch_exceptions=False)


def test_the_page_of_runs_draws_challenger_and_champion_by_span(root: Path) -> None:
    page = Path(asked("open", "--print", "--root", root).stdout.strip())
    text = page.read_text()
    assert f"<h2>auc of {TARGET}</h2>" in text
    lines = re.findall(r"<polyline[^>]*points=\"([^\"]+)\"", text)
    assert [len(line.split()) for line in lines] == [2, 1], "two challengers, and the one champion"
    assert (page.parent / re.findall(r'href="([^"]+report.html)"', text)[0]).is_file()
    assert index_page.newest_span(records.all_runs(root)[0]) == "8"


def test_old_runs_go_and_one_under_way_stays(root: Path) -> None:
    folder = root / "runs" / "continuous-training-20261001-030000-000000"
    folder.mkdir()
    with records.recording(folder, "continuous-training", {}):
        gone = asked("prune", "--keep", "2", "--dry-run", "--json", "--root", root)
        assert asked("prune", "--keep", "2", "--json", "--root", root).stdout == gone.stdout
        assert [run["run"][-22:-14] for run in json.loads(gone.stdout)] == ["20261101", "20261102", "20261103"]
        left = [record.status for record in records.all_runs(root)]
        assert sorted(left) == ["failed", "running"]
    assert asked("prune", "--root", root).exit_code == 2
    for days in ("nan", "inf"):
        assert "give a number of days" in str(asked("prune", "--older-than", days, "--root", root).exception)


def test_a_faulty_record_hides_no_other_run(root: Path) -> None:
    (root / "runs" / "continuous-training-20261101-030000-000000" / "run.json").write_text("{")
    assert [record.status for record in records.all_runs(root)] == ["failed", "refused", "succeeded", "unreadable"]


def test_a_clusters_runs_are_listed_with_what_they_published(tmp_path: Path) -> None:
    given = {"target": "kserve://team/flights", "models_root": str(tmp_path), "span": "latest"}
    with running_server() as server:
        for number, state in enumerate(("SUCCEEDED", "FAILED", "SUCCEEDED"), 1):
            run = {"run_id": f"r{number}", "display_name": "monthly", "state": state}
            run |= {
                "created_at": "2026-11-01T03:00:00Z",
                "finished_at": f"2026-11-01T03:0{number}:00Z",
                "runtime_config": {"parameters": given},
            }
            server.runs[f"r{number}"] = run | ({"error": {"message": "no such file"}} if state == "FAILED" else {})
        put_version(tmp_path, 1, "r1", 0.74)
        put_version(tmp_path, 2, "r3", 0.76)
        where = ("--host", server.url)
        listed = json.loads(asked("list", "--json", *where).stdout)
        assert [(run["run"], run["status"], run["outcome"]["version"]) for run in listed] == [
            ("r3", "succeeded", 2),
            ("r2", "failed", 0),
            ("r1", "succeeded", 1),
        ]
        assert [run["outcome"]["spans"] for run in listed] == ["2", "latest", "1"]
        assert (listed[1]["error"], listed[0]["seconds"]) == ("no such file", 180.0)
        shown = asked("show", "r3", *where).stdout
        assert "auc 0.76, champion 0.7" in shown
        assert "mainspring rollback kserve://team/flights --to 1\n" in shown
        assert asked("prune", "--keep", "2", *where).exit_code == 0
        assert [run["run"] for run in json.loads(asked("list", "--json", *where).stdout)] == ["r3", "r2"]
        assert server.runs["r1"]["storage_state"] == "ARCHIVED"
