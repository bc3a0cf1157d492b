"""Which versions an endpoint has served, which were taken back, and what follows for the next deployment.

A version that was rolled back is *withdrawn* from its target: an unchanged run of a pipeline would make the very same
model again, find it better than the champion again and put the trouble back. So deployments refuse a withdrawn model,
by its fingerprint or by what it was trained from; a rollback *to* the version is the deliberate way to serve it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest
from mainspring.components.deployment.versions import models_root

KEPT = 200
"""Takeovers that are remembered."""


@dataclass(frozen=True)
class Takeover:
    """A version that got the traffic."""

    version: int
    uri: str
    since: str
    """ISO 8601, UTC."""


@dataclass(frozen=True)
class Withdrawal:
    """A version that was taken back from the target."""

    version: int
    uri: str
    at: str
    """ISO 8601, UTC."""
    reason: str
    fingerprint: str
    """Of the model's files."""
    recipe: str
    """Of what the model was trained from (`recipe`); empty where that cannot be told."""


def now() -> str:
    """Returns the time as records state it: ISO 8601, UTC, seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def appended(history: tuple[Takeover, ...], version: int, uri: str, since: str) -> tuple[Takeover, ...]:
    """Returns the history with a version as the one that has the traffic now; unchanged if it is that already."""
    if not version or (history and history[-1].uri == uri):
        return history
    return (*history, Takeover(version, uri, since))[-KEPT:]


def destination(
    title: str, history: tuple[Takeover, ...], withdrawn: Iterable[Withdrawal], to: int
) -> Takeover | Withdrawal:
    """Returns the version that a rollback leads to.

    Args:
        title: The target, for messages.
        history: What it has served, the current version last.
        withdrawn: What was taken back from it.
        to: The version that is wanted; 0: the one that was served before the current one and not taken back.

    Raises:
        UserError: There is no such version.
    """
    gone = {withdrawal.uri: withdrawal for withdrawal in withdrawn}
    if not to:
        found_before = before(history, gone.values())
        if found_before is None:
            raise UserError(
                f"{title}: has served no version before {history[-1].version} that could take over again"
                f"{_same_as_withdrawn(history, gone.values())}"
            )
        return found_before
    known: list[Takeover | Withdrawal] = [*gone.values(), *history]
    found = [candidate for candidate in known if candidate.version == to]
    if not found:
        served = ", ".join(map(str, sorted({takeover.version for takeover in history})))
        raise UserError(f"{title}: version {to} was never served there; a rollback can go to one of: {served}")
    return found[-1]


def before(history: tuple[Takeover, ...], withdrawn: Iterable[Withdrawal]) -> Takeover | None:
    """Returns what a rollback that names no version leads to; None if there is none.

    It is the version that was served before the current one, unless that was taken back, or holds a model that was:
    one published twice is the same model under two numbers. The current version's model is being taken back as well.
    """
    gone = list(withdrawn)
    uris = {withdrawal.uri for withdrawal in gone} | {history[-1].uri}
    made = _marks([*gone, withdrawal_of(history[-1].version, history[-1].uri, "")])
    for takeover in reversed(history):
        if takeover.uri not in uris and not _marks([withdrawal_of(takeover.version, takeover.uri, "")]) & made:
            return takeover
    return None


def _marks(withdrawn: Iterable[Withdrawal]) -> set[str]:
    """Returns what withdrawn models are known by: their fingerprints, and what they were trained from."""
    return {mark for each in withdrawn for mark in (each.fingerprint, each.recipe) if mark}


def _same_as_withdrawn(history: tuple[Takeover, ...], withdrawn: Iterable[Withdrawal]) -> str:
    """Returns a sentence on the versions that a rollback passes over as models that were withdrawn; or nothing."""
    uris = {withdrawal.uri for withdrawal in withdrawn} | {history[-1].uri}
    passed = sorted({takeover.version for takeover in history if takeover.uri not in uris})
    if not passed:
        return ""
    return (
        f": {', '.join(f'version {number}' for number in passed)} held the very model that was withdrawn under another "
        f"number; serve it all the same with --to {passed[-1]}"
    )


def is_gone(
    title: str, history: tuple[Takeover, ...], withdrawn: Iterable[Withdrawal], serving: int, replacing: int
) -> bool:
    """Returns whether a version that must go does not serve any more; False if none is named (0).

    Raises:
        UserError: It was never served there.
    """
    if replacing in (0, serving):
        return False
    if replacing not in {*(one.version for one in history), *(one.version for one in withdrawn)}:
        raise UserError(f"{title}: version {replacing}, which is to go, was never served there; it serves {serving}")
    print(f"{title}: serves version {serving}; {replacing} is gone already", flush=True)
    return True


def passed_over(
    history: tuple[Takeover, ...], withdrawn: tuple[Withdrawal, ...], chosen: Takeover | Withdrawal, reason: str
) -> tuple[Withdrawal, ...]:
    """Returns what is withdrawn once a rollback has led to a version.

    Going back withdraws whatever was served since; going to a withdrawn version lifts its withdrawal and no more. A
    model that was published under several numbers is one model: it is never served and withdrawn at the same time.
    """
    gone = {withdrawal.uri: withdrawal for withdrawal in withdrawn}
    lifted = gone.pop(chosen.uri, None)
    marks = _marks([lifted or withdrawal_of(chosen.version, chosen.uri, "")])
    for same in [each for each in gone.values() if _marks([each]) & marks]:
        print(f"version {chosen.version} is the model that was withdrawn as version {same.version}", flush=True)
        del gone[same.uri]
    if lifted is None:
        last = max(index for index, takeover in enumerate(history) if takeover.uri == chosen.uri)
        for takeover in history[last + 1 :]:
            withdrawal = withdrawal_of(takeover.version, takeover.uri, reason)
            if not _marks([withdrawal]) & marks:
                gone.setdefault(takeover.uri, withdrawal)
    return tuple(gone.values())


def withdrawal_of(version: int, uri: str, reason: str) -> Withdrawal:
    """Returns the record that takes a published version back; one whose folder is gone is known by its URI alone."""
    manifest = models_root.model_manifest(uri)
    if manifest is None:
        return Withdrawal(version, uri, now(), reason, "", "")
    return Withdrawal(version, uri, now(), reason, manifest.fingerprint, recipe(manifest))


def refuse_withdrawn(target: str, manifest: ModelManifest, withdrawn: Iterable[Withdrawal], served_uri: str) -> None:
    """Checks that a model is none that was taken back from the target.

    Args:
        target: For messages and the command in them.
        manifest: The model's.
        withdrawn: What was taken back.
        served_uri: What is served now: a rollback that was killed before it switched has left it withdrawn.

    Raises:
        UserError: It is, or was trained from the very same.
    """
    served = models_root.model_manifest(served_uri) if served_uri else None
    if served and manifest.fingerprint and served.fingerprint == manifest.fingerprint:
        return  # It is what the target serves already.
    made_of = recipe(manifest)
    for gone in withdrawn:
        same = bool(gone.fingerprint) and gone.fingerprint == manifest.fingerprint
        if gone.uri != served_uri and (same or (gone.recipe and gone.recipe == made_of)):
            what = "is" if same else "was trained from the same data and settings as"
            raise UserError(
                f"{target}: this model {what} version {gone.version}, which was rolled back at {gone.at} "
                f"({gone.reason}); train on other data or settings, or serve it all the same with: "
                f"mainspring rollback {target} --to {gone.version}"
            )


def recipe(manifest: ModelManifest) -> str:
    """Returns a hash of all that a model was trained from: two trainings of one recipe are one model.

    It is empty for a model of a user's own module, whose code the manifest does not hold.
    """
    if manifest.hyperparameters.get("module"):
        return ""
    parts = [
        manifest.task,
        manifest.label,
        manifest.features,
        manifest.hyperparameters,
        manifest.seed,
        manifest.examples_fingerprint,
        manifest.schema_fingerprint,
        manifest.versions,
    ]
    return f"sha256:{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"
