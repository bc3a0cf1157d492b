"""Which worker of which cluster this pod is: `TF_CONFIG`, from what Kubeflow Trainer and JobSet give a pod.

The runtimes in `manifests/` use Trainer's Torch policy, for the variables that it sets in each of a TrainJob's pods,
alike in all releases from 2.1 on: the first pod's name in the job's headless service, a port, how many pods there are,
and which of them this is. Runtimes with the JAX policy (Trainer 2.2 and newer) are understood as well. JobSet names
pods `<job>-<replicated job>-<replica>-<index>`, so the other workers' names follow from the first's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from mainspring.components.common.errors import UserError

ADDRESS, PORT, NODES, RANK = "PET_MASTER_ADDR", "PET_MASTER_PORT", "PET_NNODES", "PET_NODE_RANK"
"""What the Torch policy sets."""
COORDINATOR, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
"""What the JAX policy sets."""
TPU_WORKER, TPU_HOSTS = "TPU_WORKER_ID", "TPU_WORKER_HOSTNAMES"
"""GKE sets them in every pod with TPUs: which machine of its slice it is, and the machines' names, with commas."""

ONE_TPU_MACHINE = (
    "TensorFlow trains on TPUs of several machines only on Cloud TPU VMs, through a worker that their -pod images run "
    "on each machine and GKE's pods do not have"
)
"""Sources: TensorFlow's `tpu_cluster_resolver.py` ("local" is the machine's own chips; else the Cloud TPU API or a list
names gRPC workers) and `grpc_tpu_worker.py` (asks the TPU VM's metadata for its slice). Google's page "TPU software
versions": `tpu-vm-tf-x.y.z-pod-pjrt`, up to TensorFlow 2.18. "Deploy TPU Multislices in GKE": JAX and PyTorch only.
"""

_FIRST_POD = re.compile(r"(?P<pods>[a-z0-9]([-a-z0-9]*[a-z0-9])?-)0\.(?P<service>[-.a-z0-9]+):(?P<port>[1-9][0-9]*)")


def tf_config(variables: Mapping[str, str]) -> str:
    """Returns `TF_CONFIG` for this pod; empty where it is the only one.

    Args:
        variables: The pod's environment.

    Raises:
        UserError: The pod is not one of a TrainJob's of our runtimes, or one of several with TPUs.
    """
    is_jax = bool(variables.get(COORDINATOR))
    asked = (COORDINATOR, PROCESSES, PROCESS) if is_jax else (ADDRESS, PORT, NODES, RANK)
    missing = [name for name in asked if not variables.get(name)]
    if missing:
        raise UserError(
            f"{missing[0]} is not set: start this by a TrainJob with `spec.trainer` on one of Mainspring's "
            "ClusterTrainingRuntimes (manifests/base/training-runtimes.yaml)"
        )
    nodes, rank = asked[-2:]
    count, number = (_whole(name, variables[name]) for name in (nodes, rank))
    if not 0 <= number < count:
        raise UserError(f"{rank} is {number} and {nodes} is {count}: there is no such worker")
    hosts = [host for host in variables.get(TPU_HOSTS, "").split(",") if host]
    if len(hosts) > 1:
        raise UserError(
            f"{TPU_HOSTS}: this TPU slice is {len(hosts)} machines. {ONE_TPU_MACHINE}; use a slice of one machine: "
            "v5e-2x4, v6e-2x4 or v5p-2x2x1"
        )
    if count > 1 and (hosts or variables.get(TPU_WORKER)):
        raise UserError(f"{nodes}: {count} pods with TPUs. {ONE_TPU_MACHINE}; set nodes=1")
    if count == 1:
        return ""
    where = variables[COORDINATOR] if is_jax else f"{variables[ADDRESS]}:{variables[PORT]}"
    first = _FIRST_POD.fullmatch(where)
    if not first:
        raise UserError(
            f"{COORDINATOR if is_jax else ADDRESS} is {where!r}; it must name the first pod, such as "
            "job-node-0-0.job:29500"
        )
    workers = [f"{first['pods']}{index}.{first['service']}:{first['port']}" for index in range(count)]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": number}})


def _whole(name: str, text: str) -> int:
    if not text.isdigit():
        raise UserError(f"{name} is {text!r}; it must be a whole number")
    return int(text)
