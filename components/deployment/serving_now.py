"""What targets serve: asked of whoever answers for the target's kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import targets
from mainspring.components.deployment.local import endpoint_state, local_target
from mainspring.components.deployment.targets import Target
from mainspring.components.deployment.versions.takeovers import Takeover, Withdrawal


def champion(target: Target) -> tuple[int, str] | None:
    """Returns number and URI of the version that a target serves; None if it serves none.

    Raises:
        UserError: The target does not answer.
    """
    found: tuple[int, str] | None
    found = _kserve().champion(target) if target.scheme == targets.KSERVE else local_target.champion(target.name)
    return found


def withdrawn(target: Target) -> tuple[Withdrawal, ...]:
    """Returns the versions that were taken back from a target.

    Raises:
        UserError: The target does not answer.
    """
    gone: tuple[Withdrawal, ...]
    gone = _kserve().withdrawn(target) if target.scheme == targets.KSERVE else local_target.withdrawn(target.name)
    return gone


def local_targets() -> list[str]:
    """Returns the targets that the endpoints of the local root are."""
    return [f"{targets.LOCAL}://{name}" for name in endpoint_state.names()]


def history(target: Target) -> tuple[Takeover, ...]:
    """Returns the versions that a target has served, the current one last; none if it has served nothing.

    Raises:
        UserError: The target does not answer.
    """
    served: tuple[Takeover, ...]
    served = _kserve().history(target) if target.scheme == targets.KSERVE else local_target.history(target.name)
    return served


def uris(named: Iterable[str] = ()) -> set[str]:
    """Returns the URIs of the versions that local endpoints and the named targets serve, or would roll back to.

    Raises:
        UserError: A target is malformed, does not answer, or serves nothing on a cluster: what it needs cannot
            be known.
    """
    found: set[str] = set()
    for name in endpoint_state.names():
        found |= local_target.needed(name)
    for target in named:
        parsed = targets.parse(target)
        needed = _kserve().needed(parsed) if parsed.scheme == targets.KSERVE else local_target.needed(parsed.name)
        if not needed and parsed.scheme == targets.KSERVE:
            raise UserError(
                f"{target}: serves nothing, so what it needs cannot be told; check the name and the cluster"
            )
        found |= needed
    return found


def _kserve() -> Any:
    # Imported only here: a local target starts without what a cluster takes.
    from mainspring.components.deployment.kserve import target

    return target
