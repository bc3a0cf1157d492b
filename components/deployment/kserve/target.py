"""The target `kserve://<namespace>/<name>`, with the same questions and orders as `local://<name>`."""

from __future__ import annotations

from dataclasses import asdict

from mainspring.components.common import buckets
from mainspring.components.common import kubernetes_api as kubernetes
from mainspring.components.common.errors import UserError
from mainspring.components.deployment.kserve import cancelling, credentials, objects, preflight, reach, record, rollouts
from mainspring.components.deployment.kserve import lead as leading
from mainspring.components.deployment.kserve.objects import KNATIVE, Version
from mainspring.components.deployment.kserve.policy import ServingPolicy, restored
from mainspring.components.deployment.rollouts import Plan
from mainspring.components.deployment.targets import Target
from mainspring.components.deployment.versions import models_root, takeovers


def check(target: Target, policy: ServingPolicy, plan: Plan, root: str) -> None:
    """Looks at what a deployment needs, before anything is published.

    Raises:
        UserError: Something is missing.
    """
    if not buckets.is_bucket(root):
        raise UserError(
            f"models_root {root!r}: a cluster cannot read this machine's folders; give gs://bucket/folder or s3://…"
        )
    api = kubernetes.connect()
    # No version is published yet: the number only stands for one.
    coming = Version(1, buckets.join(root, target.name, "1"), "")
    cluster = preflight.check(api, target, policy, plan.percents, reach.proxied(policy), coming)
    credentials.check(api, target, policy, root, cluster.service)


def deploy(target: Target, version: Version, policy: ServingPolicy, plan: Plan) -> str:
    """Serves a published version by the steps of a plan, and returns the URL that answers predictions.

    Whatever was served keeps all traffic if it fails. A rollout that another run left is finished or taken back first.

    Raises:
        UserError: It cannot be served, or did not pass a step.
    """
    api = kubernetes.connect()
    cluster = preflight.check(api, target, policy, plan.percents, reach.proxied(policy), version)
    lead = leading.take(api, target, policy, cluster, version.uri, plan.seconds)
    with cancelling.heard():
        lead.note(policy=asdict(policy))
        rollouts.settle(lead, version.uri)
        champion = lead.record.champion
        if champion is None:
            rollouts.first(lead, version)
        elif champion.uri == version.uri and not lead.record.candidate:
            print(f"{lead.title} serves version {version.number} already", flush=True)
            lead.apply(champion)  # The policy may have changed.
            lead.note(before="")
            lead.wait(champion, leading.has_all(lead, champion))
        else:
            rollouts.follow(lead, version, plan)
    return _url(lead)


def rollback(
    target: Target, policy: ServingPolicy | None = None, to: int = 0, reason: str = "", replacing: int = 0
) -> tuple[Version, str, int]:
    """Serves an earlier version again, judged without traffic first, and withdraws what was served since.

    Args:
        target: The service.
        policy: How it is served; None: as the last deployment said.
        to: The version to serve; 0: the one that was served before the current one.
        reason: Recorded with the withdrawal.
        replacing: The version that must go; where another one is served, nothing is done. 0: whatever is served.

    Returns:
        The version, the URL that answers predictions, and the number of the version that was served before.

    Raises:
        UserError: There is no such version, or it cannot be served. Whatever was served still is.
    """
    api = kubernetes.connect()
    known = record.read(api, target).record
    policy = policy or restored(known.policy)
    # Which version comes back is known once the record is ours; any will do to ask what the cluster takes.
    any_version = known.champion or Version(1, f"gs://models/{target.name}/1", "")
    cluster = preflight.check(api, target, policy, (0.0, 100.0), reach.proxied(policy), any_version)
    lead = leading.take(api, target, policy, cluster, "")
    left = lead.record
    rollouts.settle(lead, "")
    current = lead.record.champion
    if current is None or not lead.record.history:
        raise UserError(f"{lead.title}: serves no version of ours; there is nothing to go back from")
    if takeovers.is_gone(lead.title, lead.record.history, lead.record.withdrawn, current.number, replacing):
        return current, _url(lead), replacing
    if not to and left.champion and current == left.candidate and left.champion.uri in _uris(left.withdrawn):
        # It had switched and was killed before it wrote that down: going on from here would go one too far.
        return current, _url(lead), left.champion.number
    before = lead.record.withdrawn
    chosen = takeovers.destination(lead.title, lead.record.history, before, to)
    manifest = models_root.version(chosen.uri)
    if manifest is None:
        raise UserError(f"{lead.title}: version {chosen.version} is gone from {chosen.uri}; name another one with --to")
    version = objects.version(manifest, chosen.uri)
    preflight.check_layout(policy, version)
    withdrawn = takeovers.passed_over(lead.record.history, before, chosen, reason or "no reason was given")
    # Before the switch: were we killed after it, an unchanged run would deploy the withdrawn version again.
    lead.note(withdrawn=withdrawn)
    try:
        if current.uri != version.uri:
            with cancelling.heard():
                rollouts.follow(lead, version, Plan((0.0, 100.0), 0.0))
    except UserError:
        lead.note(withdrawn=before)
        raise
    return version, _url(lead), current.number


def champion(target: Target) -> tuple[int, str] | None:
    """Returns number and URI of the version that the InferenceService serves; None if there is none.

    Raises:
        UserError: The cluster does not answer, or the service is none of ours.
    """
    api = kubernetes.connect()
    found = api.get(objects.path(target))
    if found is None:
        return None
    specified = objects.specified(found)
    if specified is None:
        raise UserError(
            f"{leading.lead_title(target)}: this InferenceService was not deployed by Mainspring; choose another name"
        )
    known = record.read(api, target).record
    # Knative's predictor is the canary's while a rollout is under way; the champion is written down before.
    trying = objects.mode_of(found) == KNATIVE and known.candidate and known.champion
    served = known.champion if trying else specified
    if served is None or (known.champion is None and known.candidate):
        return None  # The first version is still on its way.
    return served.number, served.uri


def withdrawn(target: Target) -> tuple[takeovers.Withdrawal, ...]:
    """Returns the versions that were taken back from the target."""
    return record.read(kubernetes.connect(), target).record.withdrawn


def history(target: Target) -> tuple[takeovers.Takeover, ...]:
    """Returns the versions that the target has served, the current one last."""
    return record.read(kubernetes.connect(), target).record.history


def needed(target: Target) -> set[str]:
    """Returns the URIs of the versions that the target serves, tries out, or would roll back to."""
    known = record.read(kubernetes.connect(), target).record
    gone = _uris(known.withdrawn)
    served = champion(target)
    current = served[1] if served else ""
    earlier = [each.uri for each in known.history if each.uri != current and each.uri not in gone]
    tried = [each.uri for each in (known.champion, known.candidate) if each]
    return {current, *earlier[-1:], *tried} - {""}


def _uris(withdrawn: tuple[takeovers.Withdrawal, ...]) -> set[str]:
    return {each.uri for each in withdrawn}


def _url(lead: leading.Lead) -> str:
    url = (lead.found() or {}).get("status", {}).get("url", "")
    return f"{url}/v1/models/{lead.target.name}:predict" if url else lead.title
