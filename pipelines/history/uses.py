"""What was made from a file: the published versions, and the local runs that published nothing."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, manifests, published, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ExamplesManifest
from mainspring.components.deployment.versions import models_root
from mainspring.pipelines.history import lineage, records

SAME, REWRITTEN, RENAMED = "same content", "rewritten since", "same content, other name"
NAMED, WITHIN = "same name", "in the folder"


@dataclass(frozen=True)
class Use:
    """One version or run that was made from a file."""

    name: str
    """The model's, or the pipeline's of a run that published nothing."""
    version: int
    """0: the run published nothing."""
    uri: str
    run: str
    file: str
    """The file as it was called then."""
    match: str
    """`same content`, `rewritten since`, `same content, other name` `in the folder` that was asked for or,
    where contents cannot be told, `same name`."""
    state: str = ""
    """Where the version is served or withdrawn; of a run, how it ended."""

    def as_json(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _File:
    """The file that is asked for, as it is now; empty: it is not there, or is not known by that."""

    uri: str
    sha256: str
    generation: str


def uses(file: str, models: str, root: Path, states: dict[str, str]) -> list[Use]:
    """Returns what was made from a file, or from any file of a folder, oldest version first.

    Args:
        file: A path or a bucket's URI; it need not be there any more.
        models: Where versions are published.
        root: The local root, whose runs are searched too.
        states: What targets do with versions, by URI.

    Raises:
        UserError: A manifest cannot be read.
    """
    wanted = _now(file)
    found = []
    for name in models_root.models(models):
        for version in models_root.versions(models, name)[::-1]:
            uri = models_root.version_uri(models, name, version.version)
            for used, match in _matches(wanted, lineage.examples_of(uri)):
                state = states.get(buckets.canonical(uri), "")
                found.append(Use(name, version.version, uri, version.run, used, match, state))
    published_runs = {use.run for use in found}
    for record in reversed(records.all_runs(root)):
        if record.run not in published_runs and not record.outcome.version:
            examples = _examples_of(record)
            for used, match in _matches(wanted, examples):
                found.append(Use(record.pipeline, 0, "", record.run, used, match, record.status))
    return found


def _matches(wanted: _File, examples: ExamplesManifest | None) -> list[tuple[str, str]]:
    found = []
    for used in lineage.files_of(examples):
        uri, content = str(used.get("uri", "")), str(used.get("sha256", ""))
        same_name = uri == wanted.uri or uri.startswith(f"{wanted.uri}/")
        same_content = bool(content) and content == wanted.sha256
        if same_name and uri != wanted.uri:
            found.append((uri, WITHIN))
        elif same_name and content and wanted.sha256:
            found.append((uri, SAME if same_content else REWRITTEN))
        elif same_name and wanted.generation:
            found.append((uri, SAME if str(used.get("generation")) == wanted.generation else REWRITTEN))
        elif same_name:
            found.append((uri, NAMED))
        elif same_content:
            found.append((uri, RENAMED))
    return found


def _now(file: str) -> _File:
    if buckets.is_bucket(file):
        there = buckets.stat(file.rstrip("/"))
        return _File(file.rstrip("/"), "", str(there.generation) if there else "")
    if "://" in file and not file.startswith("file://"):
        return _File(file.rstrip("/"), "", "")
    path = storage.as_path(file).absolute()
    if not path.is_file():
        return _File(str(path), "", "")
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return _File(str(path), digest.hexdigest(), str(path.stat().st_mtime_ns))


def _examples_of(record: records.RunRecord) -> ExamplesManifest | None:
    """Returns the manifest of the examples that a local run read, while its folder is there."""
    for task in record.tasks:
        artifact = (task.get("outputs") or {}).get("examples")
        if isinstance(artifact, dict) and artifact.get("uri") and not buckets.is_bucket(artifact["uri"]):
            try:
                content = published.content(artifact["uri"], manifests.EXAMPLES_MANIFEST)
                return None if content is None else manifests.parse(ExamplesManifest, content, artifact["uri"])
            except UserError:
                return None
    return None
