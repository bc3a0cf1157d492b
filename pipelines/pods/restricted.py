"""Pod security: what the level "restricted" asks of a pipeline's pods, as far as KFP lets a pipeline say it.

KFP's own compiler in the cluster drops all capabilities, forbids privilege escalation and sets the seccomp profile; who
the container runs as is the pipeline's to say. A read-only root file system is not: kfp-kubernetes 2.17 has no setting
for it.
"""

from __future__ import annotations

from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_context import Pipeline

from mainspring.components.common.images import NOBODY


def run_as_nobody() -> None:
    """Lets every task of the pipeline that is being defined run as the images' user, never as root.

    To be called once they are all there. A pipeline nested in it says so for its own tasks.

    Raises:
        RuntimeError: No pipeline is being defined.
    """
    for task in own_tasks("run_as_nobody"):
        as_nobody(task)


def own_tasks(caller: str) -> list[PipelineTask]:
    """Returns the tasks of the pipeline that is being defined, without pipelines nested in it.

    Raises:
        RuntimeError: No pipeline is being defined; the message names the caller.
    """
    pipeline = Pipeline.get_default_pipeline()
    if pipeline is None:
        raise RuntimeError(f"{caller} belongs into a function under @dsl.pipeline")
    return [task for task in pipeline.tasks.values() if task.pipeline_spec is None]


def as_nobody(task: PipelineTask) -> None:
    """Lets one task run as the images' user, never as root."""
    # What `kfp.kubernetes.set_security_context` writes: that package imports Kubernetes' client, a second for nothing.
    context = {"runAsUser": str(NOBODY), "runAsGroup": str(NOBODY), "runAsNonRoot": True}
    task.platform_config.setdefault("kubernetes", {})["securityContext"] = context
