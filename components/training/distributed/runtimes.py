"""Training runtimes: a namespace's own come before the cluster's, as Trainer's SDK has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainspring.components.common.kubernetes_api import Api, ApiError
from mainspring.components.training.distributed.api_refusals import told

GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
CLUSTERS, NAMESPACES = "ClusterTrainingRuntime", "TrainingRuntime"
TPU = "google.com/tpu"


@dataclass(frozen=True)
class Runtime:
    """A training runtime that there is."""

    name: str
    kind: str = CLUSTERS
    has_tpus: bool = False


def find(api: Api, namespace: str, name: str) -> Runtime:
    """Returns the runtime of a name.

    Raises:
        UserError: There is none.
        RetriableError: The API did not answer in minutes.
    """

    def ask() -> Runtime:
        places = {
            NAMESPACES: f"{GROUP}/namespaces/{namespace}/trainingruntimes/{name}",
            CLUSTERS: f"{GROUP}/clustertrainingruntimes/{name}",
        }
        for kind, place in places.items():
            try:
                return Runtime(name, kind, _has_tpus(api.call("GET", place)))
            except ApiError as error:
                # One that may not be read may still be used: the cluster says so when it is.
                if error.status == 403 and kind == CLUSTERS:
                    return Runtime(name, kind)
                if error.status not in (403, 404) or kind == CLUSTERS:
                    raise
        raise AssertionError

    return told(ask, "TrainJob", namespace, missing(name))


def missing(name: str) -> str:
    """Returns what to say where there is no such runtime."""
    return (
        f"there is no training runtime {name}, or no Kubeflow Trainer in this cluster; apply manifests/ "
        "(mainspring-tensorflow, -gpu, -tpu) or name another runtime"
    )


def _has_tpus(runtime: dict[str, Any]) -> bool:
    jobs = runtime["spec"]["template"]["spec"].get("replicatedJobs") or []
    pods = [job["template"]["spec"]["template"]["spec"] for job in jobs]
    given = [container.get("resources", {}) for pod in pods for container in pod.get("containers") or []]
    return any(TPU in {**each.get("requests", {}), **each.get("limits", {})} for each in given)
