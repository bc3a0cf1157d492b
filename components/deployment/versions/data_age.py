"""Which of two models was trained on newer data, by the spans that their manifests name."""

from __future__ import annotations

from mainspring.components.common.manifests import ModelManifest

NO_SPAN = "all"
"""The one span of a source that has none."""


def older(challenger: ModelManifest, champion: ModelManifest) -> str:
    """Returns why a model's data end before another's, in words; empty if they do not, or that cannot be told.

    Args:
        challenger: Of the model that is to be served.
        champion: Of the model that is served.
    """
    ours, theirs = _newest(challenger), _newest(champion)
    if not ours or not theirs:
        return ""
    if ours.isdigit() and theirs.isdigit():
        is_older = int(ours) < int(theirs)
    else:  # Dates, which sort as they are spelled where they are spelled alike.
        is_older = len(ours) == len(theirs) and ours < theirs
    return (
        f"its data end with span {ours}, and what is served was trained on newer data, to span {theirs}"
        if is_older
        else ""
    )


def _newest(manifest: ModelManifest) -> str:
    newest = manifest.spans[-1] if manifest.spans else NO_SPAN
    return "" if newest == NO_SPAN else newest
