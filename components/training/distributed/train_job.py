"""A TrainJob of Kubeflow Trainer: submitted, followed and removed through the `kubeflow` SDK."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import ERROR_PREFIX, RetriableError, UserError
from mainspring.components.training.distributed import owner_references, pools
from mainspring.components.training.distributed.api_refusals import AlreadyThereError, told
from mainspring.components.training.distributed.api_retries import persistently, reason, status
from mainspring.components.training.distributed.pod import ORDER
from mainspring.components.training.distributed.pools import Pool
from mainspring.components.training.hardware.worker_role import ONE_TPU_MACHINE

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
COMPLETE, FAILED = "Complete", "Failed"
CHIEF = "node-0"
GRACE_SECONDS = 600
"""How long past the job's own deadline its controller may take to say so."""
LAST_LINES = 5
NOTHING_YET = (400, 404)
"""A pod that is only starting has no log, and one that was replaced has none any more."""


@dataclass(frozen=True)
class Request:
    """What is to be submitted."""

    name: str
    runtime: str
    nodes: int
    order: dict[str, Any]
    """What the pods are told, as `distributed` reads it."""
    pool: Pool | None = None
    """None: the runtime's."""
    image: str = ""
    """Empty: the runtime's."""
    queue: str = ""
    """Kueue's local queue; empty: the namespace's default, if there is one."""
    seconds: int = 86400
    """Until the job is ended."""


def connect(namespace: str = "") -> Any:
    """Returns the SDK's client; in a pod as its service account, elsewhere by the user's kubeconfig.

    Raises:
        UserError: There is no cluster to connect to.
    """
    from kubeflow.common.types import KubernetesBackendConfig
    from kubeflow.trainer import TrainerClient
    from kubernetes.config import ConfigException

    try:
        return TrainerClient(KubernetesBackendConfig(namespace=namespace or None))
    except ConfigException as error:
        raise UserError(f"there is no cluster to train on: {error}; run this in one, or set KUBECONFIG") from error


def submit(client: Any, request: Request) -> None:
    """Submits a job; one of that name that is under way already is taken over, a failed one is replaced.

    Raises:
        UserError: The runtime or Trainer is missing, the account may not, or the job is refused; or it is several nodes
            with TPUs.
        RetriableError: The API did not answer in minutes.
    """
    namespace = client.backend.namespace
    where = f"TrainJob {namespace}/{request.name}"
    missing = (
        f"there is no training runtime {request.runtime}, or no Kubeflow Trainer in this cluster; apply manifests/ "
        "(mainspring-tensorflow, -gpu, -tpu) or name another runtime"
    )
    runtime = told(lambda: client.get_runtime(request.runtime), "TrainJob", namespace, missing)
    device = request.pool.accelerator if request.pool else runtime.trainer.device
    if device == "tpu" and request.nodes > 1:
        raise UserError(f"nodes is {request.nodes}. {ONE_TPU_MACHINE}; set nodes=1, or train on GPUs")
    trainer, options = _trainer(request), _options(request)
    for _ in range(3):
        try:
            told(
                lambda: client.train(runtime=runtime, trainer=trainer, options=options), "TrainJob", namespace, missing
            )
            print(f"submitted {where}: {request.nodes} workers on {request.runtime}", flush=True)
        except AlreadyThereError:
            # The step's own: from a try before this one, or from a request whose answer was lost.
            if persistently(lambda: client.get_job(request.name)).status == FAILED:
                remove(client, request.name)
                continue
            print(f"{where} is under way already", flush=True)
        _give_to_the_run(client, request.name)
        return
    raise RetriableError(f"{where}: the failed one of that name does not go away; delete it")


def follow(client: Any, request: Request, pause: float = 5.0) -> None:
    """Prints workers, events and the first worker's log until the job is complete.

    Raises:
        UserError: It failed, or was not done in time; the reason is the first worker's, if it gave one.
    """
    shown = _Shown(client, request.name)
    deadline = time.monotonic() + request.seconds + GRACE_SECONDS
    while True:
        job = persistently(lambda: client.get_job(request.name))
        shown.update(job)
        if job.status == COMPLETE:
            return
        if job.status == FAILED:
            raise UserError(f"TrainJob {request.name} failed: {shown.why()}")
        if time.monotonic() > deadline:
            raise UserError(f"TrainJob {request.name} is not done after {request.seconds} s; raise `timeout`")
        time.sleep(pause)


