"""A profile's node pool for what serves a model."""

from __future__ import annotations

from typing import Any

import yaml

from mainspring.components.common.errors import UserError
from mainspring.components.common.written import strict_yaml
from mainspring.components.common.written.policy_text import read_text
from mainspring.pipelines.accelerators.applying import as_kubernetes_writes, check_spot
from mainspring.pipelines.accelerators.gke import profile as gke_profile
from mainspring.pipelines.accelerators.profiles import GPU, Profile

OURS = ("resources", "node_selector", "tolerations")
"""What a profile says of a serving policy."""


def serving_policy(profile: Profile | str, policy: str = "", *, spot: bool = False) -> str:
    """Returns a `serving_policy` for `deploy_model` that puts the predictor's pods on a profile's GPUs.

    While a canary is tried, two versions hold a GPU each.

    Args:
        profile: A profile, or the name of a GKE one such as `l4`.
        policy: The rest of the policy: YAML, or the path of a YAML file. It must name the `runtime`: KServe's own for
            TensorFlow has an image that knows no GPU.
        spot: Use machines that may be taken away; serve from more than one then.

    Raises:
        UserError: The profile has no GPU, is several machines or has no spot machines; or the policy names no runtime,
            or what the profile says.
    """
    chosen = gke_profile(profile) if isinstance(profile, str) else profile
    if chosen.resource != GPU or chosen.machines > 1:
        raise UserError(f"accelerator {chosen.name}: serving takes GPUs of one machine, such as l4")
    check_spot(chosen, spot)
    content = strict_yaml.load(read_text(policy), "serving_policy") or {}
    if not isinstance(content, dict) or not content.get("runtime"):
        raise UserError(
            f"serving_policy: accelerator {chosen.name} needs runtime, a (Cluster)ServingRuntime with a GPU image"
        )
    if taken := [key for key in OURS if key in content]:
        raise UserError(f"serving_policy: {', '.join(taken)}: accelerator {chosen.name} says this; leave it out")
    tolerations = (*chosen.tolerations, *(chosen.spot_tolerations if spot else ()))
    own: dict[str, Any] = {
        "resources": _resources(chosen),
        "node_selector": dict((*chosen.selectors, *(chosen.spot_selectors if spot else ()))),
        "tolerations": [as_kubernetes_writes(toleration) for toleration in tolerations],
    }
    return yaml.safe_dump({**content, **own}, sort_keys=True)


def _resources(chosen: Profile) -> dict[str, dict[str, str]]:
    requests = {name: amount for name, amount in (("cpu", chosen.cpu), ("memory", chosen.memory)) if amount}
    # Kubernetes takes a device's limit as its request; a memory limit keeps the pod's place on its machine.
    limits = {chosen.resource: str(chosen.count), **({"memory": chosen.memory} if chosen.memory else {})}
    return {"requests": requests, "limits": limits}
