"""Puts a task of a pipeline on a node pool."""

from __future__ import annotations

import json
import re
from typing import Any

from kfp import kubernetes

from mainspring.components.common.errors import UserError
from mainspring.components.common.images import REPOSITORY
from mainspring.pipelines.accelerators.gke import profile as gke_profile
from mainspring.pipelines.accelerators.profiles import GPU, TPU, Profile, Toleration
from mainspring.pipelines.pods import restricted

SPOT_RETRIES = 5
"""A spot machine may go at any time; each retry resumes from the last checkpoint."""

FIRST_WAIT, WAIT_FACTOR, LONGEST_WAIT = "30s", 2.0, "15m"
"""Between retries: a node pool that scales up needs minutes."""

_QUANTITY = re.compile(r"[1-9][0-9]*(\.[0-9]+)?(m|[kMGT]i?)?")
_OWN_TRAINING = re.compile(rf"^((.*/)?{REPOSITORY}/training:[^-@]+)$")


def apply(
    task: Any,
    profile: Profile | str,
    *,
    spot: bool = False,
    retries: int | None = None,
    timeout: int = 0,
    shared_memory: str = "",
    cpu: str = "",
    memory: str = "",
) -> Any:
    """Has a task run on a profile's node pool.

    Sets selectors, tolerations, accelerator type and limit, CPU and memory, `/dev/shm`, retries with growing waits, the
    timeout, and a user that is not root. A task of Mainspring's training image gets that image's GPU or TPU variant.

    Args:
        task: What calling a component within a pipeline returned; not a pipeline within a pipeline.
        profile: A profile, or the name of a GKE one such as `l4` or `v5e-2x4`.
        spot: Use machines that may be taken away, at a lower price.
        retries: How often a failed attempt is repeated; None: 5 on spot machines, 2 elsewhere.
        timeout: Seconds until an attempt is ended; 0: no limit.
        shared_memory: Size of `/dev/shm`; empty: the profile's.
        cpu: What the pod asks for; empty: the profile's, which is most of the machine.
        memory: The same; it is the limit too, and holds the shared memory.

    Returns:
        The task.

    Raises:
        UserError: The profile needs several machines, has no spot machines, or a value makes no sense.
    """
    pool = gke_profile(profile) if isinstance(profile, str) else profile
    _check(task, pool, spot, retries, timeout)
    task.set_accelerator_type(pool.resource)
    task.set_accelerator_limit(pool.count)
    if cpu or pool.cpu:
        task.set_cpu_request(_quantity("cpu", cpu or pool.cpu))
    if memory or pool.memory:
        task.set_memory_request(_quantity("memory", memory or pool.memory))
        task.set_memory_limit(memory or pool.memory)
    for label, value in (*pool.selectors, *(pool.spot_selectors if spot else ())):
        kubernetes.add_node_selector(task, label, value)
    for toleration in (*pool.tolerations, *(pool.spot_tolerations if spot else ())):
        _tolerate(task, toleration)
    size = _quantity("shared_memory", shared_memory or pool.shared_memory)
    kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=size)
    restricted.as_nobody(task)
    task.set_retry(
        (SPOT_RETRIES if spot else 2) if retries is None else retries,
        backoff_duration=FIRST_WAIT,
        backoff_factor=WAIT_FACTOR,
        backoff_max_duration=LONGEST_WAIT,
    )
    if timeout:
        kubernetes.set_timeout(task, timeout)
    _use_variant(task, pool)
    return task


def pool(profile: Profile | str, *, spot: bool = False) -> str:
    """Returns `train_model_distributed`'s `pool`: where each worker of a TrainJob runs, and what it gets.

    Raises:
        UserError: The profile is several machines, or has no spot machines.
    """
    chosen = gke_profile(profile) if isinstance(profile, str) else profile
    _check_one_machine(chosen)
    check_spot(chosen, spot)
    tolerations = (*chosen.tolerations, *(chosen.spot_tolerations if spot else ()))
    resources = {"cpu": chosen.cpu, "memory": chosen.memory, chosen.resource: str(chosen.count)}
    fields = {
        "resources": {name: amount for name, amount in resources.items() if amount},
        "selectors": dict((*chosen.selectors, *(chosen.spot_selectors if spot else ()))),
        "tolerations": [as_kubernetes_writes(toleration) for toleration in tolerations],
    }
    return json.dumps(fields)


def as_kubernetes_writes(toleration: Toleration) -> dict[str, str]:
    """Returns a toleration as a pod's specification has it."""
    operator = {"operator": "Equal", "value": toleration.value} if toleration.value else {"operator": "Exists"}
    return {"key": toleration.key, **operator, "effect": toleration.effect}


def check_spot(chosen: Profile, spot: bool) -> None:
    """Raises a `UserError` if spot machines are asked for and the profile knows none."""
    if spot and not chosen.can_be_spot:
        raise UserError(
            f"accelerator {chosen.name}: the profile names no spot nodes; add `spot` to it, or leave it out"
        )


def _check(task: Any, pool: Profile, spot: bool, retries: int | None, timeout: int) -> None:
    if getattr(task, "container_spec", None) is None:
        raise UserError(
            f"accelerator {pool.name}: only a component's task can be put on a node pool; apply it inside the nested "
            "pipeline instead"
        )
    _check_one_machine(pool)
    check_spot(pool, spot)
    if retries is not None and retries < 0:
        raise UserError(f"retries is {retries}; it must be 0 or more")
    if timeout < 0:
        raise UserError(f"timeout is {timeout}; it must be a number of seconds, or 0 for no limit")


def _check_one_machine(chosen: Profile) -> None:
    if chosen.machines == 1:
        return
    # The sources are named where pods are refused: components/training/hardware/worker_role.py.
    why = (
        "TensorFlow trains on a slice of several only on Cloud TPU VMs, through a worker that their -pod images run on "
        "each machine and GKE's pods do not have; use a slice of one machine, such as v5e-2x4"
        if chosen.resource == TPU
        else "a profile is one pod; use one of a single machine, and train_model_distributed's nodes for more"
    )
    raise UserError(f"accelerator {chosen.name} is {chosen.machines} machines: {why}")


def _quantity(name: str, value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        raise UserError(f"{name} is {value!r}; it must be a number with a unit as Kubernetes writes it, such as 8Gi")
    return value


def _tolerate(task: Any, toleration: Toleration) -> None:
    if toleration.value:
        kubernetes.add_toleration(
            task, key=toleration.key, operator="Equal", value=toleration.value, effect=toleration.effect
        )
    else:
        kubernetes.add_toleration(task, key=toleration.key, operator="Exists", effect=toleration.effect)


def _use_variant(task: Any, pool: Profile) -> None:
    variant = {GPU: "gpu", TPU: "tpu"}.get(pool.resource)
    ours = _OWN_TRAINING.match(task.container_spec.image)
    if variant and ours:
        task.set_container_image(f"{ours[1]}-{variant}")
