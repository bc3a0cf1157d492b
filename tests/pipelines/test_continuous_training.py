"""The whole loop on real flights: champion, challenger, refusals, and an endpoint that answers as the model does."""

from __future__ import annotations

import html
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mainspring.pipelines import environments

from .conftest import QUERY, Mainspring, summary_of

TARGET = "local://flights"
OWN_PREDICTIONS = """
import json, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
rows = json.load(open(sys.argv[2]))["instances"]
inputs = model.signatures["serving_default"].structured_input_signature[1]
def value(row, name, spec):
    given = row.get(name)
    return ("" if given is None else given) if spec.dtype == tf.string else (float("nan") if given is None else given)
tensors = {n: tf.constant([value(r, n, s) for r in rows], dtype=s.dtype) for n, s in inputs.items()}
print(json.dumps(model.signatures["serving_default"](**tensors)["prediction"].numpy().tolist()))
"""


class Loop:
    """Runs the pipeline on the sample and remembers its last summary."""

    def __init__(self, mainspring: Mainspring, sample: Path, root: Path) -> None:
        self.mainspring, self.sample, self.root = mainspring, sample, root

    def run(self, span: int, *arguments: str, anew: bool = False) -> dict[str, Any]:
        summary = self.root / "summary.json"
        summary.unlink(missing_ok=True)
        parameters = {
            "source": f"{self.sample}/flights-2013-{{SPAN}}.parquet",
            "query": QUERY,
            "label": "late",
            "target": TARGET,
            "span": str(span),
            "window": str(span),
            "max_epochs": "3",
        }
        parameters |= dict(argument.split("=", 1) for argument in arguments if argument != "-p")
        self.done = self.mainspring(
            *("run", "continuous_training", "--root", self.root, "--summary", summary),
            *(text for name, value in parameters.items() for text in ("-p", f"{name}={value}")),
            anew=anew,
        )
        return summary_of(summary) if summary.is_file() else {}

    def endpoint(self) -> dict[str, Any]:
        return json.loads(self.mainspring("endpoints", "list", "--json", "--root", self.root).stdout)[0]

    def ask(self, request: Path) -> list[float]:
        posted = urllib.request.Request(self.endpoint()["url"], request.read_bytes())
        with urllib.request.urlopen(posted, timeout=300) as answer:
            return [row["prediction"] for row in json.load(answer)["predictions"]]


@pytest.fixture(scope="module")
def loop(mainspring: Mainspring, flights_sample: Path, root: Path) -> Loop:
    return Loop(mainspring, flights_sample, root)


@pytest.fixture(scope="module")
def first(loop: Loop) -> dict[str, Any]:
    """The first run: January to March make version 1. Its tasks and servers are all new interpreters."""
    summary = loop.run(3, anew=True)
    assert loop.done.returncode == 0, loop.done.stdout + loop.done.stderr
    return summary


def test_the_first_run_deploys_version_1_and_prints_what_to_do_next(loop: Loop, first: dict[str, Any]) -> None:
    assert first["status"] == "succeeded"
    assert first["tasks"]["deploy-model"]["outputs"]["version"] == 1
    assert first["tasks"]["evaluate-model"]["outputs"]["metrics"]["metadata"]["auc"] > 0.6
    curl = next(line for line in loop.done.stdout.splitlines() if line.strip().startswith("curl "))
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True).stdout
    assert 0 <= json.loads(answer)["predictions"][0]["prediction"] <= 1
    page = html.unescape(Path(first["report"]).read_text())
    assert curl.strip() in page, "the run's page says how to ask as well"


def test_the_endpoint_predicts_what_the_model_predicts(loop: Loop, first: dict[str, Any], tmp_path: Path) -> None:
    published = Path(first["tasks"]["deploy-model"]["outputs"]["version_uri"])
    row = json.loads((published / "request.json").read_text())["instances"][0]
    rows = [row, row | {"carrier": "unheard of"}, row | {"distance": None}, {}]
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"instances": rows}))
    python = environments.environment("training").python
    [model] = published.rglob("saved_model.pb")
    command = [str(python), "-c", OWN_PREDICTIONS, str(model.parent), str(request)]
    own = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert loop.ask(request) == pytest.approx(own, abs=1e-6)
    assert len(set(own)) > 1


def test_an_unchanged_run_is_answered_from_the_cache(loop: Loop, first: dict[str, Any]) -> None:
    again = loop.run(3)
    states = {name: task["state"] for name, task in again["tasks"].items() if task["state"] != "skipped"}
    # The evaluation runs once more, because there is a champion now: it is this very model, and its evaluation stands.
    assert {name for name, state in states.items() if state == "cached"} == {
        "ingest-examples",
        "validate-examples",
        "train-model",
    }
    assert again["tasks"]["deploy-model"]["outputs"]["version"] == 1
    third = loop.run(3)
    assert third["tasks"]["evaluate-model"]["state"] == "cached"
    assert third["seconds"] < 8


