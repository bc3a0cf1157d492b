"""A TrainJob of Kubeflow Trainer: made for what the cluster knows, submitted once, removed with all its pods."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainspring.components.common.errors import RetriableError, UserError
from mainspring.components.common.kubernetes_api import Api, ApiError
from mainspring.components.training.distributed import pools
from mainspring.components.training.distributed.api_refusals import AlreadyThereError, told, unknown_fields
from mainspring.components.training.distributed.pod import ORDER
from mainspring.components.training.distributed.pools import Pool
from mainspring.components.training.distributed.runtimes import GROUP, Runtime, missing
from mainspring.components.training.hardware.worker_role import ONE_TPU_MACHINE

KIND = "TrainJob"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PART_OF = {"app.kubernetes.io/part-of": "mainspring"}
COMPLETE, FAILED = "Complete", "Failed"
NEWER, OLDER = "2.2", "2.1"
"""Forms of a TrainJob, by the Trainer that introduced them: 2.1 knows neither `runtimePatches` nor a deadline."""
GONE_SECONDS = 300.0
"""How long a job's pods may take to end: they save a checkpoint."""
GRACE_SECONDS = 300
"""How long after a job's time the cluster ends it by itself; whoever follows the job ends it in time, and says why."""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """What is to be submitted."""

    name: str
    runtime: Runtime
    nodes: int = 1
    order: Mapping[str, Any] = field(default_factory=dict)
    """What the pods are told, as `pod` reads it; empty: nothing."""
    command: Sequence[str] = ()
    """Empty: the runtime's."""
    pool: Pool | None = None
    """None: the runtime's."""
    image: str = ""
    """Empty: the runtime's."""
    queue: str = ""
    """Kueue's local queue; empty: the namespace's default, if there is one."""
    seconds: int = 0
    """Until who follows the job ends it; 0: never. The cluster does so later, where its Trainer can."""
    owners: Sequence[Mapping[str, Any]] = ()


