"""A tuning on a cluster: an Experiment that Katib's and Trainer's schemas accept, followed, taken over, removed.

Katib itself is played: each trial is the Experiment's template with values put in as Katib puts them in, text for text.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from schemas import validate
from trainer_api import NOW, Cluster, serving
from until import until

from mainspring.components.common import kubernetes_api
from mainspring.components.common.errors import UserError
from mainspring.components.training.distributed import train_job
from mainspring.components.training.reporting.figures import Figures
from mainspring.components.training.tune_model_distributed import tune_model_distributed
from mainspring.components.training.tuning import experiments

SPACE = {
    "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
    "custom.way": {"choices": ["good", 'bet"ter']},
}
TRIED = [
    {"learning_rate": "0.002", "custom-way": "%22good%22"},
    {"learning_rate": "0.005", "custom-way": "%22bet%5C%22ter%22"},
]
POOL = {
    "resources": {"cpu": "9", "nvidia.com/gpu": "1"},
    "selectors": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


def start_trial(cluster: Cluster, experiment: dict[str, Any], number: int) -> dict[str, Any]:
    """Makes a Trial and its TrainJob, as Katib's controller does."""
    name = f"{experiment['metadata']['name']}-{number}"
    template = experiment["spec"]["trialTemplate"]
    text = json.dumps(template["trialSpec"])
    for parameter in template["trialParameters"]:
        text = text.replace(f"${{trialParameters.{parameter['name']}}}", TRIED[number][parameter["reference"]])
    job = json.loads(text)
    job["metadata"] = job.get("metadata", {}) | {"name": name, "namespace": "team", "creationTimestamp": NOW}
    assert validate(job) == []
    assignments = [{"name": key, "value": value} for key, value in TRIED[number].items()]
    cluster.trials[name] = {
        "metadata": {"name": name, "namespace": "team", "creationTimestamp": f"{NOW}{number}"},
        "spec": {"parameterAssignments": assignments, "objective": experiment["spec"]["objective"]},
    }
    cluster.jobs[name] = job
    return job


def end_trial(cluster: Cluster, job: dict[str, Any], loss: float | None, kind: str = "Complete") -> None:
    cluster.end(job, kind)
    state = "Failed" if kind == "Failed" else "Succeeded" if loss is not None else "MetricsUnavailable"
    status: dict[str, Any] = {"conditions": [{"type": state, "status": "True", "reason": state, "message": ""}]}
    if loss is not None:
        observed = [{"name": "eval_loss", "latest": "0.9", "min": str(loss), "max": "0.9"}]
        status["observation"] = {"metrics": observed}
    cluster.trials[job["metadata"]["name"]]["status"] = status


def end(cluster: Cluster, experiment: dict[str, Any], kind: str, best: int | None, message: str = "") -> None:
    condition = {"type": kind, "status": "True", "reason": kind, "message": message}
    status: dict[str, Any] = {"conditions": [condition]}
    if best is not None:
        assignments = [{"name": key, "value": value} for key, value in TRIED[best].items()]
        name = f"{experiment['metadata']['name']}-{best}"
        status["currentOptimalTrial"] = {"bestTrialName": name, "parameterAssignments": assignments}
    experiment["status"] = status


def succeed(cluster: Cluster, experiment: dict[str, Any]) -> None:
    for number, loss in enumerate((0.4, 0.3)):
        end_trial(cluster, start_trial(cluster, experiment, number), loss)
    end(cluster, experiment, "Succeeded", best=1)


def fail(cluster: Cluster, experiment: dict[str, Any]) -> None:
    job = start_trial(cluster, experiment, 0)
    cluster.run_pods(job, "Failed")
    cluster.logs[f"{job['metadata']['name']}-node-0-0-x"] = "mainspring: error: label late is not a column\n"
    end_trial(cluster, job, None, "Failed")
    end(cluster, experiment, "Failed", best=None, message="too many trials failed")


