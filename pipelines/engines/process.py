"""The process engine: each task in the environment that its image's lock builds, on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from mainspring.components.common import storage
from mainspring.pipelines import environments
from mainspring.pipelines.engines import kfp_seam, running
from mainspring.pipelines.engines.kfp_seam import Step
from mainspring.pipelines.engines.results import RunResult
from mainspring.pipelines.engines.workers import Workers, folder_of


def run_here(
    spec: PipelineSpec, arguments: dict[str, Any], root: Path, progress: running.Progress, caching: bool = True
) -> RunResult:
    """Runs a compiled pipeline with a process per task, as `running.run_here` describes it.

    Raises:
        UserError: An environment is missing and cannot be built.
    """

    def workers(steps: list[Step], folder: Path) -> Workers:
        return Workers(steps, folder / "logs", {storage.ROOT_VARIABLE: str(root)}, code_fingerprint())

    return running.run_here(spec, arguments, root, progress, workers, caching)


def folders(spec: PipelineSpec) -> list[str]:
    """Returns the component folders whose environments a pipeline needs."""
    found = [folder for step in kfp_seam.steps(spec) if (folder := folder_of(step.image))]
    return [*found, *(["serving"] if "deployment" in found else [])]


def code_fingerprint() -> str:
    """Returns a hash of Mainspring's own code and locks: results of other code are not taken from the cache."""
    digest = hashlib.sha256()
    for package in (environments.COMPONENTS, environments.PIPELINES):
        for path in sorted([*package.rglob("*.py"), *package.rglob("*.txt"), *package.rglob("*.j2")]):
            digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