def train_job(request: Request, form: str = NEWER) -> dict[str, Any]:
    """Returns the TrainJob in one of the forms."""
    trainer: dict[str, Any] = {"numNodes": request.nodes}
    if request.image:
        trainer["image"] = request.image
    if request.command:
        trainer["command"] = [*request.command]
    if request.order:
        trainer["env"] = [{"name": ORDER, "value": json.dumps(request.order)}]
    if request.pool:
        trainer["resourcesPerNode"] = {"requests": request.pool.resources, "limits": request.pool.resources}
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": request.runtime.kind, "name": request.runtime.name},
        "trainer": trainer,
    }
    if form == NEWER:
        spec |= {"runtimePatches": patches} if (patches := pools.patches(request.pool)) else {}
        spec |= {"activeDeadlineSeconds": request.seconds + GRACE_SECONDS} if request.seconds else {}
    elif overrides := pools.overrides(request.pool):
        spec["podTemplateOverrides"] = overrides
    metadata: dict[str, Any] = {"labels": PART_OF | ({QUEUE_LABEL: request.queue} if request.queue else {})}
    metadata |= {"name": request.name} if request.name else {}
    metadata |= {"ownerReferences": [*request.owners]} if request.owners else {}
    return {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": KIND, "metadata": metadata, "spec": spec}


def form_of(api: Api, namespace: str, request: Request) -> str:
    """Returns the form of a TrainJob that the cluster takes: its schema, webhooks and our rights have judged it.

    Raises:
        AlreadyThereError: There is one of that name.
        UserError: It is refused in every form, or it is several nodes with TPUs.
        RetriableError: The API did not answer in minutes.
    """
    device = request.pool.accelerator if request.pool else "tpu" if request.runtime.has_tpus else ""
    if device == "tpu" and request.nodes > 1:
        raise UserError(f"nodes is {request.nodes}. {ONE_TPU_MACHINE}; set nodes=1, or train on GPUs")
    query = {"dryRun": "All", "fieldValidation": "Strict"}

    def rehearse() -> str:
        for form in (NEWER, OLDER):
            try:
                api.call("POST", place(namespace), train_job(request, form), query=query)
            except ApiError as error:
                if form == OLDER or not unknown_fields(error):
                    raise
            else:
                return form
        raise AssertionError

    return told(rehearse, KIND, namespace, missing(request.runtime.name))


def submit(api: Api, namespace: str, request: Request) -> None:
    """Submits a job; one of that name that is under way already is taken over, a failed one is replaced.

    Raises:
        UserError: The runtime or Trainer is missing, the account may not, or the job is refused.
        RetriableError: The API did not answer in minutes, or what is left of a job before it does not go.
    """
    where = f"TrainJob {namespace}/{request.name}"
    gone = missing(request.runtime.name)
    for _ in range(3):
        found = told(lambda: api.get(place(namespace, request.name)), KIND, namespace, gone)
        if found and not found["metadata"].get("deletionTimestamp") and not has(found, FAILED):
            # The step's own: from a try before this one, or from a request whose answer was lost.
            print(f"{where} is under way already", flush=True)
            return
        remove(api, namespace, request.name)
        try:
            body = train_job(request, form_of(api, namespace, request))
            made = told(functools.partial(api.create, place(namespace), body), KIND, namespace, gone)
        except AlreadyThereError:
            continue
        print(f"submitted {where}: {request.nodes} workers on {request.runtime.name}", flush=True)
        if lost := [*_missing(body["spec"], made.get("spec", {}), "spec")]:
            remove(api, namespace, request.name)
            raise UserError(f"{where}: the cluster dropped {', '.join(lost)}; is its Trainer 2.1 or newer?")
        return
    raise RetriableError(f"{where}: what is there under that name does not go away; delete it")


def remove(api: Api, namespace: str, name: str, longest: float | None = None) -> None:
    """Deletes a job, and waits until its pods are gone; nothing happens if there is none.

    Args:
        api: The cluster.
        namespace: The job's.
        name: The job's.
        longest: Seconds to wait; None: five minutes.

    Raises:
        RetriableError: It is still there after five minutes.
    """
    deadline = time.monotonic() + (GONE_SECONDS if longest is None else longest)
    told(lambda: _delete(api, place(namespace, name)), KIND, namespace, "")
    # A JobSet may outlive its TrainJob, and a new TrainJob of that name would take the old JobSet for its own.
    while any(_is_there(api, path) for path in (place(namespace, name), _jobset(namespace, name))) or (
        pods_of(api, namespace, name)
    ):
        if time.monotonic() > deadline:
            if longest is not None:
                return
            raise RetriableError(
                f"TrainJob {namespace}/{name}: its pods do not end; see kubectl get pods -n {namespace}"
            )
        time.sleep(POLL_SECONDS)


def forget(api: Api, namespace: str, name: str) -> None:
    """Deletes a job and does not wait; nothing happens if there is none."""
    told(lambda: _delete(api, place(namespace, name)), KIND, namespace, "")


def has(found: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """Returns a condition of an object that holds."""
    conditions = found.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def pods_of(api: Api, namespace: str, name: str) -> list[dict[str, Any]]:
    """Returns the pods of a job, those of earlier attempts that are still there among them."""
    selector = f"jobset.sigs.k8s.io/jobset-name={name}"
    found = api.call("GET", f"/api/v1/namespaces/{namespace}/pods", query={"labelSelector": selector})
    return list(found.get("items") or [])


def place(namespace: str, name: str = "") -> str:
    """Returns the path of a namespace's TrainJobs, or of one."""
    return f"{GROUP}/namespaces/{namespace}/trainjobs" + (f"/{name}" if name else "")


def _jobset(namespace: str, name: str) -> str:
    return f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{namespace}/jobsets/{name}"


def _delete(api: Api, path: str) -> None:
    # Not in the foreground: Trainer 2.1 makes a new JobSet for a TrainJob that waits for the end of its old one.
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    try:
        api.call("DELETE", path, options)
    except ApiError as error:
        if error.status != 404:
            raise


def _is_there(api: Api, path: str) -> bool:
    try:
        return api.get(path) is not None
    except ApiError as error:
        if error.status == 403:  # An older Role has no right on JobSets.
            return False
        raise RetriableError(str(error)) from error


def _missing(sent: Any, back: Any, path: str) -> Iterator[str]:
    """Yields which fields of what was sent did not come back."""
    if isinstance(sent, dict) and isinstance(back, dict):
        for key, value in sent.items():
            if key in back:
                yield from _missing(value, back[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(sent, list) and isinstance(back, list):
        for number, (one, other) in enumerate(zip(sent, back, strict=False)):
            yield from _missing(one, other, f"{path}[{number}]")
