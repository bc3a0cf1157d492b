"""Whether a window's labels can be trusted to judge its predictions: too many that do not fit, and they cannot."""

from __future__ import annotations

from mainspring.components.common.manifests import ModelManifest
from mainspring.components.monitoring import policy
from mainspring.components.monitoring.judging import labels
from mainspring.components.monitoring.judging.findings import Finding
from mainspring.components.monitoring.judging.labels import Labels
from mainspring.components.monitoring.policy import Limits

ABOUT = "labels"


def judge(found: Labels, limits: Limits, manifest: ModelManifest) -> list[Finding]:
    """Returns a finding on each kind of labels that do not fit.

    Beyond a limit it is an alarm: quality is then not judged. No new model mends that.
    """
    classes = f"are of no class (the model's are {_some(manifest.classes)})" if manifest.classes else "are no numbers"
    words = {
        labels.NO_CLASS: classes,
        labels.CONTRADICTING: "contradict another label of the same key and are left out",
        labels.SEVERAL: "join several rows of a window and are left out",
        labels.MISSPELLED: "have no row, where a request has their id in another spelling",
    }
    told = [_finding(kind, found, words[kind], limits.max_bad_label_share) for kind in words if found.counts.get(kind)]
    unjoined = found.counts.get(labels.UNJOINED, 0)
    if unjoined:
        strays = "have no row in this window or in those that are kept"
        one = _finding(labels.UNJOINED, found, strays, limits.max_unjoined_label_share)
        needed = max(limits.min_labelled, 1)
        if not one.alarm and found.given >= needed and found.usable - unjoined < needed:
            sentence = f"quality is not judged: {one.sentence}; {needed:,} that have one are needed"
            one = Finding(policy.QUALITY, ABOUT, True, sentence, one.value, one.limit, mendable=False)
        told.append(one)
    return told


def _finding(kind: str, found: Labels, words: str, limit: float) -> Finding:
    count = found.counts[kind]
    share = count / max(found.given, count)
    sentence = (
        f"{count:,} of {found.given:,} labels {words} ({share:.2%}; {limit:.2%} are allowed), such as: "
        f"{found.examples[kind]}"
    )
    alarm = share > limit
    sentence = f"quality is not judged: {sentence}" if alarm else sentence
    return Finding(policy.QUALITY, ABOUT, alarm, sentence, share, limit, mendable=not alarm)


def _some(classes: list[str]) -> str:
    return ", ".join(classes[:5]) + (" …" if len(classes) > 5 else "")
