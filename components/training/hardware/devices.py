"""What training runs on: chosen from what is there, said in the log, and refused where it is not what was asked for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from mainspring.components.common.errors import UserError
from mainspring.components.training.hardware.awaiting_workers import await_workers
from mainspring.components.training.hardware.worker_role import ONE_TPU_MACHINE

CLUSTER_VARIABLE = "TF_CONFIG"
BFLOAT16_CAPABILITY = (8, 0)
"""The first NVIDIA compute capability whose matrix units take bfloat16."""
FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"
PRECISIONS = ("", FLOAT32, BFLOAT16)


@dataclass(frozen=True)
class Hardware:
    """Where a training runs."""

    strategy: tf.distribute.Strategy
    description: str
    """Such as `CPU (2 cores)` or `2 GPU, mirrored`."""
    precision: str
    """Keras' name of it: `float32` or `mixed_bfloat16`."""
    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes what is written once."""
        return self.worker == 0

    @property
    def local_replicas(self) -> int:
        """Replicas of the model in this process."""
        return self.strategy.num_replicas_in_sync // self.workers

    @property
    def is_plain(self) -> bool:
        """Whether one device trains in one process, without any distribution."""
        return self.strategy.num_replicas_in_sync == 1 and self.workers == 1


def choose_hardware(accelerator: str = "", precision: str = "") -> Hardware:
    """Returns the hardware to train on.

    Args:
        accelerator: Empty: the best that is there. `cpu`, `gpu`, `tpu`: that, or nothing; `gpu:4`: just so many.
            `cpu:2` makes two logical devices of the CPU, to try a distribution without any accelerator.
        precision: `float32`, `mixed_bfloat16`, or empty: bfloat16 on TPUs and on GPUs that have units for it.

    Raises:
        UserError: What was asked for is not there, or the parameter says something else.
    """
    kind, count = _asked(accelerator)
    if precision not in PRECISIONS:
        raise UserError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS[1:])}, or empty")
    cluster = _cluster()
    if kind == "tpu" or (not kind and _has_tpu()):
        if cluster:  # Each worker would train alone on its own chips, and all would publish.
            raise UserError(f"{CLUSTER_VARIABLE}: {cluster[1]} workers with TPUs. {ONE_TPU_MACHINE}; start one worker")
        return _tpu(count, precision)
    gpus = [] if kind == "cpu" else _gpus(kind, count)
    devices = [f"GPU:{number}" for number in range(len(gpus))] or _cpus(kind, count)
    precision = precision or (BFLOAT16 if gpus and all(map(_takes_bfloat16, gpus)) else FLOAT32)
    described = f"{len(gpus)} GPU" if gpus else f"CPU ({_cores()} cores)"
    if cluster:
        await_workers(os.environ[CLUSTER_VARIABLE])
        strategy: tf.distribute.Strategy = tf.distribute.MultiWorkerMirroredStrategy()
        worker, workers = cluster
        return Hardware(strategy, f"worker {worker + 1} of {workers}: {described}", precision, worker, workers)
    if len(devices) > 1:
        mirrored = tf.distribute.MirroredStrategy(devices)
        return Hardware(mirrored, f"{described}, mirrored over {len(devices)} devices", precision)
    return Hardware(tf.distribute.get_strategy(), described, precision)


def make_deterministic() -> None:
    """Has every operation add up in one order, also where another would be faster; for the rest of the process."""
    tf.config.experimental.enable_op_determinism()


def _asked(accelerator: str) -> tuple[str, int]:
    match = re.fullmatch(r"(cpu|gpu|tpu)(?::([1-9]\d*))?", accelerator.strip().lower())
    if not match and accelerator:
        raise UserError(f"accelerator: {accelerator!r} is not cpu, gpu or tpu, or one with a count such as gpu:4")
    return (match[1], int(match[2] or 0)) if match else ("", 0)


def _cluster() -> tuple[int, int] | None:
    """Returns this worker's number and how many there are, as `TF_CONFIG` says; None where this is the only one."""
    text = os.environ.get(CLUSTER_VARIABLE, "")
    if not text:
        return None
    try:
        config: Mapping[str, Mapping[str, object]] = json.loads(text)
        members = [f"{kind}:{number}" for kind in ("chief", "worker") for number in _members(config, kind)]
        task = config["task"]
        return (members.index(f"{task['type']}:{task['index']}"), len(members)) if len(members) > 1 else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{CLUSTER_VARIABLE}: {text[:200]!r} names no cluster with this worker in it") from error


def _members(config: Mapping[str, Mapping[str, object]], kind: str) -> range:
    addresses = config["cluster"].get(kind, [])
    return range(len(addresses)) if isinstance(addresses, list) else range(0)


def _gpus(kind: str, count: int) -> list[tf.config.PhysicalDevice]:
    found = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and len(found) < max(count, 1):
        built = "" if tf.test.is_built_with_cuda() else "; this TensorFlow is built without CUDA"
        raise UserError(
            f"accelerator: {count or 'a'} GPU{'s' if count > 1 else ''} asked for, and TensorFlow sees {len(found)}"
            f"{built}; use an image and a node that have them, or leave accelerator empty"
        )
    used = found[: count or len(found)]
    if used != found:
        tf.config.set_visible_devices(used, "GPU")
    return used


def _cpus(kind: str, count: int) -> list[str]:
    if kind != "cpu":
        return ["CPU:0"]
    tf.config.set_visible_devices([], "GPU")
    if count > 1:
        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return [f"CPU:{number}" for number in range(max(count, 1))]


def _takes_bfloat16(gpu: tf.config.PhysicalDevice) -> bool:
    capability = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
    return tuple(capability) >= BFLOAT16_CAPABILITY


def _has_tpu() -> bool:
    return bool(os.environ.get("TPU_WORKER_ID") or list(Path("/dev").glob("accel[0-9]*")))


def _tpu(count: int, precision: str) -> Hardware:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu="local")
        strategy = tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # Its own errors are of many kinds: ValueError, RuntimeError, tf.errors.*.
        raise UserError(
            f"accelerator: a TPU was asked for, and TensorFlow cannot start one ({error}); "
            "use an image and a node that have one, or leave accelerator empty"
        ) from error
    cores = strategy.num_replicas_in_sync
    if count and cores != count:
        raise UserError(f"accelerator: {count} TPU cores asked for, and TensorFlow sees {cores}")
    return Hardware(strategy, f"{cores} TPU cores", precision or BFLOAT16)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
