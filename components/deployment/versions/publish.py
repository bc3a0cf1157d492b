"""Publishing: the next integer version of a model, complete or absent, never changed afterwards."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path

from mainspring.components.common import buckets, manifests, published, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ModelManifest, VersionManifest
from mainspring.components.deployment.versions import models_root, signatures

STATISTICS = "statistics"
EVALUATION = "evaluation"
LOCK = ".lock"
BESIDE = (manifests.MODEL_MANIFEST, manifests.EXAMPLES_FILE, manifests.SCHEMA_FILE, manifests.REQUEST_FILE)
"""Of a model's files, those that lie in the version's own folder."""
NOT_SERVED = (manifests.EXAMPLES_FILE, manifests.SCHEMA_FILE)
"""Of these, those that no model server reads. The manifest tells ours how the source writes a value: true, a date."""

MOST_PUBLISHERS = 20
"""Numbers that are tried in a bucket before a publisher gives up: so many others at the same moment are a mistake."""


def publish(
    model: Path,
    statistics: Path,
    evaluation: Path,
    *,
    root: str | Path,
    name: str,
    baseline: str = "",
    replaces: int = 0,
    run: str = "",
    approved_by: str = "",
    promoted_from: str = "",
) -> VersionManifest:
    """Publishes a model as `<root>/<name>/<next integer>/`, its SavedModel as `model/<that integer>/` within.

    Two publishers at once get two versions.

    Args:
        model: A SavedModel's folder, with its manifest.
        statistics: The folder of the statistics of its data.
        evaluation: The folder of its evaluation.
        root: Models root. TensorFlow Serving takes `<root>/<name>/<version>/model` as base path.
        name: The model's name.
        baseline: URI of the version whose data these examples were validated against.
        replaces: The version that is served now; 0 if none is.
        run: The pipeline run.
        approved_by: Who approved it; empty if nobody was asked.
        promoted_from: URI of the version that it is a copy of; empty for one that was trained.

    Returns:
        The version's manifest; that of the newest or of the served version if it holds this very model.

    Raises:
        UserError: The model's folder is incomplete, or the root cannot be written.
    """
    manifest = check_layout(model)
    known = _known(root, name, manifest, replaces)
    if known:
        return known
    draft = VersionManifest(
        name=name,
        version=0,
        model_fingerprint=manifest.fingerprint,
        examples_fingerprint=manifest.examples_fingerprint,
        baseline=baseline,
        replaces=replaces,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        files={},
        rebaselined=_rebaselined(evaluation),
        run=run,
        approved_by=approved_by,
        promoted_from=promoted_from,
    )
    parts = {"": model, STATISTICS: statistics, EVALUATION: evaluation}
    if buckets.is_bucket(root):
        return _in_bucket(str(root), draft, parts)
    return _in_folder(Path(root), draft, parts, manifest)


def _known(root: str | Path, name: str, manifest: ModelManifest, replaces: int) -> VersionManifest | None:
    published = models_root.versions(root, name)
    # The served version is older than the newest after a rollback.
    candidates = [*published[:1], *(known for known in published if known.version == replaces)]
    return next((known for known in candidates if known.model_fingerprint == manifest.fingerprint), None)


def _in_folder(root: Path, draft: VersionManifest, parts: dict[str, Path], model: ModelManifest) -> VersionManifest:
    folder = root / draft.name
    with _lock(folder):
        for orphan in folder.glob(".[0-9]*.*"):  # A killed publisher's; nobody else writes while we hold the lock.
            shutil.rmtree(orphan, ignore_errors=True)
        known = _known(root, draft.name, model, draft.replaces)  # Published while we waited.
        if known:
            return known
        number = max(models_root.numbers(root, draft.name), default=0) + 1
        with storage.publishing_directory(folder / str(number)) as aside:
            for name, path in _placed(parts, number).items():
                _copy(path, aside / name)
            version = replace(draft, version=number, files=checksums(aside))
            manifests.write(version, aside / manifests.VERSION_MANIFEST)
        return version


def _placed(parts: dict[str, Path], number: int) -> dict[str, Path]:
    """Returns the files of a version: each one's source by its name in the version's folder.

    The SavedModel has a folder of its own (`published.MODEL_FOLDER`). What people and other components read beside it
    is in the version's folder; of that, the sample request also goes with the SavedModel, which is warmed up with it,
    and the manifest, which says how the source writes values.
    """
    within = Path(published.MODEL_FOLDER, str(number))
    placed = {}
    for part, folder in parts.items():
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        for path in sorted(file for file in folder.rglob("*") if file.is_file()):
            name = path.relative_to(folder)
            if part or name.as_posix() in BESIDE:
                placed[(Path(part) / name).as_posix()] = path
            if not part and name.as_posix() not in NOT_SERVED:
                placed[(within / name).as_posix()] = path
    return placed


def _rebaselined(evaluation: Path) -> str:
    """Returns why the evaluation left the champion out, where it was told to; empty otherwise."""
    path = evaluation / "evaluation.json"
    content = storage.read_json(path) if path.is_file() else {}
    return str(content.get("rebaselined") or "") if isinstance(content, dict) else ""


def _in_bucket(root: str, draft: VersionManifest, parts: dict[str, Path]) -> VersionManifest:
    """Publishes without a lock: who creates the model's manifest owns the number, and the version's comes last."""
    claim = parts[""] / manifests.MODEL_MANIFEST
    number = max(models_root.numbers(root, draft.name), default=0) + 1
    for attempt in range(number, number + MOST_PUBLISHERS):
        uri = models_root.version_uri(root, draft.name, attempt)
        try:
            buckets.upload(claim, buckets.join(uri, manifests.MODEL_MANIFEST))
        except buckets.AlreadyExists:
            continue  # Another publisher, at the same moment.
        placed = _placed(parts, attempt)
        files = {name: _checksum(path) for name, path in placed.items()}
        beside = {buckets.join(uri, name): path for name, path in placed.items() if name != manifests.MODEL_MANIFEST}
        buckets.upload_all(beside)
        version = replace(draft, version=attempt, files=files)
        _refuse_incomplete(uri, placed)
        _complete(buckets.join(uri, manifests.VERSION_MANIFEST), version)
        return version
    raise UserError(
        f"{buckets.join(root, draft.name)}: versions {number} to {attempt} were taken by others meanwhile; run again"
    )


def _refuse_incomplete(uri: str, sources: dict[str, Path]) -> None:
    there = {found.uri.removeprefix(f"{uri}/"): found.size for found in buckets.list_objects(uri)}
    wrong = [name for name, path in sources.items() if there.get(name) != path.stat().st_size]
    if wrong or len(there) != len(sources):
        raise UserError(f"{uri}: somebody else changed it while it was published ({(wrong or ['more files'])[0]})")


def _complete(uri: str, version: VersionManifest) -> None:
    content = json.dumps(asdict(version), indent=2).encode()
    try:
        buckets.create(uri, content)
    except buckets.AlreadyExists:
        # Written by us, when the answer to the first attempt was lost.
        if buckets.read(uri) != content:
            raise


def check_layout(model: Path) -> ModelManifest:
    """Checks that a folder is a whole SavedModel that takes what its manifest says, and returns the manifest.

    Raises:
        UserError: A file is missing or empty, or the serving signature is not the manifest's.
    """
    for needed in ("saved_model.pb", "variables/variables.index", manifests.MODEL_MANIFEST):
        file = model / needed
        if not file.is_file() or file.stat().st_size == 0:
            raise UserError(f"{model}: not a model that can be published: {needed} is missing or empty")
    manifest = manifests.read(ModelManifest, model / manifests.MODEL_MANIFEST)
    signatures.check(model, manifest)
    return manifest


def checksums(folder: Path) -> dict[str, str]:
    """Returns `sha256:<hex>` by relative path for every file under a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _checksum(path) for path in paths}


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with storage.full_disks_as_user_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
