"""Gives the traffic back to a version that was served before."""

from __future__ import annotations

from typing import NamedTuple

from mainspring.components.deployment import targets
from mainspring.components.deployment.deploy_model import refuse_misplaced_policy
from mainspring.components.deployment.local import local_target, model_servers


class RolledBack(NamedTuple):
    """What is served now, and what was before."""

    version: int
    version_uri: str
    endpoint: str
    replaced: int


def preload() -> None:
    """Starts a model server's imports while earlier stages work; the engine calls this in a waiting interpreter."""
    model_servers.preload()


def rollback_model(
    target: str, version: int = 0, reason: str = "", serving_policy: str = "", replacing: int = 0
) -> RolledBack:
    """Serves an earlier version again, checked as in a deployment, and withdraws the versions that were served since.

    Args:
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        version: The version to serve; 0: the one that was served before the current one. A withdrawn version can be
            named as well: it is served again, and no longer withdrawn.
        reason: Recorded, and shown when a withdrawn model is refused.
        serving_policy: How a cluster serves it, see `kserve.policy`; empty: as the last deployment said.
        replacing: The version that must go: where it does not serve, nothing is done, so that asking again goes back
            no further. 0: whatever is served.

    Raises:
        UserError: There is no such version, or it cannot be served. Whatever was served still is.
    """
    where = targets.parse(target)
    refuse_misplaced_policy(target, serving_policy)
    if where.scheme == targets.KSERVE:
        # Imported only here: a local target starts without what a cluster takes.
        from mainspring.components.deployment.kserve import policy as kserve_policy
        from mainspring.components.deployment.kserve import target as kserve

        policy = kserve_policy.parse(serving_policy) if serving_policy.strip() else None
        chosen, url, replaced = kserve.rollback(where, policy, int(version), reason, int(replacing))
        return RolledBack(chosen.number, chosen.uri, url, replaced)
    name = where.name
    before = local_target.champion(name)
    endpoint = local_target.rollback(name, int(version), reason, int(replacing))
    replaced = int(replacing) or (before[0] if before else 0)
    return RolledBack(endpoint.version, endpoint.model, endpoint.url, replaced)
