"""Tuning: trials in processes, the hopeless cut short, the best hyperparameters for `train_model`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import Recorder, Trained

from mainspring.components.common.errors import UserError
from mainspring.components.training.tune_model import tune_model
from mainspring.components.training.tuning.search_space import merged, read_space, searched
from mainspring.components.training.tuning.trial_worker import TrialWorker

SPACE = '{"learning_rate": {"low": 1e-6, "high": 0.03, "log": true}, "hidden_units": {"choices": [[4], [16, 8]]}}'
FIXED = '{"max_epochs": 4, "max_crosses": 0}'


def tune(examples: Path, folder: Path, **parameters: Any) -> tuple[dict[str, Any], list[dict[str, Any]], Recorder]:
    """Returns what was found, all trials, and the figures."""
    recorder = Recorder()
    arguments = {
        "examples": str(examples),
        "schema": str(examples),
        "label": "good",
        "trials": str(folder / "trials.json"),
        "report": str(folder / "tuning.html"),
        "metrics": recorder,
        "space": SPACE,
        "hyperparameters": FIXED,
        "count": 5,
        "parallel": 2,
    }
    found = tune_model(**arguments | parameters)
    return json.loads(found), json.loads((folder / "trials.json").read_text()), recorder


def test_the_best_of_many_trials_trains_a_better_model_than_the_worst(
    train: Callable[..., Trained], binary_examples: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found, trials, recorder = tune(binary_examples, tmp_path)
    assert len(trials) == 5 == recorder.figures["trials"]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    best = min(complete, key=lambda trial: trial["eval_loss"])
    assert found == json.loads(FIXED) | best["hyperparameters"]
    assert recorder.figures["best_eval_loss"] == best["eval_loss"]
    assert 1e-6 <= found["learning_rate"] <= 0.03
    assert found["hidden_units"] in ([4], [16, 8])
    said = capfd.readouterr().out
    assert said.startswith("5 trials, 2 at a time, over learning_rate, hidden_units\n")
    assert "(5/5)" in said
    page = (tmp_path / "tuning.html").read_text()
    assert "<svg" in page
    assert "Best hyperparameters" in page
    # What was found is what train_model takes, and gives what the trial gave.
    made = train(binary_examples, label="good", hyperparameters=json.dumps(found))
    assert made.metrics["eval_loss"] == pytest.approx(best["eval_loss"], rel=1e-4)


MODULE = """
import os, pathlib, signal, keras

def build_model(context):
    once = pathlib.Path(__file__).with_suffix(".once")
    if not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if context.hyperparameters.custom["way"] == "bad":
        raise ValueError("a bad way")
    return keras.Model(context.inputs, context.output(context.embedded()))