def remove(client: Any, name: str, longest: float = 60.0) -> None:
    """Deletes a job with its pods, and waits until it is gone; nothing happens if there is none."""
    end = time.monotonic() + longest
    while time.monotonic() < end:
        try:
            persistently(lambda: client.delete_job(name), longest)
        except Exception as error:
            if status(error) == 404:
                return
            raise
        time.sleep(0.2)


def _give_to_the_run(client: Any, name: str) -> None:
    """Makes a job the run's, for a run that is deleted; the SDK has no way to say so when it submits one."""
    from kubeflow.trainer.constants import constants

    backend = client.backend
    owner = owner_references.owner_reference(backend.core_api, backend.namespace, os.environ)
    if owner is None:
        return
    change = [{"op": "add", "path": "/metadata/ownerReferences", "value": [owner]}]
    place = (constants.GROUP, constants.VERSION, backend.namespace, constants.TRAINJOB_PLURAL, name)
    try:
        persistently(lambda: backend.custom_api.patch_namespaced_custom_object(*place, change))
    except Exception as error:
        print(f"TrainJob {name} outlives this run if that is deleted: {reason(error)}", flush=True)


def _trainer(request: Request) -> Any:
    from kubeflow.trainer import CustomTrainerContainer

    return CustomTrainerContainer(
        image=request.image,
        num_nodes=request.nodes,
        resources_per_node=request.pool.resources if request.pool else None,
        env={ORDER: json.dumps(request.order)},
    )


def _options(request: Request) -> list[Any]:
    from kubeflow.trainer.options import kubernetes as options
    from kubeflow.trainer.options.common import Name

    labels = {"app.kubernetes.io/part-of": "mainspring"} | ({QUEUE_LABEL: request.queue} if request.queue else {})
    chosen = [Name(request.name), options.Labels(labels), options.ActiveDeadlineSeconds(request.seconds)]
    return [*chosen, _patched(pools.patches(request.pool))]


def _patched(patches: list[dict[str, Any]]) -> Callable[..., None]:
    def option(job_spec: dict[str, Any], trainer: object, backend: object) -> None:
        job_spec.setdefault("spec", {}).setdefault("runtimePatches", []).extend(patches)

    return option


class _Shown:
    """What has been printed of a job, so that only news are."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name
        self._workers: dict[str, str] = {}
        self._events: list[tuple[str, str, str]] = []
        self._pod = ""
        self._lines: list[str] = []

    def update(self, job: Any) -> None:
        """Prints what is new. What cannot be read now is read the next time: no log is worth a training."""
        for worker in sorted(job.steps, key=lambda step: step.name):
            if self._workers.get(worker.name) != worker.status:
                self._workers[worker.name] = worker.status
                print(f"{worker.name}: {worker.status}", flush=True)
        chief = next((worker.pod_name for worker in job.steps if worker.name == CHIEF), "")
        for tell in (self._tell_events, lambda: self._tell_log(chief)):
            try:
                tell()
            except Exception as error:
                if status(error) not in NOTHING_YET:
                    print(f"events or log cannot be read just now: {reason(error)}", flush=True)

    def why(self) -> str:
        """Returns the reason of a failure: the trainer's own line, or its last ones, or the last event."""
        said = [line.removeprefix(ERROR_PREFIX) for line in self._lines if line.startswith(ERROR_PREFIX)]
        events = [f"{cause}: {message}" for _, cause, message in self._events]
        return said[-1] if said else " / ".join(self._lines[-LAST_LINES:] or events[-1:] or ["no pod said why"])

    def _tell_events(self) -> None:
        for event in self._client.get_job_events(self._name):
            key = (event.involved_object_name, event.reason, event.message)
            if key not in self._events:
                self._events.append(key)
                print(f"{event.involved_object_name}: {event.reason}: {event.message}", flush=True)

    def _tell_log(self, pod: str) -> None:
        lines = list(self._client.get_job_logs(self._name))
        for line in lines[len(self._lines) if pod == self._pod else 0 :]:
            print(f"  {line}", flush=True)
        self._pod, self._lines = pod, lines or self._lines
