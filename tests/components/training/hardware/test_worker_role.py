"""Which worker a pod is: told from what Kubeflow Trainer gives it, and from nothing else."""

from __future__ import annotations

import json

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.training.distributed.pod import is_finished, publish, read_order
from mainspring.components.training.hardware.worker_role import tf_config

POD = {
    "PET_MASTER_ADDR": "flights-7-node-0-0.flights-7",
    "PET_MASTER_PORT": "29500",
    "PET_NNODES": "3",
    "PET_NODE_RANK": "1",
}


JAX = {
    "JAX_COORDINATOR_ADDRESS": "flights-7-node-0-0.flights-7:29500",
    "JAX_NUM_PROCESSES": "3",
    "JAX_PROCESS_ID": "1",
}


@pytest.mark.parametrize("given", [POD, JAX], ids=["torch", "jax"])
def test_the_other_workers_names_follow_from_the_first_pods(given: dict[str, str]) -> None:
    assert json.loads(tf_config(given)) == {
        "cluster": {"worker": [f"flights-7-node-0-{number}.flights-7:29500" for number in range(3)]},
        "task": {"type": "worker", "index": 1},
    }


ALONE = {"PET_NNODES": "1", "PET_NODE_RANK": "0"}


@pytest.mark.parametrize("slice_of_one", [{}, {"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "localhost"}])
def test_a_pod_that_is_alone_needs_no_cluster(slice_of_one: dict[str, str]) -> None:
    assert tf_config(POD | ALONE | slice_of_one) == ""


def test_the_only_pod_of_a_job_is_refused_where_its_slice_has_more_machines() -> None:
    with pytest.raises(UserError, match="this TPU slice is 4 machines"):
        tf_config(POD | ALONE | {"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "a,b,c,d"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"PET_NNODES": ""}, "PET_NNODES is not set: start this by a TrainJob"),
        ({"PET_NODE_RANK": "3"}, "there is no such worker"),
        ({"PET_NODE_RANK": "-1"}, "PET_NODE_RANK is '-1'; it must be a whole number"),
        ({"PET_MASTER_ADDR": "10.0.0.1"}, "it must name the first pod"),
        ({"PET_MASTER_PORT": "x"}, "it must name the first pod"),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "this TPU slice is 2 machines. TensorFlow trains on TPUs of several"),
        ({"TPU_WORKER_HOSTNAMES": "a", "TPU_WORKER_ID": "0"}, "PET_NNODES: 3 pods with TPUs. TensorFlow trains"),
    ],
)
def test_a_pod_that_is_no_trainjobs_is_refused(change: dict[str, str], says: str) -> None:
    with pytest.raises(UserError) as refused:
        tf_config(POD | change)

    assert says in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"examples": "gs://b/e", "schema": "gs://b/s", "label": "late"}'])
def test_an_order_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="MAINSPRING_TRAINING: "):
        read_order({"MAINSPRING_TRAINING": text})


def test_an_attempt_that_was_cut_short_is_no_finished_training(tmp_path) -> None:  # type: ignore[no-untyped-def]
    output, scratch = tmp_path / "output", tmp_path / "scratch"
    (output / "model").mkdir(parents=True)
    (output / "model" / "half").write_text("of an attempt before")
    (scratch / "model").mkdir(parents=True)
    (scratch / "model" / "saved_model.pb").write_text("whole")

    assert not is_finished(str(output))
    publish(scratch, str(output), "sha256:1")

    assert is_finished(str(output))
    assert [path.name for path in (output / "model").iterdir()] == ["saved_model.pb"]
