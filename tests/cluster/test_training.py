"""Trainings on Trainer's real controllers: submitted, followed, ended in every way there is; nothing is left behind.

Real here: the API server with pod security and quotas, Trainer, JobSet, Jobs, our manifests and their account. Played:
the scheduler, the kubelet and the containers (`workers`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.training.distributed import following, pod
from mainspring.components.training.train_model_distributed import train_model_distributed
from tests.cluster.trained import JOBS, NAMESPACE, PODS, Cluster
from tests.cluster.workers import Workers

Play = Callable[[Workers, dict[str, Any]], None]


class Figures:
    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def log_metric(self, metric: str, value: float) -> None:
        self.values[metric] = value


@pytest.fixture
def train(training: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setattr(following, "HOPELESS_SECONDS", 3.0)

    def run(**parameters: Any) -> str:
        return train_model_distributed(
            **{
                "examples": str(tmp_path / "examples"),
                "schema": str(tmp_path / "schema"),
                "label": "late",
                "model": str(tmp_path / "model"),
                "model_uri": str(tmp_path / "model"),
                "metrics": Figures(),
                "report": str(tmp_path / "report.html"),
                "logs": str(tmp_path / "logs"),
                "pause": 0.5,
                "timeout": 90,
            }
            | parameters
        )

    return run


def variables(made: dict[str, Any]) -> dict[str, str]:
    """What Trainer and JobSet tell a pod's container."""
    (container,) = [each for each in made["spec"]["containers"] if each["name"] == "node"]
    index = made["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
    return {each["name"]: each.get("value", index) for each in container["env"]}


def succeed(workers: Workers, made: dict[str, Any]) -> None:
    """Plays a training that goes well: its first worker publishes."""
    workers.run(made)
    told = variables(made)
    if told["PET_NODE_RANK"] == "0":
        scratch = Path(json.loads(told[pod.ORDER])["output"]).with_suffix(".scratch")
        for folder in ("model", "logs"):
            (scratch / folder).mkdir(parents=True)
        (scratch / "model" / "saved_model.pb").write_bytes(b"model")
        (scratch / "report.html").write_text("<p>report")
        (scratch / "metrics.json").write_text('{"eval_auc": 0.9}')
        pod.publish(scratch, json.loads(told[pod.ORDER])["output"], "sha256:1")
    workers.end(made, 0, "training on worker 1 of 2\nepoch 1/1\n")


def rests(training: Cluster) -> bool:
    """Whether nothing is there: no job, no JobSet, no pod."""
    training.plane.wait(lambda: not training.trainings())
    return True


def test_two_workers_train_and_nothing_is_left(training: Cluster, train: Any, tmp_path: Path, capsys: Any) -> None:
    with training.playing(succeed) as made:
        assert train(nodes=2) == "sha256:1"
    said = capsys.readouterr().out
    print(said)
    assert (tmp_path / "model" / "saved_model.pb").is_file()
    assert len(made) == 2
    assert rests(training)


def fail(status: int, log: str) -> Play:
    def play(workers: Workers, made: dict[str, Any]) -> None:
        workers.run(made)
        workers.end(made, status, log)

    return play


def test_a_mistake_is_tried_once_and_said_with_the_exit_status(training: Cluster, train: Any) -> None:
    says = r"failed: label late is not a column \(node-\d ended with status 65\)"
    play = fail(65, "epoch 1/3\nmainspring: error: label late is not a column\n")
    with (
        training.playing(play) as made,
        pytest.raises(UserError, match=says),
    ):
        train(nodes=2)
    assert len(made) == 2, "no worker was started again"
    assert rests(training)


def test_a_worker_that_dies_is_restarted_and_its_last_words_are_said(training: Cluster, train: Any) -> None:
    says = r"failed: node-0 ended with status 137 .*: epoch 1/3"
    with training.playing(fail(137, "epoch 1/3\n")) as made, pytest.raises(UserError, match=says):
        train(nodes=1)
    assert len(made) == 4, "the first time, and three restarts"
    assert rests(training)


def test_what_keeps_pods_from_starting_is_said(training: Cluster, train: Any, capsys: Any) -> None:
    why = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available."
    with (
        training.playing(lambda workers, made: workers.leave(made, why)),
        pytest.raises(UserError, match=r"is not done after 6 s \(pod train-.* is not scheduled: 0/1 nodes.*timeout"),
    ):
        train(nodes=1, timeout=6)
    assert "it does not start: pod train-" in capsys.readouterr().out
    volume = 'MountVolume.SetUp failed for volume "storage": secret "key" not found'
    says = r"is not done after 6 s \(pod train-.*: FailedMount: MountVolume.SetUp failed"
    with (
        training.playing(lambda workers, made: workers.tell(made, "FailedMount", volume)),
        pytest.raises(UserError, match=says),
    ):
        train(nodes=1, timeout=6)
    image = 'rpc error: code = NotFound desc = failed to pull and unpack image "mainspring/training:0.1.0": not found'
    says = r"does not start: container node: ImagePullBackOff: rpc error.*not found"
    with training.playing(lambda workers, made: workers.lack(made, image)), pytest.raises(UserError, match=says):
        train(nodes=1)
    assert rests(training)


def test_a_quota_and_pod_security_are_said_in_their_own_words(training: Cluster, train: Any) -> None:
    big = {"resources": {"cpu": "9", "memory": "4Gi"}, "selectors": {}, "tolerations": []}
    with pytest.raises(UserError, match=r"the quota has no room for it: .*exceeded quota: mainspring, requested: .*=9"):
        train(nodes=1, pool=json.dumps(big))
    half = {"resources": {"cpu": "5", "memory": "4Gi"}, "selectors": {}, "tolerations": []}  # One of two has room.
    with pytest.raises(
        UserError, match=r"not done after 8 s \(the quota has no room for it: .*exceeded quota: mainspr"
    ):
        train(nodes=2, pool=json.dumps(half), timeout=8)
    runtime = training.plane.get("/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/mainspring-tensorflow")
    own = {"apiVersion": runtime["apiVersion"], "kind": "TrainingRuntime", "metadata": {"name": "loose"}}
    own["spec"] = runtime["spec"]
    (job,) = own["spec"]["template"]["spec"]["replicatedJobs"]
    job["template"]["spec"]["template"]["spec"].pop("securityContext")
    training.plane.apply(f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainingruntimes/loose", own)
    with pytest.raises(UserError, match=r"pod security refuses its pods: .*violates PodSecurity.*runtime's pods must"):
        train(nodes=1, runtime="loose")
    assert rests(training)


def test_a_job_that_somebody_deletes_is_one_line(training: Cluster, train: Any) -> None:
    def delete(workers: Workers, made: dict[str, Any]) -> None:
        workers.run(made)
        (name,) = training.names(JOBS)
        training.plane.call("DELETE", f"{JOBS}/{name}")

    with (
        training.playing(delete),
        pytest.raises(UserError, match=r"^TrainJob train-\w+ is gone: somebody has deleted it$"),
    ):
        train(nodes=1)
    assert rests(training)


def test_the_deadline_ends_the_job_and_leaves_nothing(training: Cluster, train: Any, tmp_path: Path) -> None:
    def work(workers: Workers, made: dict[str, Any]) -> None:
        (tmp_path / "model-trainjob-checkpoints").mkdir(exist_ok=True)
        workers.run(made)

    with training.playing(work), pytest.raises(UserError, match="is not done after 5 s; raise `timeout`"):
        train(nodes=1, timeout=5)
    assert rests(training)
    assert not [*tmp_path.glob("model-trainjob*")]


def test_a_pool_reaches_the_pods_and_the_run_owns_the_job(
    training: Cluster, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = {"name": "step-7", "labels": {"step": "yes"}}
    container = {"name": "main", "image": "step", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    safe = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {"containers": [container | {"securityContext": safe}], "restartPolicy": "Never"}
    spec["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    step = training.plane.call("POST", PODS, body)
    monkeypatch.setenv("KFP_POD_NAME", "step-7")
    monkeypatch.setenv("KFP_POD_UID", step["metadata"]["uid"])
    pool = {
        "resources": {"cpu": "1", "memory": "2Gi"},
        "selectors": {"cloud.google.com/gke-nodepool": "train"},
        "tolerations": [{"key": "train", "operator": "Exists", "effect": "NoSchedule"}],
    }

    def end_the_run(workers: Workers, made: dict[str, Any]) -> None:
        workers.run(made)
        training.plane.call("DELETE", f"{PODS}/step-7")

    with training.playing(end_the_run) as made, pytest.raises(UserError, match="is gone"):
        train(nodes=1, pool=json.dumps(pool), image="mainspring/other")
    (found,) = made
    assert found["spec"]["nodeSelector"] == pool["selectors"]
    assert pool["tolerations"][0] in found["spec"]["tolerations"]
    (container,) = found["spec"]["containers"]
    assert (container["image"], container["resources"]["limits"]["memory"]) == ("mainspring/other", "2Gi")
    assert rests(training)
