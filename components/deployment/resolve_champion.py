"""What a target serves now, and which version's data new data is compared with."""

from __future__ import annotations

from typing import NamedTuple

from mainspring.components.common.errors import UserError
from mainspring.components.deployment import serving_now, targets
from mainspring.components.deployment.models_root import version as published_version


class Champion(NamedTuple):
    """What is served, and the baseline for the examples at hand."""

    champion_uri: str
    baseline_uri: str
    version: int


def resolve_champion(target: str, examples_fingerprint: str = "", models_root: str = "") -> Champion:
    """Asks the target what it serves; a stopped endpoint still has its last version as champion.

    Args:
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        examples_fingerprint: The examples at hand. If the champion was trained on these very examples, the baseline is
            the one that they were compared with then.
        models_root: Where versions are published. A local endpoint itself knows where its version is.

    Raises:
        UserError: The target is malformed, or the version that it serves is no longer published.
    """
    found = serving_now.champion(targets.parse(target))
    if found is None:
        print(f"{target} serves nothing yet", flush=True)
        return Champion("", "", 0)
    version, uri = found
    manifest = published_version(uri)
    if manifest is None:
        raise UserError(f"{target}: serves version {version}, but {uri} is gone; restore that folder, then run again")
    baseline = uri
    if examples_fingerprint and manifest.examples_fingerprint == examples_fingerprint:
        baseline = _still_published(manifest.baseline)
    print(f"{target} serves version {version} ({uri}); baseline: {baseline or 'none'}", flush=True)
    return Champion(uri, baseline, version)


def _still_published(baseline: str) -> str:
    if baseline and published_version(baseline) is None:
        print(f"the baseline {baseline} is no longer published: these examples are compared with none", flush=True)
        return ""
    return baseline
