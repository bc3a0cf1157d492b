"""Where a TrainJob's pods run: what `accelerators.pool` says, put over a training runtime's template."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mainspring.components.common.errors import UserError

MANAGER = "mainspring.dev/pool"
"""Who patches: Trainer keeps one patch for each."""
JOB = "node"
"""The replicated job of a training runtime whose pods train."""
GPU, TPU = "nvidia.com/gpu", "google.com/tpu"


@dataclass(frozen=True)
class Pool:
    """Where a job's pods go, and what each gets."""

    resources: dict[str, str]
    """By Kubernetes' names; requests and limits alike."""
    selectors: dict[str, str]
    tolerations: tuple[dict[str, str], ...]

    @property
    def accelerator(self) -> str:
        """What each pod must find, as `train_model`'s `accelerator` says it; empty: whatever is there."""
        if TPU in self.resources:  # TensorFlow counts cores, not chips.
            return "tpu"
        return f"gpu:{self.resources[GPU]}" if GPU in self.resources else ""


def read_pool(text: str) -> Pool | None:
    """Returns the pool; None where the text is empty: the runtime's own.

    Raises:
        UserError: The text is not what `accelerators.pool` returned.
    """
    if not text:
        return None
    try:
        fields = json.loads(text)
        return Pool(dict(fields["resources"]), dict(fields["selectors"]), tuple(fields["tolerations"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("pool: must be what `accelerators.pool(…)` returned") from error


def patches(pool: Pool | None) -> list[dict[str, Any]]:
    """Returns a TrainJob's `runtimePatches`, for Trainer 2.2 and newer: selectors and tolerations of its pods."""
    pod = _pod(pool)
    job = {"name": JOB, "template": {"spec": {"template": {"spec": pod}}}}
    patch = {"manager": MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}}}
    return [patch] if pod else []


def overrides(pool: Pool | None) -> list[dict[str, Any]]:
    """Returns the same as `podTemplateOverrides`, which Trainer 2.1 takes."""
    pod = _pod(pool)
    return [{"targetJobs": [{"name": JOB}], "spec": pod}] if pod else []


def _pod(pool: Pool | None) -> dict[str, Any]:
    if pool is None:
        return {}
    pod: dict[str, Any] = {"nodeSelector": pool.selectors} if pool.selectors else {}
    return pod | ({"tolerations": [*pool.tolerations]} if pool.tolerations else {})
