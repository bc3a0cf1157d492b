"""What a target serves now, and which version's data new data is compared with."""

from __future__ import annotations

from typing import NamedTuple

from mainspring.components.common import manifests
from mainspring.components.common.errors import UserError
from mainspring.components.common.published import content
from mainspring.components.deployment import serving_now, targets
from mainspring.components.deployment.versions.models_root import version as published_version


class Champion(NamedTuple):
    """What is served, and the baseline for the examples at hand."""

    champion_uri: str
    baseline_uri: str
    version: int
    parent_uri: str
    """The model that a warm start begins with; empty where none is asked for."""


def resolve_champion(
    target: str, examples_fingerprint: str = "", models_root: str = "", warm_start: bool = False, recipe: str = ""
) -> Champion:
    """Asks the target what it serves; a stopped endpoint still has its last version as champion.

    Args:
        target: `local://<name>` or `kserve://<namespace>/<name>`.
        examples_fingerprint: The examples at hand. If the champion was trained on these very examples, the baseline is
            the one that they were compared with then.
        models_root: Where versions are published. A local endpoint itself knows where its version is.
        warm_start: Whether training begins with a served model. It is the baseline's, not the champion's: a repeated
            run then begins where the first one did, and not with what that one made of the very same rows.
        recipe: Of the examples to be made, where they are not there yet: of the same recipe, the same examples.

    Raises:
        UserError: The target is malformed, or the version that it serves is no longer published.
    """
    found = serving_now.champion(targets.parse(target))
    if found is None:
        print(f"{target} serves nothing yet", flush=True)
        return Champion("", "", 0, "")
    version, uri = found
    manifest = published_version(uri)
    if manifest is None:
        raise UserError(f"{target}: serves version {version}, but {uri} is gone; restore that folder, then run again")
    baseline = uri
    is_same = examples_fingerprint and manifest.examples_fingerprint == examples_fingerprint
    if is_same or (recipe and _recipe(uri) == recipe):
        baseline = _still_published(manifest.baseline)
    print(f"{target} serves version {version} ({uri}); baseline: {baseline or 'none'}", flush=True)
    return Champion(uri, baseline, version, baseline if warm_start else "")


def _recipe(uri: str) -> str:
    """Returns what a version's examples were made of; empty where it does not say."""
    examples = content(uri, manifests.EXAMPLES_FILE)
    return str(examples.get("recipe", "")) if isinstance(examples, dict) else ""


def _still_published(baseline: str) -> str:
    if baseline and published_version(baseline) is None:
        print(f"the baseline {baseline} is no longer published: these examples are compared with none", flush=True)
        return ""
    return baseline
