"""What targets do with published versions: which they serve, and which were taken back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mainspring.components.common import buckets, published
from mainspring.components.common.report import number_text
from mainspring.components.deployment import serving_now, targets
from mainspring.components.deployment.versions import models_root
from mainspring.pipelines.history.outcome import EVALUATION_FILE, figures

LONGEST_DATA = 40


def states(named: Iterable[str] = ()) -> dict[str, str]:
    """Returns what local endpoints and the named targets do with versions, by the version's URI.

    Raises:
        UserError: A target is malformed, or does not answer.
    """
    found: dict[str, str] = {}
    for target in dict.fromkeys([*serving_now.local_targets(), *named]):
        parsed = targets.parse(target)
        for withdrawal in serving_now.withdrawn(parsed):
            found.setdefault(_spelled(withdrawal.uri), f"withdrawn from {target}: {withdrawal.reason}")
        served = serving_now.champion(parsed)
        if served:
            place = _spelled(served[1])
            before = found.get(place, "")
            found[place] = f"{before}, {target}" if before.startswith("served at") else f"served at {target}"
    return found


def described(uri: str, known: dict[str, str]) -> dict[str, Any]:
    """Returns what a list says of a version: its state, the metric it was judged by, and the spans of its data."""
    told = figures(published.content(uri, f"evaluation/{EVALUATION_FILE}") or {})
    made = models_root.model_manifest(uri)
    spans = ",".join(made.spans) if made else ""
    return {
        "state": known.get(_spelled(uri), ""),
        "metric": f"{told['metric']} {number_text(told['challenger'])}" if told.get("metric") else "",
        "data": spans if len(spans) <= LONGEST_DATA else f"{made.spans[0]} to {made.spans[-1]}" if made else "",
    }


def _spelled(uri: str) -> str:
    return buckets.canonical(uri) if uri else ""