"""


def test_a_trial_that_fails_or_whose_process_is_killed_fails_alone_and_all_such_are_one_line(
    binary_examples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("optuna"), "handlers", [caplog.handler])
    module, space = tmp_path / "deadly.py", '{"custom.way": {"choices": ["bad", "good"]}}'
    module.write_text(MODULE)
    found, trials, _ = tune(binary_examples, tmp_path, space=space, module=str(module), parallel=1, seed=2, count=4)
    assert found["custom"] == {"way": "good"}
    assert "its process died with status -9" in trials[0]["error"]
    assert {trial["state"] for trial in trials[1:]} == {"failed", "complete"}
    assert all(trial["error"].endswith("a bad way") for trial in trials[1:] if trial["state"] == "failed")
    only_bad = space.replace(', "good"', "")
    with pytest.raises(UserError, match=r"space: no trial succeeded; the last one: module: .*: ValueError: a bad way"):
        tune(binary_examples, tmp_path, space=only_bad, module=str(module), parallel=1, count=2)
    assert caplog.text == ""  # Optuna would add a traceback to each line of ours.


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{", "space: not JSON"),
        ("{}", "space: give a JSON object"),
        ('{"learning_rte": {"low": 1, "high": 2}}', "space: 'learning_rte' is no hyperparameter; did you mean"),
        ('{"seed": {"low": 1, "high": 2}}', "space: 'seed' is no hyperparameter"),
        ('{"dropout": 3}', 'space: dropout: give {"choices": […]} or {"low": …, "high": …}'),
        ('{"dropout": {"low": 0.5, "high": 0.1}}', "space: dropout: low and high must be numbers, low the smaller"),
        ('{"dropout": {"low": 0, "high": 1.5}}', "dropout: 1.5 is out of range"),
        ('{"learning_rate": {"low": 0.1, "high": 0.2, "lg": true}}', "space: learning_rate: 'lg' is not known; did"),
        ('{"dropout": {"low": 0, "high": 0.5, "log": true}}', "space: dropout: log needs a low above 0"),
        ('{"hidden_units": {"choices": []}}', "space: hidden_units: there is no choice"),
        ('{"dropout": {"choices": 0.1}}', "space: dropout: choices is 0.1; give a list"),
        ('{"dropout": {"low": 0.1, "high": 0.2, "step": -1}}', "space: dropout: step is -1; give a number above 0"),
        ('{"max_epochs": {"low": 1, "high": 9, "step": 0.5}}', "space: max_epochs: step is 0.5; give a number above 0"),
        ('{"learning_rate": {"low": 0.1, "high": 0.2, "log": "yes"}}', "space: learning_rate: log is 'yes'; give true"),
        ('{"custom.a": {"low": NaN, "high": 1}}', "space: custom.a: low and high must be numbers"),
        ('{"custom.a": {"low": 0, "high": Infinity}}', "space: custom.a: low and high must be numbers"),
    ],
)
def test_a_space_that_cannot_be_searched_is_one_line(space: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_space(space)
    assert str(caught.value).startswith(message)


def test_a_whole_number_is_searched_among_whole_numbers() -> None:
    [one] = read_space('{"batch_size": {"low": 64.0, "high": 512, "step": 64.0}}')
    assert (one.is_integer, one.low, one.high, one.step) == (True, 64, 512, 64)


def test_what_is_fixed_stays_fixed() -> None:
    assert [one.name for one in searched("", {"dropout": 0.2, "learning_rate": 0.003})] == [
        "embedding_size",
        "hidden_units",
    ]
    for space, fixed, message in [
        ('{"dropout": {"choices": [0.1]}}', {"dropout": 0.2}, "space: 'dropout' is in hyperparameters, too"),
        ('{"custom.a": {"choices": [1]}}', {"custom": {"a": 2}}, "space: 'custom.a' is in hyperparameters, too"),
        ("", {"dropout": 0, "learning_rate": 0.1, "embedding_size": 4, "hidden_units": [4]}, "space: all that would"),
    ]:
        with pytest.raises(UserError) as caught:
            searched(space, fixed)
        assert str(caught.value).startswith(message)
    # A module's own that are fixed do not go where others of its own are searched.
    assert merged({"seed": 1, "custom": {"a": 1}}, {"dropout": 0.1, "custom": {"b": 2}}) == {
        "seed": 1,
        "dropout": 0.1,
        "custom": {"a": 1, "b": 2},
    }


def test_what_all_trials_share_is_checked_before_the_first(binary_examples: Path, tmp_path: Path) -> None:
    for parameters, message in [
        ({"count": 0}, "count: 0 is out of range"),
        ({"hyperparameters": '{"droput": 1}'}, "hyperparameters: 'droput' is not one; did you mean 'dropout'"),
        ({"label": "god"}, "label: 'god' is not a column of the examples; did you mean 'good'"),
    ]:
        with pytest.raises(UserError) as caught:
            tune(binary_examples, tmp_path, **parameters)
        assert str(caught.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_a_process_of_tuning_refuses_a_module_that_is_not_there(binary_examples: Path, tmp_path: Path) -> None:
    order = {"examples": str(binary_examples), "schema": str(binary_examples), "label": "good"}
    with pytest.raises(UserError, match="module: there is no module 'nothing' in this image"):
        TrialWorker(order | {"module": "nothing.here"}, tmp_path)
