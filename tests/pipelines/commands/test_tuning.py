"""Tuning through Katib: the object is what Katib's schema asks for, and its trials really train."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import duckdb
import pytest

from mainspring.pipelines import environments
from tests.pipelines.conftest import MAINSPRING
from tests.schemas import validate

SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
    "hidden_units": {"choices": [[4], [8, 4]]},
    "max_epochs": {"low": 1, "high": 3},
    "custom.way": {"choices": ["good", "better"]},
}
ASSIGNED = {"learning_rate": "0.005", "hidden_units": "[8, 4]", "max_epochs": "2", "custom-way": "%22good%22"}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("katib") / "examples"
    for split, rows in (("train", 400), ("eval", 100)):
        (folder / split).mkdir(parents=True)
        table = f"SELECT sin(i * i) AS x, (sin(i * i) > 0)::BIGINT AS y FROM range({rows}) r(i)"
        duckdb.execute(f"COPY ({table}) TO '{folder / split / '1.parquet'}' (FORMAT parquet)")
    manifest = {"rows": {"train": 400, "eval": 100}, "columns": {"x": "double", "y": "int64"}, "spans": ["1"]}
    manifest |= {"fingerprint": "sha256:x", "source": {}, "query": "", "versions": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "schema.pbtxt").write_text('feature { name: "x" type: FLOAT }\nfeature { name: "y" type: INT }\n')
    done = _mainspring("katib", str(folder), str(folder), "--label=y", f"--space={json.dumps(SPACE)}", "--count=9")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_experiment_and_its_trials_are_what_the_schemas_ask_for(experiment: dict[str, Any]) -> None:
    assert validate(experiment) == []
    spec = experiment["spec"]
    job = spec["trialTemplate"]["trialSpec"]
    assert validate(job | {"metadata": {"name": "trial"}}) == []
    assert job["spec"]["runtimeRef"]["name"] == "mainspring-tensorflow"
    kinds = {one["name"]: (one["parameterType"], one["feasibleSpace"]) for one in spec["parameters"]}
    assert kinds["learning_rate"] == ("double", {"min": "0.001", "max": "0.01", "distribution": "logUniform"})
    assert kinds["max_epochs"] == ("int", {"min": "1", "max": "3", "distribution": "uniform"})
    assert kinds["hidden_units"] == ("categorical", {"list": ["[4]", "[8, 4]"]})
    assert spec["maxTrialCount"] == 9


def test_a_trial_as_katib_would_start_it_trains_and_prints_its_metric(experiment: dict[str, Any]) -> None:
    template = experiment["spec"]["trialTemplate"]
    # As Katib does it: text for text in the JSON of the trial, and nothing quoted.
    text = json.dumps(template["trialSpec"])
    for parameter in template["trialParameters"]:
        text = text.replace(f"${{trialParameters.{parameter['name']}}}", ASSIGNED[parameter["reference"]])
    command = json.loads(text)["spec"]["trainer"]["command"]
    assert command[:2] == ["sh", "-c"]
    python = environments.environment("training").python
    variables = environments.task_variables() | {"PATH": f"{python.parent}:/usr/bin:/bin"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The expression by which Katib's collector finds metrics in what a trial prints.
    found = re.findall(r"([\w|-]+)\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)", done.stdout)
    losses = [float(value) for name, value in found if name == "eval_loss"]
    assert len(losses) == 2
    assert losses[1] < losses[0] < 1


def test_what_was_found_is_what_train_model_takes(experiment: dict[str, Any]) -> None:
    assigned = [{"name": name, "value": value} for name, value in ASSIGNED.items()]
    status = {"currentOptimalTrial": {"bestTrialName": "t-1", "parameterAssignments": assigned}}
    done = _mainspring("best", text=json.dumps(experiment | {"status": status}))
    assert json.loads(done.stdout) == {
        "learning_rate": 0.005,
        "hidden_units": [8, 4],
        "max_epochs": 2,
        "custom": {"way": "good"},
    }


def test_an_experiment_without_a_result_and_a_wrong_space_are_one_line(experiment: dict[str, Any]) -> None:
    for arguments, text, message in [
        (("best",), json.dumps(experiment), "experiment: no trial has succeeded so far"),
        (("best",), "{}", "experiment: is none that `mainspring tuning katib` wrote"),
        (("best",), "kind: Experiment", "experiment: not JSON"),
        (("katib", "e", "s", "--label=y", '--space={"lr": {}}'), "", "space: 'lr' is no hyperparameter"),
    ]:
        done = _mainspring(*arguments, text=text)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def _mainspring(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [MAINSPRING, "tuning", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=300, check=False)
