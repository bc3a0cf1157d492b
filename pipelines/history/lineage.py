"""Where a published version comes from: its run, its data, its code, the champion that it beat, and who approved it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainspring.components.common import buckets, manifests, published, storage
from mainspring.components.common.errors import UserError
from mainspring.components.common.manifests import ExamplesManifest
from mainspring.components.deployment import approvals, serving_now, targets
from mainspring.components.deployment.versions import models_root
from mainspring.components.deployment.versions.takeovers import Takeover
from mainspring.pipelines.history import records
from mainspring.pipelines.history.outcome import EVALUATION_FILE, figures


@dataclass(frozen=True)
class Lineage:
    """What is known of a published version. Empty: it was not recorded, or there is no such thing."""

    name: str
    version: int
    uri: str
    created: str
    """ISO 8601, UTC."""
    model_fingerprint: str
    run: str
    """The run that made it: a local run's folder, or KFP's id."""
    run_page: str
    source: str
    """The source's pattern."""
    spans: list[str]
    query: str
    files: list[dict[str, Any]]
    """Each with `uri`, `bytes`, `generation` and, of a local one, `sha256`."""
    examples_fingerprint: str
    schema_fingerprint: str
    baseline: str
    """The version whose data these data were compared with."""
    code: str
    lock: str
    module: str
    """The team's own model, with the digest of its code."""
    versions: dict[str, str]
    """Of Python, Mainspring and the libraries that trained it."""
    metric: str
    challenger: float | None
    champion: float | None
    judged_against: str
    """URI of the champion that it was measured against; empty: it was a first model."""
    rebaselined: str
    approved_by: str
    promoted_from: str
    """URI of the version of another environment that it is a copy of."""
    served: list[dict[str, str]] = field(default_factory=list)
    """`target`, `since` and `until` of each time that it had the traffic; `until` is empty while it has."""
    withdrawn: str = ""
    """When and why it was taken back."""

    def as_json(self) -> dict[str, Any]:
        """Returns it as plain JSON values."""
        return dataclasses.asdict(self)


def explain(what: str, version: int, root: Path, approvals_uri: str = "", named: Iterable[str] = ()) -> Lineage:
    """Returns where a version comes from.

    Args:
        what: A target, whose served version is meant; the folder or URI of a version; or that of a model, whose newest
            version is meant.
        version: Another version of the same model; 0: the one that `what` means.
        root: The local root, whose runs and approvals are searched.
        approvals_uri: Where approvals are kept; empty: the local root's `approvals/`.
        named: Further targets that may serve it; the local root's endpoints are asked in any case.

    Raises:
        UserError: There is no such version, or it cannot be read.
    """
    target = what if _is_target(what) else ""
    uri = _served(what) if target else _published(what)
    if version:
        uri = (
            buckets.join(_parent(uri), str(version)) if buckets.is_bucket(uri) else str(Path(uri).parent / str(version))
        )
    manifest = published.version(uri)
    model = models_root.model_manifest(uri)
    if manifest is None or model is None:
        raise UserError(f"{uri}: there is no published version; `mainspring models list` shows them")
    examples = examples_of(uri)
    evaluation = published.content(uri, f"evaluation/{EVALUATION_FILE}") or {}
    figure = figures(evaluation)
    champion = evaluation.get("champion") or {}
    settings = model.hyperparameters
    module = str(settings.get("module") or "")
    served_at = dict.fromkeys([*([target] if target else []), *named, *serving_now.local_targets()])
    return Lineage(
        name=manifest.name,
        version=manifest.version,
        uri=uri,
        created=manifest.created,
        model_fingerprint=manifest.model_fingerprint,
        run=manifest.run,
        run_page=_run_page(root, manifest.run),
        source=str(examples.source.get("uri", "")) if examples else "",
        spans=model.spans,
        query=examples.query if examples else "",
        files=files_of(examples),
        examples_fingerprint=model.examples_fingerprint,
        schema_fingerprint=model.schema_fingerprint,
        baseline=manifest.baseline,
        code=model.code,
        lock=model.lock,
        module=f"{module} {settings.get('module_digest', '')}".strip(),
        versions=model.versions,
        metric=figure.get("metric", ""),
        challenger=figure.get("challenger"),
        champion=figure.get("champion"),
        judged_against=str(champion.get("uri") or evaluation.get("champion_uri") or ""),
        rebaselined=manifest.rebaselined,
        approved_by=manifest.approved_by or _approved_by(served_at, model.fingerprint, root, approvals_uri),
        promoted_from=manifest.promoted_from,
        served=[time for each in served_at for time in _times(each, uri)],
        withdrawn=next((text for each in served_at if (text := _withdrawn(each, uri))), ""),
    )


def examples_of(uri: str) -> ExamplesManifest | None:
    """Returns the manifest of the examples that a version was trained on; None if it was not kept."""
    found = published.content(uri, manifests.EXAMPLES_FILE)
    return None if found is None else manifests.parse(ExamplesManifest, found, f"{uri}/{manifests.EXAMPLES_FILE}")


def files_of(examples: ExamplesManifest | None) -> list[dict[str, Any]]:
    """Returns the files that examples were read from, the further tables' as well."""
    if examples is None:
        return []
    return [*(examples.source.get("files") or []), *(examples.source.get("tables") or [])]


def _is_target(what: str) -> bool:
    return what.startswith((f"{targets.LOCAL}://", f"{targets.KSERVE}://"))


def _served(target: str) -> str:
    found = serving_now.champion(targets.parse(target))
    if found is None:
        raise UserError(f"{target}: serves nothing; `mainspring models list` shows the published versions")
    return buckets.canonical(found[1])


def _published(what: str) -> str:
    uri = buckets.canonical(what if buckets.is_bucket(what) else storage.as_path(what))
    if published.version(uri) is not None:
        return uri
    root, name = (_parent(uri), uri.rpartition("/")[2])
    numbers = [each.version for each in models_root.versions(root, name)]
    if not numbers:
        raise UserError(
            f"{what}: is neither a published version nor a model with versions; give local://NAME, "
            "kserve://NAMESPACE/NAME, or a folder below the models root"
        )
    return models_root.version_uri(root, name, numbers[0])


def _parent(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[0]


def _run_page(root: Path, run: str) -> str:
    folder = records.runs_folder(root) / run
    if not run or not (folder / records.RECORD).is_file():
        return ""
    return records.read(folder).page


def _approved_by(served_at: dict[str, None], fingerprint: str, root: Path, approvals_uri: str) -> str:
    """Returns who approved a model at one of the targets, where the approvals can be read here."""
    place = approvals_uri.rstrip("/") or str(root / "approvals")
    for target in served_at:
        name = hashlib.sha256(f"{target}\n{fingerprint}".encode()).hexdigest()[:16]
        try:
            request, _ = approvals.read_request(f"{place}/{name}")
            answer = approvals.read_answer(f"{place}/{name}", request.approvers)
        except UserError:
            continue
        if answer and answer.decision == approvals.APPROVED:
            return f"{answer.by} at {answer.at}"
    return ""


def _times(target: str, uri: str) -> list[dict[str, str]]:
    history: tuple[Takeover, ...] = serving_now.history(targets.parse(target))
    after = [*history[1:], None]
    return [
        {"target": target, "since": each.since, "until": following.since if following else ""}
        for each, following in zip(history, after, strict=bool(history))
        if buckets.canonical(each.uri) == uri
    ]


def _withdrawn(target: str, uri: str) -> str:
    for gone in serving_now.withdrawn(targets.parse(target)):
        if buckets.canonical(gone.uri) == uri:
            return f"{gone.at}: {gone.reason}"
    return ""
