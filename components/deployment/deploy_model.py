"""Publishes a blessed model and serves it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.deployment import local_target, model_servers, publish, rollouts, takeovers, targets

EVALUATION_FILE = "evaluation.json"


class Deployed(NamedTuple):
    """What is served, and where."""

    version: int
    version_uri: str
    endpoint: str


def preload() -> None:
    """Starts a model server's imports while earlier stages work; the engine calls this in a waiting interpreter."""
    model_servers.preload()


def deploy_model(
    model: str,
    statistics: str,
    evaluation: str,
    target: str,
    baseline_uri: str = "",
    models_root: str = "",
    rollout: str = "100",
    rollout_seconds: float = 10.0,
) -> Deployed:
    """Publishes the next version of a blessed model, unless it is the newest one already, and serves it at the target.

    Args:
        model: A SavedModel's folder with its manifest.
        statistics: The statistics of its data.
        evaluation: Its evaluation.
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        baseline_uri: The version whose data its data was compared with.
        models_root: Where versions are published; empty: the local root's `models/`.
        rollout: The version's share of the traffic, step by step, in percent: `0,10,50,100`.
        rollout_seconds: How long each step between 0 and 100 lasts.

    Raises:
        UserError: The model is not blessed, was rolled back at this target before, cannot be published or cannot be
            served. Whatever was served still is.
    """
    name = targets.parse_local(target).name
    plan = rollouts.parse(rollout, rollout_seconds)
    refuse_unless_blessed(Path(model), Path(evaluation))
    root = publish.models_folder(models_root)
    served = local_target.champion(name)
    manifest = publish.check_layout(Path(model))
    takeovers.refuse_withdrawn(target, manifest, local_target.withdrawn(name), served[1] if served else "")
    version = publish.publish(
        Path(model),
        Path(statistics),
        Path(evaluation),
        root=root,
        name=name,
        baseline=baseline_uri,
        replaces=served[0] if served else 0,
    )
    uri = str(publish.version_folder(root, version))
    print(f"version {version.version} of {name}: {uri}", flush=True)
    endpoint = local_target.deploy(name, version.version, uri, plan if len(plan.percents) > 1 else None)
    return Deployed(version.version, uri, endpoint)


def refuse_unless_blessed(model: Path, evaluation: Path) -> None:
    """Checks that the evaluation blesses this very model.

    Raises:
        UserError: It does not, or cannot be read.
    """
    verdict = storage.read_json(evaluation / EVALUATION_FILE)
    if not isinstance(verdict, dict) or verdict.get("blessed") is not True:
        raise UserError(f"{evaluation / EVALUATION_FILE}: the model is not blessed; only a blessed model is deployed")
    fingerprint = manifests.read(ModelManifest, model / manifests.MODEL_MANIFEST).fingerprint
    if not fingerprint or verdict.get("model_fingerprint") != fingerprint:
        raise UserError(
            f"{evaluation / EVALUATION_FILE}: evaluates another model ({verdict.get('model_fingerprint')}) "
            f"than {model} ({fingerprint}); evaluate this one"
        )
