"""The process engine runs pipelines with KFP's orchestrator, each task in its image's environment, and cleans up."""

from __future__ import annotations

import http.server
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp.local import subprocess_task_handler
from kfp.local.orchestrator import dag_orchestrator, enhanced_dag_orchestrator, task_executor

from mainspring.pipelines import environments
from mainspring.pipelines.compiling import catalogue, kfp_yaml
from mainspring.pipelines.engines import kfp_seam, workers
from mainspring.pipelines.engines.progress import last_words
from mainspring.pipelines.history import records
from tests.pipelines.conftest import MAINSPRING, Mainspring, summary_of
from tests.until import until

PIPELINES = Path(__file__).parents[1]


@pytest.fixture
def run(mainspring: Mainspring, tmp_path: Path):
    def run_small(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        summary = tmp_path / "summary.json"
        options = ["--root", str(tmp_path / "root"), "--summary", str(summary)]
        return mainspring("run", f"small_pipelines:{name}", *options, *arguments, cwd=PIPELINES)

    return run_small


def test_the_seam_into_kfp_is_where_it_was() -> None:
    assert "task_executor.execute_single_task(" in inspect.getsource(enhanced_dag_orchestrator)
    assert "task_executor.execute_single_task(" in inspect.getsource(dag_orchestrator)
    assert "task_name" in inspect.signature(task_executor.execute_single_task).parameters
    handler = inspect.signature(subprocess_task_handler.SubprocessTaskHandler.__init__).parameters
    assert {"image", "full_command", "env_vars"} <= set(handler)


def test_an_older_kfp_is_told_in_one_line_what_it_cannot_do() -> None:
    lines = "import sys; sys.modules['kfp.local.cache'] = None; from mainspring.pipelines.engines import kfp_seam"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [said] = done.stderr.splitlines()
    assert "install kfp 2.17 or a newer 2.x to run pipelines here" in said


def test_a_pipeline_runs_and_its_summary_says_how(run, tmp_path: Path) -> None:
    done = run("doubles", "-p", "number=3")
    assert done.returncode == 0, done.stderr
    summary = summary_of(tmp_path / "summary.json")
    assert summary["status"] == "succeeded"
    assert {name: (task["state"], task["outputs"].get("Output")) for name, task in summary["tasks"].items()} == {
        "double": ("succeeded", 6),
        "double-2": ("succeeded", 12),
        "double-3": ("skipped", None),
    }
    assert summary["tasks"]["double-2"]["outputs"]["metrics"]["metadata"] == {"doubled": 12}
    assert "Double again" in done.stdout
    page = Path(summary["report"]).read_text()
    assert page.count("<td>Double again</td>") == 2, "among the stages and the metrics"
    assert "<title>Double again</title>" in page, "among the bars of where the time went"
    assert "<td>number</td><td><pre>3</pre></td>" in page
    assert summary["arguments"] == {"number": 3}
    [record] = records.all_runs(tmp_path / "root")
    assert (record.run, record.status, len(record.tasks)) == (summary["run"], "succeeded", 3)
    assert '<a href="logs/double.log">log</a>' in page
    assert f'<a href="runs/{record.run}/report.html">' in (tmp_path / "root" / "runs.html").read_text()


def test_a_task_runs_in_the_environment_of_its_image_and_its_log_is_kept(run, tmp_path: Path) -> None:
    run("doubles", "-p", "number=3")
    log = Path(summary_of(tmp_path / "summary.json")["folder"]) / "logs" / "double.log"
    assert f"runs in {environments.environment('deployment').path}" in log.read_text()


def test_an_unchanged_run_is_answered_from_the_cache_and_a_changed_one_is_not(run, tmp_path: Path) -> None:
    run("doubles", "-p", "number=3")
    states = []
    for number in (3, 4):
        run("doubles", "-p", f"number={number}")
        states.append([task["state"] for task in summary_of(tmp_path / "summary.json")["tasks"].values()])
    run("doubles", "-p", "number=3", "--no-cache")
    states.append([task["state"] for task in summary_of(tmp_path / "summary.json")["tasks"].values()])
    assert states == [["cached", "cached", "skipped"], *2 * [["succeeded", "succeeded", "skipped"]]]


def test_a_file_edited_in_place_is_not_answered_from_the_cache(run, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    seen = []
    for text in ("old", "new", "new"):
        policy.write_text(text)
        run("reads", "-p", f"policy={policy}")
        [task] = summary_of(tmp_path / "summary.json")["tasks"].values()
        seen.append((task["state"], task["outputs"]["Output"]))
    assert seen == [("succeeded", "old"), ("succeeded", "new"), ("cached", "new")]


def test_a_wrong_input_fails_the_run_with_one_line(run, tmp_path: Path) -> None:
    done = run("refuses", "-p", "words=data.csv: no such file")
    summary = summary_of(tmp_path / "summary.json")
    assert done.returncode == 1
    assert (summary["status"], summary["error"]) == ("failed", "refuse: data.csv: no such file")
    assert summary["tasks"]["double"]["state"] == "skipped"
    assert "Traceback" not in done.stdout + done.stderr


def test_a_bug_fails_the_run_with_the_end_of_its_log(run, tmp_path: Path) -> None:
    done = run("breaks-down".replace("-", "_"))
    assert done.returncode == 1
    assert "all was well until" in done.stdout
    assert "KeyError: 'the bug'" in done.stdout


@pytest.mark.parametrize(("number", "state"), [(2, "succeeded"), (3, "skipped")])
def test_a_branch_without_an_else_goes_by_a_named_output(run, tmp_path: Path, number: int, state: str) -> None:
    assert run("asks", "-p", f"number={number}", "--summary", str(tmp_path / "summary.json")).returncode == 0
    assert summary_of(tmp_path / "summary.json")["tasks"]["double"]["state"] == state


def test_other_images_and_loops_run_too(run, tmp_path: Path) -> None:
    done = run("mixed", "-p", "numbers=[3, 4]")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_however_a_run_is_ended(tmp_path: Path, ending: signal.Signals) -> None:
    pids = tmp_path / "pids"
    command = [MAINSPRING, "run", "small_pipelines:sleeps", "-p", f"pid_file={pids}", "--root", str(tmp_path / "root")]
    engine = subprocess.Popen(command, cwd=PIPELINES, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until(pids.is_file)
    assert [record.status for record in records.all_runs(tmp_path / "root")] == ["running"]
    running = [int(pid) for pid in pids.read_text().split()]
    engine.send_signal(ending)
    _, said = engine.communicate()
    assert engine.returncode == (-signal.SIGKILL if ending == signal.SIGKILL else 130)
    assert ending == signal.SIGKILL or said.strip().splitlines()[-1].startswith("mainspring: error: interrupted")
    [record] = records.all_runs(tmp_path / "root")
    assert (record.status, record.pipeline, record.arguments) == ("interrupted", "sleeps", {"pid_file": str(pids)})
    until(lambda: not any(_is_alive(pid) for pid in running))


def test_steps_come_in_the_order_in_which_kfp_runs_them(run, tmp_path: Path) -> None:
    steps = [step.name for step in kfp_seam.steps(catalogue.load_pipeline("continuous_training"))]
    assert steps == [
        "resolve-inputs",
        "ingest-examples",
        "validate-examples",
        "train-model",
        "evaluate-model",
        "deploy-model",
        "register-model",
    ]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mainspring/training:0.1.0", "training"),
        ("registry.example.com:5000/team/mainspring/training@sha256:0a", "training"),
        ("mainspring/unheard-of:0.1.0", None),
        ("python:3.11", None),
        ("somebody/training:1", None),
    ],
)
def test_an_image_is_ours_whatever_registry_it_lies_in(name: str, folder: str | None) -> None:
    assert workers.folder_of(name) == folder


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_summary_is_plain_json(run, tmp_path: Path) -> None:
    run("doubles", "-p", "number=3")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {"status", "seconds", "tasks", "report"} <= set(summary)
    assert {"name", "state", "seconds", "outputs"} <= set(summary["tasks"][0])


def test_the_live_view_shows_what_a_task_said_last(run, tmp_path: Path) -> None:
    run("doubles", "-p", "number=3")
    logs = Path(summary_of(tmp_path / "summary.json")["folder"]) / "logs"
    assert last_words(logs / "double.log").startswith("runs in ")
    assert last_words(logs / "nothing.log") == ""


def test_the_end_of_every_run_is_told_with_its_reason_though_nobody_thought_of_caching(run, tmp_path: Path) -> None:
    with webhook() as (url, got):
        for on_refusal in ("fail", "fail", "skip"):
            run("told", "-p", f"to={url}", "-p", f"on_refusal={on_refusal}")
    said = [(told["state"], told["error"]) for told in got]
    reason = "the data was refused: carrier: ZZ is unknown"
    assert said == [("FAILED", reason), ("FAILED", reason), ("REFUSED", reason)]
    assert {told["run"] for told in got} == {folder.name for folder in (tmp_path / "root" / "runs").iterdir()}


def test_steps_that_ask_or_tell_the_world_are_never_cached_in_what_is_compiled() -> None:
    from tests.pipelines import small_pipelines

    compiled = yaml.safe_load(kfp_yaml.compiled(small_pipelines.told))
    tasks = compiled["root"]["dag"]["tasks"] | compiled["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert tasks["notify"]["cachingOptions"] == tasks["refuse-run"]["cachingOptions"] == {}
    assert yaml.safe_load(kfp_yaml.compiled(small_pipelines.doubles))["root"]["dag"]["tasks"]["double"][
        "cachingOptions"
    ]


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback, and what it gets."""
    got: list[dict[str, Any]] = []

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()
