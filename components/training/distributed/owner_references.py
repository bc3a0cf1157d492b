"""Whose an object in the cluster is: the run's, so that deleting the run deletes the object.

Kubernetes deletes what a deleted object owns, where both are in one namespace. A run is an Argo Workflow, which owns
the step's pod; it is taken rather than the pod, because a step's next try is another pod of the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainspring.components.training.distributed.api_retries import persistently, reason

POD_NAME, POD_UID = "KFP_POD_NAME", "KFP_POD_UID"
"""Kubeflow Pipelines sets them in every step's container."""


def owner_reference(core: Any, namespace: str, variables: Mapping[str, str]) -> dict[str, str] | None:
    """Returns the owner reference of an object that this step makes.

    Args:
        core: Kubernetes' CoreV1Api.
        namespace: The object's.
        variables: The step's environment.

    Returns:
        The run, or the step's pod where nothing controls it; None outside a step, where the object is in another
        namespace, or where the pod may not be read (which is said: such an object outlives a deleted run).
    """
    name, uid = variables.get(POD_NAME), variables.get(POD_UID)
    if not name or not uid:
        return None
    try:
        pod = persistently(lambda: core.read_namespaced_pod(name, namespace)).metadata
    except Exception as error:
        print(f"pod {namespace}/{name} cannot be read ({reason(error)}): deleting the run will not stop it", flush=True)
        return None
    if pod.uid != uid:
        return None
    run = next((owner for owner in pod.owner_references or [] if owner.controller), None)
    if run is None:
        return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    return {"apiVersion": run.api_version, "kind": run.kind, "name": run.name, "uid": run.uid}
