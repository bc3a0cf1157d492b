"""Whose an object in the cluster is: the run's, so that deleting the run deletes the object.

Kubernetes deletes what a deleted object owns, where both are in one namespace. A run is an Argo Workflow, which owns
the step's pod; it is taken rather than the pod, because a step's next try is another pod of the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainspring.components.common.kubernetes_api import Api, ApiError

POD_NAME, POD_UID = "KFP_POD_NAME", "KFP_POD_UID"
"""Kubeflow Pipelines sets them in every step's container."""


def owner_references(api: Api, namespace: str, variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """Returns the owner references of an object that this step makes.

    Args:
        api: The cluster.
        namespace: The object's.
        variables: The step's environment.

    Returns:
        The run, or the step's pod where nothing controls it; nothing outside a step, where the object is in another
        namespace, or where the pod may not be read (which is said: such an object outlives a deleted run).
    """
    name, uid = variables.get(POD_NAME), variables.get(POD_UID)
    if not name or not uid:
        return []
    try:
        pod = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
    except ApiError as error:
        print(f"pod {namespace}/{name} cannot be read ({error}): deleting the run will not stop it", flush=True)
        return []
    if pod is None or pod["metadata"]["uid"] != uid:
        print(f"there is no pod {namespace}/{name} of this step: deleting the run will not stop it", flush=True)
        return []
    owners = pod["metadata"].get("ownerReferences") or []
    run = next((owner for owner in owners if owner.get("controller")), None)
    if run is None:
        return [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]
    return [{key: run[key] for key in ("apiVersion", "kind", "name", "uid")}]
