"""Tunings on Katib's real controller, whose trials are Trainer's: what a shell gets, and how trials end.

Real here: Katib with its webhooks and its changes of a trial's pod, and all of `test_training`. Played: the search, the
database of figures, the collector (`katib`), and the containers; but a trial's command runs in a real shell.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mainspring.components.common.errors import UserError
from mainspring.components.training.distributed import following
from mainspring.components.training.tune_model_distributed import tune_model_distributed
from mainspring.components.training.tuning import experiments
from tests.cluster.katib import COLLECTOR, Services
from tests.cluster.test_training import Figures, Play
from tests.cluster.trained import NAMESPACE, Cluster
from tests.cluster.workers import Workers

LABEL = 'it\'s "late" $HOME `id` a;b'
"""A column that a shell would take apart."""
SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
    "hidden_units": {"choices": [[8], [64, 32]]},
    "custom.way": {"choices": ["a 'b' $c", 'd"e']},
}
EXPERIMENTS = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/experiments"
TRIALS = f"/apis/kubeflow.org/v1beta1/namespaces/{NAMESPACE}/trials"
LOGGED = "I1201 04:20:11.123456      14 main.go:174] "


@pytest.fixture
def tune(training: Cluster, tuning: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(following, "HOPELESS_SECONDS", 3.0)
    training.kubectl("label", "namespace", NAMESPACE, f"{experiments.LABEL}=enabled", "--overwrite")

    def run(**parameters: Any) -> dict[str, Any]:
        found = tune_model_distributed(
            **{
                "examples": "gs://team/examples",
                "schema": "gs://team/schema",
                "label": LABEL,
                "trials": str(tmp_path / "trials.json"),
                "trials_uri": str(tmp_path),
                "metrics": Figures(),
                "report": str(tmp_path / "tuning.html"),
                "space": json.dumps(SPACE),
                "count": 3,
                "parallel": 2,
                "pause": 0.5,
                "timeout": 90,
            }
            | parameters
        )
        return json.loads(found)

    return run


@pytest.fixture
def trial(tuning: Services, tmp_path: Path) -> Callable[..., Play]:
    """Plays a trial: its command runs in a shell, with a `python3` that tells what it was given."""
    (tmp_path / "bin").mkdir()
    told = f"#!/bin/sh\nexec {sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' \"$@\"\n"
    (tmp_path / "bin" / "python3").write_text(told)
    (tmp_path / "bin" / "python3").chmod(0o755)

    def playing(losses: list[float], status: int = 0, words: str = "") -> Play:
        def play(workers: Workers, made: dict[str, Any]) -> None:
            workers.run(made)
            name = made["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-name"]
            (container,) = [each for each in made["spec"]["containers"] if each["name"] == "node"]
            logs = tmp_path / name
            logs.mkdir(exist_ok=True)
            # What a kubelet makes of `$$`, and the volume that Katib mounts.
            words_ = [word.replace("$$", "$").replace("/var/log/katib", str(logs)) for word in container["args"]]
            command = [*container["command"], *words_]
            subprocess.run(command, env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}, check=True)
            if not status:
                tuning.report(name, losses)
            log = "".join(f"{LOGGED}{line}\n" for line in (words or (logs / "metrics.log").read_text()).splitlines())
            workers.end(made, status, log, COLLECTOR)

        return play

    return playing


def rests(training: Cluster) -> bool:
    training.plane.wait(lambda: not training.trainings() and not training.names(EXPERIMENTS))
    assert not training.names(TRIALS)
    return True


def test_every_word_of_a_trial_reaches_it_whole(training: Cluster, tune: Any, trial: Any, tmp_path: Path) -> None:
    with training.playing(trial([0.5, 0.4])) as made:
        found = tune()
    assert {*found} == {"learning_rate", "hidden_units", "custom"}
    assert len(made) == 3
    given = [json.loads(path.read_text()) for path in tmp_path.glob("tune-*/metrics.log")]
    assert len(given) == 3
    for words in given:
        assert words[:3] == ["-m", "mainspring.components.training.tuning.katib", "trial"]
        (order,) = [word.removeprefix("--order=") for word in words if word.startswith("--order=")]
        assert json.loads(order)["label"] == LABEL
    trials = json.loads((tmp_path / "trials.json").read_text())
    assert [one["state"] for one in trials] == ["complete"] * 3
    assert all(one["hyperparameters"]["custom"]["way"] in SPACE["custom.way"]["choices"] for one in trials)
    assert rests(training)


def test_a_failed_trial_is_said_in_its_own_words(training: Cluster, tune: Any, trial: Any) -> None:
    says = r"failed: label late is not a column \(node-0 ended with status 65\)$"
    play = trial([], 65, "mainspring: error: label late is not a column")
    with (
        training.playing(play) as made,
        pytest.raises(UserError, match=says),
    ):
        tune()
    assert len(made) <= 3
    assert rests(training)


def test_trials_that_cannot_start_end_the_tuning_in_time(training: Cluster, tune: Any) -> None:
    why = "0/1 nodes are available: 1 Insufficient cpu."
    says = r"no trial succeeded; .*is not scheduled: 0/1 nodes are available"
    with training.playing(lambda workers, made: workers.leave(made, why)), pytest.raises(UserError, match=says):
        tune(timeout=12)
    assert rests(training)


def test_more_trials_than_the_quota_has_jobs_end_all_the_same(training: Cluster, tune: Any, trial: Any) -> None:
    quota = {"spec": {"hard": {"count/trainjobs.trainer.kubeflow.org": "3"}}}
    place = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/mainspring"
    training.plane.call("PATCH", place, quota, "application/merge-patch+json")
    used = "count/trainjobs.trainer.kubeflow.org"
    training.plane.wait(lambda: training.plane.get(place)["status"]["hard"][used] == "3")
    try:
        with training.playing(trial([0.5])) as made:
            tune(count=6, parallel=2)
    finally:
        training.plane.call("PATCH", place, {"spec": {"hard": {used: "100"}}}, "application/merge-patch+json")
    assert len(made) == 6
    assert rests(training)


def test_a_search_that_pod_security_refuses_is_said_with_the_two_settings(training: Cluster, tune: Any) -> None:
    place = "/api/v1/namespaces/kubeflow/configmaps/katib-config"
    before = training.plane.get(place)["data"]
    settings = yaml.safe_load(before["katib-config.yaml"])
    for each in settings["runtime"]["suggestions"]:
        each.pop("securityContext", None)
    loose = {"data": {"katib-config.yaml": yaml.safe_dump(settings)}}
    training.plane.call("PATCH", place, loose, "application/merge-patch+json")
    says = r"does not go on: pod security refuses its pods: .*PodSecurity.*; Katib's pods hold to it with `injectSecu"
    try:
        with pytest.raises(UserError, match=says):
            tune()
    finally:
        training.plane.call("PATCH", place, {"data": before}, "application/merge-patch+json")
    assert rests(training)


def test_a_namespace_without_katibs_label_is_refused_before_anything_is_tried(training: Cluster, tune: Any) -> None:
    training.kubectl("label", "namespace", NAMESPACE, f"{experiments.LABEL}-")
    with pytest.raises(UserError, match=f"namespace team: Katib collects no eval_loss here: .*{experiments.LABEL}=ena"):
        tune()
    assert rests(training)
