"""Publishes a blessed model and serves it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mainspring.components.common import manifests, storage
from mainspring.components.common.errors import UserError, refusal
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.common.terms import confirm_verdict
from mainspring.components.deployment import replay, rollouts, serving_now, targets
from mainspring.components.deployment.local import local_target, model_servers
from mainspring.components.deployment.versions import data_age, publish, takeovers
from mainspring.components.deployment.versions.models_root import model_manifest, models_folder, version_uri
from mainspring.components.deployment.versions.models_root import version as published_version

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
    serving_policy: str = "",
    run_id: str = "",
    allow_older: bool = False,
    approved_by: str = "",
    approved: bool = True,
    reasons: str = "",
    terms: str = "",
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
        serving_policy: How a cluster serves it, see `kserve.policy`; a local target takes none.
        run_id: The pipeline run; recorded in the version and, in a cluster, on what serves it.
        allow_older: Whether a model may replace one of newer data. Otherwise what is served stays, and that is said.
        approved_by: Who approved the model; recorded in the version.
        approved: Whether somebody did, where somebody was asked.
        reasons: Why it is not blessed; empty if it is, or if that is known from the evaluation alone.
        terms: Until when its data are valid, as validation says it.

    Raises:
        UserError: The model is not blessed, was rolled back at this target before, cannot be published or cannot be
            served. Whatever was served still is.
    """
    _pass_gates(reasons, approved, approved_by, terms)
    where = targets.parse(target)
    plan = rollouts.parse(rollout, rollout_seconds)
    refuse_misplaced_policy(target, serving_policy)
    refuse_unless_blessed(Path(model), Path(evaluation))
    if where.scheme == targets.KSERVE or len(plan.percents) > 1:
        replay.read(evaluation)  # Without rows to judge by, nothing is published.
    root = models_folder(models_root)
    manifest = publish.check_layout(Path(model))
    if where.scheme == targets.KSERVE:
        # Imported only here: a local target starts without what a cluster takes.
        from mainspring.components.deployment.kserve import objects
        from mainspring.components.deployment.kserve import policy as kserve_policy
        from mainspring.components.deployment.kserve import target as kserve

        policy = kserve_policy.parse(serving_policy)
        kserve.check(where, policy, plan, root)
    served = serving_now.champion(where)
    kept = "" if allow_older or not served else _why_older(manifest, served[1])
    if served and kept:
        print(f"{target} keeps version {served[0]}: {kept}; to replace it all the same: allow_older=true", flush=True)
        return Deployed(*served, _url(where))
    refuse_blessing_of_another_time(target, manifest.fingerprint, Path(evaluation), served[1] if served else "")
    takeovers.refuse_withdrawn(target, manifest, serving_now.withdrawn(where), served[1] if served else "")
    version = publish.publish(
        Path(model),
        Path(statistics),
        Path(evaluation),
        root=root,
        name=where.name,
        baseline=baseline_uri,
        replaces=served[0] if served else 0,
        run=run_id,
        approved_by=approved_by,
    )
    uri = version_uri(root, where.name, version.version)
    print(f"version {version.version} of {where.name}: {uri}", flush=True)
    if where.scheme == targets.KSERVE:
        endpoint = kserve.deploy(where, objects.version(version, uri), policy, plan)
    else:
        endpoint = local_target.deploy(where.name, version.version, uri, plan if len(plan.percents) > 1 else None)
    return Deployed(version.version, uri, endpoint)


def _pass_gates(reasons: str, approved: bool, by: str, terms: str) -> None:
    """Refuses what a step before did not let pass, in the words in which the run ends."""
    if reasons.strip():
        raise UserError(refusal("model", reasons))
    if not approved:
        raise UserError(refusal("model", f"{by} rejected it" if by else "nobody approved it in time"))
    still = confirm_verdict(True, "", terms)
    if not still.valid:
        raise UserError(refusal("data", still.reasons))


def _why_older(manifest: ModelManifest, served_uri: str) -> str:
    champion = model_manifest(served_uri)
    if champion is None or champion.fingerprint == manifest.fingerprint:
        return ""
    return data_age.older(manifest, champion)


def _url(where: targets.Target) -> str:
    """Returns what answers for a local target; of a cluster's, its name."""
    if where.scheme == targets.LOCAL:
        return next((each.url for each in local_target.list_endpoints() if each.name == where.name), "")
    return f"{where.scheme}://{where.namespace}/{where.name}"


def refuse_misplaced_policy(target: str, serving_policy: str) -> None:
    """Checks that a serving policy is given to a cluster only.

    Raises:
        UserError: It is given to a local target.
    """
    if serving_policy.strip() and targets.parse(target).scheme == targets.LOCAL:
        raise UserError(f"serving_policy: {target} is no cluster; leave it out, or deploy to kserve://namespace/name")


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


def refuse_blessing_of_another_time(target: str, fingerprint: str, evaluation: Path, served_uri: str) -> None:
    """Checks that the champion that the model was measured against is still the one that serves.

    Whoever serves this very model already deploys it again as ever. An evaluation that names no champion at all was
    made by another tool, or an older one, and is taken at its word.

    Args:
        target: What is deployed to.
        fingerprint: The model's.
        evaluation: Its evaluation.
        served_uri: The version that the target serves now; empty if it serves none.

    Raises:
        UserError: Another version serves now.
    """
    verdict = storage.read_json(evaluation / EVALUATION_FILE)
    if "champion" not in verdict or not served_uri:
        return
    served = published_version(served_uri)
    serves = served.model_fingerprint if served else ""
    judged = verdict["champion"] if isinstance(verdict["champion"], dict) else {}
    same_place = str(judged.get("uri") or "").rstrip("/") == served_uri.rstrip("/")
    if serves == fingerprint or same_place or (serves and judged.get("fingerprint") == serves):
        return
    against = f"against {judged['uri']}" if judged.get("uri") else "as a first model, against no champion"
    raise UserError(
        f"{evaluation / EVALUATION_FILE}: the model was blessed {against}, but {target} serves {served_uri} now; "
        "evaluate it against that version: run the pipeline again"
    )
