"""Serves a version of one target at another: the same model by its digest, and nothing is trained again."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from mainspring.components.common import buckets, published
from mainspring.components.common.errors import UserError
from mainspring.components.deployment import rollouts, serving_now, targets
from mainspring.components.deployment.deploy_model import (
    EVALUATION_FILE,
    refuse_misplaced_policy,
    refuse_unless_blessed,
)
from mainspring.components.deployment.local import local_target
from mainspring.components.deployment.versions import models_root as roots
from mainspring.components.deployment.versions import publish, takeovers
from mainspring.components.deployment.versions.models_root import model_manifest, version_uri
from mainspring.components.deployment.versions.models_root import version as published_version


class Promoted(NamedTuple):
    """What is served, and where it came from."""

    version: int
    version_uri: str
    endpoint: str
    model_fingerprint: str
    promoted_from: str
    replaced: int


def promote_model(
    source: str,
    target: str,
    models_root: str = "",
    rollout: str = "100",
    rollout_seconds: float = 10.0,
    serving_policy: str = "",
    approved_by: str = "",
    unjudged: str = "",
) -> Promoted:
    """Publishes what one target serves where another one's models are, and serves it there.

    Args:
        source: Where it serves: `local://<name>` or `kserve://<namespace>/<name>`; or the URI of a version.
        target: Where it is to serve.
        models_root: Where the versions of `target` are published; empty: the local root's `models/`.
        rollout: As in `deploy_model`, like the rest.
        rollout_seconds: How long each step between 0 and 100 lasts.
        serving_policy: How a cluster serves it.
        approved_by: Who approved this; recorded in the version.
        unjudged: Why it may replace a model that it was never judged against; empty: it may not.

    Raises:
        UserError: The version is not whole, is not blessed, was withdrawn at either target, or was not judged against
            what it would replace. Whatever was served still is.
    """
    where = targets.parse(target)
    plan = rollouts.parse(rollout, rollout_seconds)
    refuse_misplaced_policy(target, serving_policy)
    uri = _version_of(source)
    root = roots.models_folder(models_root)
    with tempfile.TemporaryDirectory(prefix="mainspring-promote.") as folder:
        model, statistics, evaluation = _parts(uri, Path(folder))
        refuse_unless_blessed(model, evaluation)
        manifest = publish.check_layout(model)
        served = serving_now.champion(where)
        withdrawn = serving_now.withdrawn(where)
        takeovers.refuse_withdrawn(target, manifest, withdrawn, served[1] if served else "")
        if served and not unjudged:
            _refuse_unjudged(uri, target, served[1])
        made = published_version(uri)
        version = publish.publish(
            model,
            statistics,
            evaluation,
            root=root,
            name=where.name,
            baseline=served[1] if served else "",
            replaces=served[0] if served else 0,
            run=made.run if made else "",
            approved_by=approved_by or (made.approved_by if made else ""),
            promoted_from=uri,
        )
    place = version_uri(root, where.name, version.version)
    print(f"version {version.version} of {where.name}, which is {uri}: {place}", flush=True)
    if where.scheme == targets.KSERVE:
        # Imported only here: a local target starts without what a cluster takes.
        from mainspring.components.deployment.kserve import objects
        from mainspring.components.deployment.kserve import policy as kserve_policy
        from mainspring.components.deployment.kserve import target as kserve

        endpoint = kserve.deploy(where, objects.version(version, place), kserve_policy.parse(serving_policy), plan)
    else:
        endpoint = local_target.deploy(where.name, version.version, place, plan if len(plan.percents) > 1 else None)
    return Promoted(version.version, place, endpoint, version.model_fingerprint, uri, served[0] if served else 0)


def _version_of(source: str) -> str:
    """Returns the URI of the version that a target serves, or that is given."""
    if source.startswith((f"{targets.LOCAL}://", f"{targets.KSERVE}://")):
        served = serving_now.champion(targets.parse(source))
        if served is None:
            raise UserError(f"{source}: serves nothing, so there is nothing to promote")
        return served[1]
    uri = buckets.canonical(source)
    if published_version(uri) is None:
        raise UserError(f"{source}: is no published version; give a target, or the URI of a version")
    return uri


def _parts(uri: str, folder: Path) -> tuple[Path, Path, Path]:
    """Copies a version and returns its model, statistics and evaluation, each file of which is the one published.

    Raises:
        UserError: A file is missing, or is another one than when it was published.
    """
    manifest = published_version(uri)
    if manifest is None:
        raise UserError(f"{uri}: is gone")
    copy = folder / "version"
    if buckets.is_bucket(uri):
        buckets.download_tree(uri, copy)
    else:
        shutil.copytree(uri, copy)
    for name, digest in manifest.files.items():
        path = copy / name
        if not path.is_file() or f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" != digest:
            raise UserError(f"{uri}: {name} is not the file that was published; publish the model again")
    model = folder / "model"
    shutil.copytree(published.saved_model(copy), model)
    for name in publish.BESIDE:
        if (copy / name).is_file():
            shutil.copyfile(copy / name, model / name)
    return model, copy / publish.STATISTICS, copy / publish.EVALUATION


def _refuse_unjudged(uri: str, target: str, served_uri: str) -> None:
    """Checks that a model was judged against what it would replace, or against what has replaced that since.

    Raises:
        UserError: It was not.
    """
    served = model_manifest(served_uri)
    fingerprint = served.fingerprint if served else ""
    seen: set[str] = set()
    while uri and uri not in seen:
        seen.add(uri)
        here = model_manifest(uri)
        if here is not None and here.fingerprint == fingerprint:
            return
        verdict = published.content(uri, f"{publish.EVALUATION}/{EVALUATION_FILE}") or {}
        judged = verdict.get("champion") if isinstance(verdict, dict) else None
        judged = judged if isinstance(judged, dict) else {}
        if fingerprint and judged.get("fingerprint") == fingerprint:
            return
        uri = str(judged.get("uri") or "").rstrip("/")
    raise UserError(
        f"{target} serves {served_uri}, against which this model was never judged; run the source "
        "environment on what is served there, or say why it may be replaced all the same with --unjudged"
    )