def hang(cluster: Cluster, experiment: dict[str, Any]) -> None:
    end_trial(cluster, start_trial(cluster, experiment, 0), 0.4)
    start_trial(cluster, experiment, 1)
    end(cluster, experiment, "Running", best=0)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    # The client reads KUBECONFIG once, when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(kubernetes_api, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(train_job, "POLL_SECONDS", 0.02)
    runtime = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "ClusterTrainingRuntime",
        "metadata": {"name": "mainspring-tensorflow", "labels": {"trainer.kubeflow.org/framework": "tensorflow"}},
        "spec": {"mlPolicy": {"numNodes": 1}, "template": {"spec": {"replicatedJobs": [REPLICATED]}}},
    }
    labels = {experiments.LABEL: "enabled"}
    made = Cluster({"mainspring-tensorflow": runtime}, validate, succeed, labels=labels)
    with serving(made, tmp_path / "kubeconfig") as found:
        yield found


REPLICATED = {
    "name": "node",
    "template": {
        "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
        "spec": {"template": {"spec": {"containers": [{"name": "node", "image": "training"}]}}},
    },
}


@pytest.fixture
def tune(cluster: Cluster, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(**parameters: Any) -> dict[str, Any]:
        run.figures = Figures()  # type: ignore[attr-defined]
        found = tune_model_distributed(
            **{
                "examples": "gs://team/examples",
                "schema": "gs://team/schema",
                "label": "late",
                "trials": str(tmp_path / "trials.json"),
                "trials_uri": "gs://team/runs/7/trials",
                "metrics": run.figures,  # type: ignore[attr-defined]
                "report": str(tmp_path / "tuning.html"),
                "space": json.dumps(SPACE),
                "hyperparameters": '{"max_epochs": 3}',
                "count": 2,
                "pause": 0.05,
            }
            | parameters
        )
        return json.loads(found)

    return run


def test_the_best_trials_hyperparameters_come_back_and_the_experiment_goes(
    cluster: Cluster, tune: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tune(pool=json.dumps(POOL), queue="fast", parallel=5, seed=3)

    assert found == {"max_epochs": 3, "learning_rate": 0.005, "custom": {"way": 'bet"ter'}}
    assert tune.figures.values == {"best_eval_loss": 0.3, "trials": 2, "trials_complete": 2}
    trials = json.loads((tmp_path / "trials.json").read_text())
    assert [trial["hyperparameters"]["learning_rate"] for trial in trials] == [0.002, 0.005]
    assert "Trial 2 of 2 is the best: eval loss 0.3000." in (tmp_path / "tuning.html").read_text()
    assert cluster.experiments == cluster.trials == cluster.jobs == {}
    said = capsys.readouterr().out
    assert said.count("complete, eval loss 0.3000") == 1
    (experiment,) = cluster.created
    assert (experiment["spec"]["maxTrialCount"], experiment["spec"]["parallelTrialCount"]) == (2, 2)
    assert experiment["spec"]["algorithm"]["algorithmSettings"] == [{"name": "random_state", "value": "3"}]
    job = experiment["spec"]["trialTemplate"]["trialSpec"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "fast"
    assert job["spec"]["trainer"]["resourcesPerNode"]["limits"] == POOL["resources"]
    (order,) = [word for word in shlex.split(job["spec"]["trainer"]["command"][2]) if word.startswith("--order=")]
    assert json.loads(order.removeprefix("--order="))["accelerator"] == "gpu:1"
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["template"]["spec"]["template"]["spec"]["nodeSelector"] == POOL["selectors"]


@pytest.mark.parametrize("what", [429, 500, "reset"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/experiments"), ("GET", "/experiments/tune"), ("GET", "/trials")]
)
def test_a_hiccup_of_the_api_costs_a_wait_and_nothing_else(
    cluster: Cluster, tune: Any, method: str, path: str, what: int | str
) -> None:
    cluster.faults = [(method, path, what)] * 2

    assert tune()["learning_rate"] == 0.005

    assert cluster.faults == []
    assert len(cluster.created) == 1
    assert cluster.experiments == {}


def test_a_lost_answer_to_the_submission_makes_no_second_experiment(cluster: Cluster, tune: Any) -> None:
    cluster.faults = [("POST", "/experiments", "lost")]

    tune()

    assert len(cluster.created) == 1


def test_a_trial_whose_job_is_not_there_yet_is_waited_for(cluster: Cluster, tune: Any) -> None:
    def late(cluster: Cluster, experiment: dict[str, Any]) -> None:
        job = start_trial(cluster, experiment, 0)
        cluster.jobs.pop(job["metadata"]["name"])
        asked = len(cluster.asked)
        until(lambda: len(cluster.asked) >= asked + 6)
        cluster.trials.clear()
        succeed(cluster, experiment)

    cluster.play = late

    assert tune()["learning_rate"] == 0.005


def killed_while_it_waits(cluster: Cluster, tune: Any, number: signal.Signals) -> str:
    """Runs a tuning in a child process and ends it by a signal once it follows; returns the experiment's name."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            tune()
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            os._exit(status)
    until(lambda: cluster.created and cluster.asked[-1].startswith("GET"))
    os.kill(child, number)
    _, status = os.waitpid(child, 0)
    assert number is signal.SIGKILL or os.waitstatus_to_exitcode(status) == 128 + number
    return cluster.created[0]["metadata"]["name"]


def test_a_cancelled_step_removes_its_experiment(cluster: Cluster, tune: Any) -> None:
    cluster.play = hang

    name = killed_while_it_waits(cluster, tune, signal.SIGTERM)

    assert cluster.deleted[-1] == name
    assert cluster.experiments == cluster.jobs == {}


def test_a_step_that_is_tried_again_takes_its_own_experiment_over(cluster: Cluster, tune: Any) -> None:
    cluster.play = hang
    name = killed_while_it_waits(cluster, tune, signal.SIGKILL)
    cluster.trials.clear()

    threading.Timer(0.3, succeed, (cluster, cluster.experiments[name])).start()
    assert tune()["learning_rate"] == 0.005

    assert len(cluster.created) == 1


def test_a_failed_experiment_is_told_by_its_trial_and_replaced_by_the_next_try(cluster: Cluster, tune: Any) -> None:
    cluster.play = fail
    with pytest.raises(UserError, match=r"Experiment tune-\w+ failed: label late is not a column"):
        tune()
    cluster.play = succeed

    assert tune()["learning_rate"] == 0.005

    assert len(cluster.created) == 2


def test_when_the_time_is_over_the_best_so_far_counts(cluster: Cluster, tune: Any, tmp_path: Path) -> None:
    cluster.play = hang

    assert tune(timeout=1)["learning_rate"] == 0.002

    assert [trial["state"] for trial in json.loads((tmp_path / "trials.json").read_text())] == ["complete", "cut short"]
    assert cluster.experiments == {}


def test_trials_without_a_metric_say_what_the_namespace_lacks(cluster: Cluster, tune: Any) -> None:
    def without(cluster: Cluster, experiment: dict[str, Any]) -> None:
        end_trial(cluster, start_trial(cluster, experiment, 0), None)
        end(cluster, experiment, "Succeeded", best=None)

    cluster.play = without

    with pytest.raises(UserError, match="metrics-collector-injection=enabled"):
        tune()


def test_an_experiment_belongs_to_the_run(cluster: Cluster, tune: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "weekly-x7", "uid": "u-run"}
    pod = {"name": "step", "uid": "u-pod", "ownerReferences": [run | {"controller": True}]}
    cluster.pods = {"step": {"apiVersion": "v1", "kind": "Pod", "metadata": pod}}
    monkeypatch.setenv("KFP_POD_NAME", "step")
    monkeypatch.setenv("KFP_POD_UID", "u-pod")

    tune()

    assert cluster.created[0]["metadata"]["ownerReferences"] == [run]


@pytest.mark.parametrize(
    ("parameters", "faults", "says"),
    [
        ({"count": 0}, [], "count"),
        ({"space": '{"lr": {"choices": [1]}}'}, [], "space: 'lr' is no hyperparameter"),
        ({"pool": "l4"}, [], "pool: must be what"),
        ({"examples": "minio://mlpipeline/examples"}, [], "examples: minio://mlpipeline/examples cannot be reached"),
        ({}, [("POST", "/experiments", 404)], "there is no Katib in this cluster"),
        ({}, [("POST", "/experiments", 403)], "this account may not do what an Experiment needs"),
        ({}, [("POST", "/experiments", 422)], "namespace team: the Experiment is refused: as asked"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    cluster: Cluster, tune: Any, parameters: dict[str, Any], faults: list[Any], says: str
) -> None:
    cluster.faults = faults

    with pytest.raises(UserError) as refused:
        tune(**parameters)

    assert says in str(refused.value)
    assert cluster.created == []
