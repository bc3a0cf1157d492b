"""Waits for a person's approval of a blessed model: signed by a key that is known, and given in time."""

from __future__ import annotations

import hashlib
import shlex
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from mainspring.components.common import buckets, manifests, storage
from mainspring.components.common.errors import UserError, refusal
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.common.written import strict_yaml
from mainspring.components.common.written.policy_text import read_text
from mainspring.components.deployment import approvals, targets
from mainspring.components.deployment.approvals import Request
from mainspring.components.deployment.deploy_model import EVALUATION_FILE, refuse_unless_blessed

POLL_SECONDS = 10.0


class Approval(NamedTuple):
    """What a person decided."""

    approved: bool
    by: str
    request: str


def approve(
    model: str,
    evaluation: str,
    target: str,
    approvers: str,
    approvals_uri: str = "",
    hours: float = 24.0,
    reasons: str = "",
    poll_seconds: float = POLL_SECONDS,
) -> Approval:
    """Asks for the approval of a model at a target, and waits for the answer.

    A request that was made before for the very same model and target is taken up again, with its answer: a run that
    is repeated does not ask twice. One that expired without an answer is asked again. No answer in time is a no.

    Args:
        model: The model's folder.
        evaluation: Its evaluation; a model that is not blessed is not asked for.
        target: Where it would be served.
        approvers: YAML, or the path of a YAML file: public SSH keys by name.
        approvals_uri: Folder or bucket of requests and answers; empty: the local root's `approvals/`.
        hours: How long an answer is waited for.
        reasons: Why the model is not blessed; empty if it is.
        poll_seconds: How often it is looked for.

    Raises:
        UserError: The model is not blessed, nobody may approve, or somebody wrote an answer that does not count past
            `mainspring approve`, which refuses to.
    """
    if reasons.strip():
        raise UserError(refusal("model", reasons))
    targets.parse(target)
    keys = _keys(approvers)
    if not 0 < hours <= 24 * 30:
        raise UserError(f"hours {hours!r}: expected hours up to 30 days")
    refuse_unless_blessed(Path(model), Path(evaluation))
    fingerprint = manifests.read(ModelManifest, Path(model) / manifests.MODEL_MANIFEST).fingerprint
    judged = (Path(evaluation) / EVALUATION_FILE).read_bytes()
    name = hashlib.sha256(f"{target}\n{fingerprint}".encode()).hexdigest()[:16]
    folder = f"{(approvals_uri or str(storage.local_root() / 'approvals')).rstrip('/')}/{name}"
    if not buckets.is_bucket(folder):
        folder = str(storage.as_path(folder))
    now = datetime.now(timezone.utc)
    approvals.ask(
        folder,
        Request(
            target=target,
            model_fingerprint=fingerprint,
            evaluation_fingerprint=f"sha256:{hashlib.sha256(judged).hexdigest()}",
            summary=_summary(Path(evaluation)),
            asked=now.isoformat(timespec="seconds"),
            expires=(now + timedelta(hours=hours)).isoformat(timespec="seconds"),
            approvers=keys,
        ),
    )
    request, _ = approvals.read_request(folder)
    if (request.target, request.model_fingerprint) != (target, fingerprint):
        raise UserError(f"{folder}: holds a request for another model; clear that folder")
    names = " or ".join(sorted(keys))
    print(f"waiting for {names} until {request.expires}; type: {command(folder, min(keys))}", flush=True)
    while True:
        given = approvals.read_answer(folder, keys)
        if given:
            print(f"{given.decision} by {given.by} at {given.at}", flush=True)
            return Approval(given.decision == approvals.APPROVED, given.by, folder)
        if datetime.now(timezone.utc) > datetime.fromisoformat(request.expires):
            print(f"nobody answered until {request.expires}: that is a no", flush=True)
            return Approval(False, "", folder)
        time.sleep(poll_seconds)


def command(folder: str, by: str) -> str:
    """Returns what a person types to answer the request in a folder."""
    return f"mainspring approve {shlex.quote(folder)} --by {shlex.quote(by)} --key ~/.ssh/id_ed25519"


def _keys(approvers: str) -> dict[str, str]:
    content = strict_yaml.load(read_text(approvers), "approvers")
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content.values()):
        raise UserError("approvers: must be a mapping of names to public keys, such as {ann: ssh-ed25519 AAAA…}")
    return {str(name): key for name, key in content.items()}


def _summary(evaluation: Path) -> str:
    content = storage.read_json(evaluation / EVALUATION_FILE)
    metrics = content.get("metrics") or {}
    own, other = metrics.get("challenger") or {}, metrics.get("champion") or {}
    lines = [
        f"{name}: {value:.4g}" + (f" (champion {other[name]:.4g})" if isinstance(other.get(name), float) else "")
        for name, value in own.items()
        if isinstance(value, float)
    ]
    return "\n".join(lines)
