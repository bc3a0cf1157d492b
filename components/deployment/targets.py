"""Targets: the URIs that name where a model is served."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mainspring.components.common.errors import UserError

LOCAL = "local"
KSERVE = "kserve"

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""RFC 1123, as Kubernetes reads it: lower case."""


@dataclass(frozen=True)
class Target:
    """Where a model is served."""

    scheme: str
    """`LOCAL` or `KSERVE`."""
    name: str
    """The model's and the endpoint's name, a DNS label."""
    namespace: str = ""
    """The cluster's namespace; empty for a local target."""


def parse(target: str) -> Target:
    """Parses `local://<name>` or `kserve://<namespace>/<name>`.

    Raises:
        UserError: Another form, or a name that is no DNS label.
    """
    scheme, separator, rest = target.partition("://")
    parts = rest.split("/")
    if not separator or (scheme, len(parts)) not in ((LOCAL, 1), (KSERVE, 2)):
        raise UserError(f"target {target!r}: expected local://<name> or kserve://<namespace>/<name>")
    for part in parts:
        if not DNS_LABEL.fullmatch(part):
            raise UserError(
                f"target {target!r}: {part!r} is no DNS label; "
                "use 1 to 63 lower-case letters, digits and '-', with a letter or digit at both ends"
            )
    return Target(scheme, parts[-1], parts[0] if scheme == KSERVE else "")
