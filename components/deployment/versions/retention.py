"""Which published versions may go: none that is served, that was blessed last, or that either was compared with."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from mainspring.components.common import buckets, manifests, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import VersionManifest
from mainspring.components.deployment.versions import models_root

GRACE_SECONDS = 24 * 3600.0
"""After its last object, so long is a version in a bucket left alone that is not complete: it may still be coming."""


def removable(
    root: str, name: str, keep: int, served: Collection[str], history: Collection[str] = ()
) -> list[VersionManifest]:
    """Returns the versions of a model that retention removes, oldest first.

    Args:
        root: Where versions are published.
        name: The model's name.
        keep: How many of the newest stay, whatever else is said.
        served: URIs of the versions that are served anywhere.
        history: URIs of the versions that a rollback would lead to.

    Raises:
        UserError: `keep` is less than 1: the version that was blessed last must stay.
    """
    if keep < 1:
        raise UserError(f"keep {keep}: at least 1, for the version that was blessed last stays")
    published = models_root.versions(root, name)
    uris = {version.version: models_root.version_uri(root, name, version.version) for version in published}
    needed = {*(uris[version.version] for version in published[:keep]), *served, *history}
    staying = _named(uris, name, needed)
    # A run that is repeated on the same data is compared with the same baseline again.
    baselines = {version.baseline for version in published if version.version in staying}
    staying |= _named(uris, name, baselines - {""})
    return [version for version in published if version.version not in staying][::-1]


def _named(uris: Mapping[int, str], name: str, needed: Collection[str]) -> set[int]:
    """Returns the versions that are needed, whoever spelled their URIs how.

    A folder that cannot be reached from here any more may be any folder: its version stays by name and number.
    """
    spelled = {buckets.canonical(uri) for uri in needed}
    places = {place for uri in needed if (place := _place(uri))}
    lost = {tuple(uri.rstrip("/").split("/")[-2:]) for uri in needed if not buckets.is_bucket(uri) and not _place(uri)}
    return {
        number
        for number, uri in uris.items()
        if buckets.canonical(uri) in spelled or (_place(uri) or None) in places or (name, str(number)) in lost
    }


def _place(uri: str) -> tuple[int, int] | None:
    """Returns what tells a folder from every other one on this machine, under whatever path; None in a bucket."""
    if buckets.is_bucket(uri):
        return None
    try:
        found = storage.as_path(uri).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unfinished(root: str, name: str, now: float | None = None) -> list[int]:
    """Returns the numbers under which a killed publisher, or a removal that was cut short, left objects in a bucket.

    On a path there are none: who publishes next removes them.

    Args:
        root: Where versions are published.
        name: The model's name.
        now: Seconds since the epoch; None: the clock's.

    Raises:
        UserError: The bucket does not answer.
    """
    if not buckets.is_bucket(root):
        return []
    left = []
    for number in sorted(models_root.numbers(root, name)):
        uri = models_root.version_uri(root, name, number)
        objects = buckets.list_objects(uri)
        is_complete = any(each.uri == buckets.join(uri, manifests.VERSION_MANIFEST) for each in objects)
        newest = max((each.modified for each in objects), default=0.0)
        if newest and not is_complete and newest < (time.time() if now is None else now) - GRACE_SECONDS:
            left.append(number)
    return left