def test_the_next_month_makes_a_challenger_that_is_judged_against_the_champion(
    loop: Loop, first: dict[str, Any]
) -> None:
    port = loop.endpoint()["port"]
    summary = loop.run(4, "-p", "warm_start=true")
    assert summary["tasks"]["validate-examples"]["outputs"]["valid"] is True
    champion = first["tasks"]["deploy-model"]["outputs"]["version_uri"]
    model = Path(summary["tasks"]["train-model"]["outputs"]["model"]["uri"])
    assert json.loads((model / "manifest.json").read_text())["parent"] == champion
    folder = Path(summary["tasks"]["evaluate-model"]["outputs"]["evaluation"]["uri"])
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["champion_uri"] == champion
    assert evaluation["metrics"]["champion"]["auc"] > 0.6
    if evaluation["blessed"]:
        assert (summary["status"], loop.endpoint()["version"]) == ("succeeded", 2)
    else:
        assert (summary["status"], loop.endpoint()["version"]) == ("refused", 1)
    assert loop.endpoint()["port"] == port
    # The champion may be another one now; what a warm start begins with is what it was.
    again = loop.run(4, "-p", "warm_start=true")
    assert again["tasks"]["train-model"]["state"] == "cached"


def test_poisoned_data_are_refused_with_every_reason_and_the_champion_keeps_answering(
    loop: Loop, first: dict[str, Any]
) -> None:
    request = Path(first["tasks"]["deploy-model"]["outputs"]["version_uri"]) / "request.json"
    before = loop.endpoint(), loop.ask(request)
    summary = loop.run(5)
    assert loop.done.returncode == 1
    assert summary["status"] == "refused"
    assert summary["tasks"]["train-model"]["state"] == "skipped"
    for word in ("distance", "ZZ", "sched_arr_time"):
        assert word in summary["error"]
        assert word in loop.done.stdout
    assert "Traceback" not in loop.done.stdout + loop.done.stderr
    assert (loop.endpoint(), loop.ask(request)) == before


def test_a_refusal_can_end_as_skipped(loop: Loop, first: dict[str, Any]) -> None:
    summary = loop.run(5, "-p", "on_refusal=skip")
    assert (loop.done.returncode, summary["status"]) == (0, "skipped")
    assert summary["tasks"]["train-model"]["state"] == "skipped"
    assert summary["refusal"].startswith("the data was refused: ")
    for word in ("distance", "ZZ", "sched_arr_time"):
        assert word in summary["refusal"]
        assert word in Path(summary["report"]).read_text()
        assert word in loop.done.stdout


def test_a_scheduled_run_that_comes_before_its_data_is_skipped(loop: Loop) -> None:
    summary = loop.run(3, "-p", "min_spans=4", "-p", "on_too_few=skip")
    assert (loop.done.returncode, summary["status"]) == (0, "skipped")
    assert summary["tasks"]["ingest-examples"]["state"] == "skipped"
    assert "3 of at least 4 spans are there (1-3)" in summary["tasks"]["resolve-inputs"]["outputs"]["reason"]
    assert "3 of at least 4 spans" in " ".join(loop.done.stdout.split())
    assert loop.run(3, "-p", "min_spans=4")["status"] == "failed"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("source=nowhere/{SPAN}.parquet", "nowhere/{SPAN}.parquet: no file matches"),
        ("span=13", "span 13 is not there; the source has 1-5"),
        ("query=SELEKT 1", "query: "),
        ("query=SELECT *, FROM source WHERE month = 13", "has no rows"),
        ("label=lat", "label='lat' is not a column of the examples; close to it: late"),
    ],
)
def test_wrong_input_is_one_line_and_the_champion_keeps_serving(
    loop: Loop, first: dict[str, Any], argument: str, words: str
) -> None:
    before = loop.endpoint()
    summary = loop.run(3, "-p", argument)
    assert loop.done.returncode == 1
    assert words in summary["error"]
    assert "\n" not in summary["error"]
    assert "Traceback" not in loop.done.stdout + loop.done.stderr
    assert loop.endpoint() == before


def test_an_endpoint_comes_back_after_all_its_processes_are_gone(loop: Loop, first: dict[str, Any]) -> None:
    before = loop.endpoint()
    assert loop.mainspring("endpoints", "stop", "flights", "--root", loop.root).returncode == 0
    assert loop.endpoint()["state"] == "stopped"
    assert loop.mainspring("endpoints", "start", "flights", "--root", loop.root).returncode == 0
    after = loop.endpoint()
    assert (after["state"], after["version"], after["port"]) == ("serving", before["version"], before["port"])
    request = Path(after["model"]) / "request.json"
    assert 0 <= loop.ask(request)[0] <= 1
