"""A training on many machines as the cluster sees it: submitted once, followed, taken over, removed."""

from __future__ import annotations

import copy
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from schemas import validate
from trainer_api import Cluster, serving
from until import until

from mainspring.components.common import kubernetes_api
from mainspring.components.common.errors import UserError
from mainspring.components.training.distributed import train_job
from mainspring.components.training.train_model_distributed import train_model_distributed

RUNTIME: dict[str, Any] = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "mainspring-tensorflow", "labels": {"trainer.kubeflow.org/framework": "tensorflow"}},
    "spec": {
        "mlPolicy": {"numNodes": 2, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [{"name": "node", "image": "training"}]}}},
                        },
                    }
                ]
            }
        },
    },
}
TPU_RUNTIME = copy.deepcopy(RUNTIME)
TPU_RUNTIME["metadata"]["name"] = "mainspring-tensorflow-tpu"
(_job,) = TPU_RUNTIME["spec"]["template"]["spec"]["replicatedJobs"]
_job["template"]["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"google.com/tpu": 8}}
TPU_POOL = {
    "resources": {"google.com/tpu": "8"},
    "selectors": {"cloud.google.com/gke-tpu-topology": "2x4"},
    "tolerations": [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}],
}
POOL = {
    "resources": {"cpu": "9", "memory": "40G", "nvidia.com/gpu": "1"},
    "selectors": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


class Figures:
    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def log_metric(self, metric: str, value: float) -> None:
        self.values[metric] = value


def order_of(job: dict[str, Any]) -> dict[str, Any]:
    """What the pods are told."""
    (variable,) = job["spec"]["trainer"]["env"]
    assert variable["name"] == "MAINSPRING_TRAINING"
    return json.loads(variable["value"])


def succeed(cluster: Cluster, job: dict[str, Any]) -> None:
    """Plays a training that goes well: stands for the pods, which tests/manifests really runs."""
    chief, *_ = cluster.run_pods(job)
    cluster.logs[chief] = "training on worker 1 of 2\nepoch 1/1\n"
    output = Path(order_of(job)["output"])
    for folder in ("model", "logs"):
        (output / folder).mkdir(parents=True)
    (output / "model" / "saved_model.pb").write_bytes(b"model")
    (output / "report.html").write_text("<p>report")
    (output / "metrics.json").write_text('{"eval_auc": 0.9}')
    (output / "result.json").write_text('{"fingerprint": "sha256:1"}')
    cluster.run_pods(job, "Succeeded")
    cluster.end(job, "Complete")


def fail(cluster: Cluster, job: dict[str, Any]) -> None:
    chief, *_ = cluster.run_pods(job, "Failed")
    cluster.logs[chief] = "training on worker 1 of 2\nmainspring: error: label late is not a column\n"
    cluster.end(job, "Failed")


def hang(cluster: Cluster, job: dict[str, Any]) -> None:
    cluster.run_pods(job, "Pending")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    # The client reads KUBECONFIG once, when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(kubernetes_api, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(train_job, "POLL_SECONDS", 0.02)
    runtimes = {runtime["metadata"]["name"]: runtime for runtime in (RUNTIME, TPU_RUNTIME)}
    assert [validate(runtime) for runtime in runtimes.values()] == [[], []]
    with serving(Cluster(runtimes, validate, succeed), tmp_path / "kubeconfig") as found:
        yield found


@pytest.fixture
def train(cluster: Cluster, tmp_path: Path) -> Callable[..., str]:
    def run(**parameters: Any) -> str:
        figures = Figures()
        fingerprint = train_model_distributed(
            **{
                "examples": str(tmp_path / "examples"),
                "schema": str(tmp_path / "schema"),
                "label": "late",
                "model": str(tmp_path / "model"),
                "model_uri": str(tmp_path / "model"),
                "metrics": figures,
                "report": str(tmp_path / "report.html"),
                "logs": str(tmp_path / "logs"),
                "pause": 0.05,
            }
            | parameters
        )
        assert figures.values == {"eval_auc": 0.9}
        return fingerprint

    return run


def test_the_submitted_job_asks_for_the_nodes_and_the_pool(
    cluster: Cluster, train: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = train(nodes=3, pool=json.dumps(POOL), queue="fast", hyperparameters='{"max_epochs": 3}', timeout=600)

    assert fingerprint == "sha256:1"
    (job,) = cluster.created
    spec = job["spec"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "fast"
    assert spec["runtimeRef"]["name"] == "mainspring-tensorflow"
    assert spec["activeDeadlineSeconds"] == 900
    assert spec["trainer"]["numNodes"] == 3
    assert spec["trainer"]["resourcesPerNode"]["limits"] == POOL["resources"]
    (patch,) = spec["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert (pod["nodeSelector"], pod["tolerations"]) == (POOL["selectors"], POOL["tolerations"])
    assert order_of(job)["hyperparameters"] == {"max_epochs": 3}
    assert order_of(job)["accelerator"] == "gpu:1"  # A worker that finds none fails: no silent training on its CPU.
    assert (tmp_path / "model" / "saved_model.pb").read_bytes() == b"model"
    assert (tmp_path / "report.html").read_text() == "<p>report"
    assert not (tmp_path / "model-trainjob").exists()
    assert cluster.jobs == {}
    said = capsys.readouterr().out
    assert "node-0: Succeeded" in said
    assert said.count("  epoch 1/1") == 1


@pytest.mark.parametrize("pool", ["", json.dumps(TPU_POOL)])
def test_one_tpu_machine_is_submitted_and_several_are_not(
    cluster: Cluster, train: Callable[..., str], pool: str
) -> None:
    with pytest.raises(UserError, match=r"nodes is 2\. TensorFlow trains on TPUs of several machines only on"):
        train(nodes=2, runtime="mainspring-tensorflow-tpu", pool=pool)
    assert cluster.created == []

    assert train(nodes=1, runtime="mainspring-tensorflow-tpu", pool=pool) == "sha256:1"

    assert order_of(cluster.created[0]).get("accelerator") == ("tpu" if pool else None)


@pytest.mark.parametrize("what", [429, 500, "reset"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/clustertrainingruntimes/"), ("POST", "/trainjobs"), ("GET", "/trainjobs/train")]
)
def test_a_hiccup_of_the_api_costs_a_wait_and_nothing_else(
    cluster: Cluster, train: Callable[..., str], method: str, path: str, what: int | str
) -> None:
    cluster.faults = [(method, path, what)] * 2

    assert train() == "sha256:1"

    assert cluster.faults == []
    assert len(cluster.created) == 1
    assert cluster.jobs == {}


def test_a_lost_answer_to_the_submission_makes_no_second_job(cluster: Cluster, train: Callable[..., str]) -> None:
    cluster.faults = [("POST", "/trainjobs", "lost")]

    assert train() == "sha256:1"

    assert len(cluster.created) == 1


def test_logs_and_events_that_cannot_be_read_do_not_end_the_training(
    cluster: Cluster, train: Callable[..., str]
) -> None:
    cluster.faults = [("GET", "/events", 403), ("GET", "/log", 500)]

    assert train() == "sha256:1"


def test_a_step_that_is_tried_again_takes_its_own_job_over(cluster: Cluster, train: Callable[..., str]) -> None:
    cluster.play = hang
    name = killed_while_it_waits(cluster, train, signal.SIGKILL)
    job = cluster.jobs[name]

    threading.Timer(0.5, succeed, (cluster, job)).start()
    assert train() == "sha256:1"

    assert len(cluster.created) == 1


def test_a_job_belongs_to_the_run_and_goes_with_it(
    cluster: Cluster, train: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "weekly-x7", "uid": "u-run"}
    pod = {"name": "weekly-x7-step", "uid": "u-pod", "ownerReferences": [run | {"controller": True}]}
    cluster.pods = {"weekly-x7-step": {"apiVersion": "v1", "kind": "Pod", "metadata": pod}}
    monkeypatch.setenv("KFP_POD_NAME", "weekly-x7-step")
    monkeypatch.setenv("KFP_POD_UID", "u-pod")
    owners: list[Any] = []

    def note(cluster: Cluster, job: dict[str, Any]) -> None:
        until(lambda: "ownerReferences" in job["metadata"])
        owners.append(job["metadata"].get("ownerReferences"))
        assert validate({name: part for name, part in job.items() if name != "status"}) == []
        succeed(cluster, job)

    cluster.play = note

    assert train() == "sha256:1"

    assert owners == [[run]]


def test_a_job_that_cannot_be_given_to_the_run_trains_and_says_so(
    cluster: Cluster,
    train: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.pods = {"step": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "step", "uid": "u-pod"}}}
    monkeypatch.setenv("KFP_POD_NAME", "step")
    monkeypatch.setenv("KFP_POD_UID", "u-pod")
    cluster.faults = [("GET", "/pods/step", 403)]

    assert train() == "sha256:1"

    assert cluster.faults == []
    assert "deleting the run will not stop it" in capsys.readouterr().out


def killed_while_it_waits(cluster: Cluster, train: Callable[..., str], number: signal.Signals) -> str:
    """Runs a training in a child process and ends it by a signal once its job is there; returns the job's name."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            train()
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            os._exit(status)
    until(lambda: cluster.created and cluster.asked[-1].startswith("GET"))
    os.kill(child, number)
    _, status = os.waitpid(child, 0)
    assert number is signal.SIGKILL or os.waitstatus_to_exitcode(status) == 128 + number
    return cluster.created[0]["metadata"]["name"]


def test_a_cancelled_step_removes_its_job(cluster: Cluster, train: Callable[..., str]) -> None:
    cluster.play = hang
    cluster.faults = [("DELETE", "/trainjobs/", 500)]

    name = killed_while_it_waits(cluster, train, signal.SIGTERM)

    assert cluster.deleted == [name]
    assert cluster.jobs == {}


def test_a_failed_job_of_an_earlier_try_is_replaced(cluster: Cluster, train: Callable[..., str]) -> None:
    cluster.play = fail
    with pytest.raises(UserError, match=r"TrainJob train-\w+ failed: label late is not a column"):
        train()
    cluster.play = succeed

    assert train() == "sha256:1"

    assert len(cluster.created) == 2


@pytest.mark.parametrize(
    ("parameters", "faults", "says"),
    [
        ({"nodes": 0}, [], "nodes is 0"),
        ({"timeout": 0}, [], "timeout is 0"),
        ({"pool": "l4"}, [], "pool: must be what"),
        ({"hyperparameters": "[1]"}, [], "is no JSON object; give one"),
        ({"hyperparameters": '{"droput": 0.1}'}, [], "'droput' is not one; did you mean 'dropout'?"),
        ({"hyperparameters": '{"dropout": 2}'}, [], "dropout: 2 is out of range"),
        ({"task": "clustering"}, [], "task: 'clustering' is not one of auto"),
        ({"model_uri": "minio://mlpipeline/v2/model"}, [], "model: minio://mlpipeline/v2/model cannot be reached"),
        ({"runtime": "torch"}, [], "there is no training runtime torch, or no Kubeflow Trainer"),
        ({}, [("POST", "/trainjobs", 403)], "manifests/base/runner-role.yaml holds the Role"),
        ({}, [("POST", "/trainjobs", 422)], "namespace team: the TrainJob is refused: as asked"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    cluster: Cluster, train: Callable[..., str], parameters: dict[str, Any], faults: list[Any], says: str
) -> None:
    cluster.faults = faults

    with pytest.raises(UserError) as refused:
        train(**parameters)

    assert says in str(refused.value)
    assert cluster.created == []
