"""Storage credentials by reference: steps read and write `s3://` by the keys of a Secret, where a namespace has it."""

from __future__ import annotations

from typing import Any

from kfp.dsl import PipelineTask

from mainspring.pipelines.pods.restricted import own_tasks

SECRET = "mainspring-storage"
"""What `manifests/` calls it; model servers read theirs from it as well."""

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")


def reach_storage(secret: str = SECRET) -> None:
    """Gives every task of the pipeline that is being defined the keys of a Secret as environment variables.

    To be called once they are all there. The Secret is optional, and so is each key: where identities do without
    (workload identity on GKE), nothing is set. A pipeline nested in it says so for its own tasks.

    Args:
        secret: Its name, in the run's namespace.

    Raises:
        RuntimeError: No pipeline is being defined.
    """
    for task in own_tasks("reach_storage"):
        with_storage(task, secret)


def with_storage(task: PipelineTask, secret: str = SECRET) -> PipelineTask:
    """Gives one task the keys of a Secret, and returns it."""
    # What `kfp.kubernetes.use_secret_as_env` writes: that package imports Kubernetes' client, a second for nothing.
    reference: dict[str, Any] = {
        "secretName": secret,
        "secretNameParameter": {"runtimeValue": {"constant": secret}},
        "keyToEnv": [{"secretKey": key, "envVar": key} for key in KEYS],
        "optional": True,
    }
    task.platform_config.setdefault("kubernetes", {}).setdefault("secretAsEnv", []).append(reference)
    return task
