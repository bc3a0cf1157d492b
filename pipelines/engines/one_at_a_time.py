"""One run at a time for each target: two that judge and deploy side by side would not know of each other."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, leases
from mainspring.components.deployment import targets
from mainspring.pipelines.compiling import deploying
from mainspring.pipelines.compiling.light_kfp import PipelineSpec
from mainspring.pipelines.parameters.declared import effective


@contextlib.contextmanager
def alone_at_target(
    spec: PipelineSpec,
    arguments: dict[str, Any],
    root: Path,
    say: Callable[[str], None],
    if_busy: str = leases.WAIT,
) -> Iterator[None]:
    """Holds the lease of the target that a pipeline deploys to; does nothing where it deploys to none.

    The lease lies where the models are published: in a bucket it holds for every machine, else for this root. That of
    a run that was killed ends by itself.

    Args:
        spec: The pipeline.
        arguments: Its typed arguments.
        root: The local root.
        say: Is told if another run is waited for.
        if_busy: `wait` for another run, or `fail`.

    Raises:
        RetriableError: Another run is under way, and that is not to be waited for.
    """
    values = effective(spec, arguments)
    target = str(values.get("target") or "")
    if not target or not deploying.deploys(spec):
        yield
        return
    holder = f"run of {spec.pipeline_info.name} on {socket.gethostname()} (process {os.getpid()})"
    with leases.held(place_of(target, values, root), target, holder, if_busy=if_busy, say=say):
        yield


def place_of(target: str, arguments: dict[str, Any], root: Path) -> str:
    """Returns where the lease of a target lies."""
    name = re.sub(r"[^a-z0-9-]+", "-", target)
    models = str(arguments.get("models_root") or "")
    if models and buckets.is_bucket(models):
        return buckets.join(models, targets.parse(target).name, f".lease-{name}.json")
    return str(root / "leases" / f"{name}.lock")
