"""Writes a published version down in Kubeflow's Model Registry, once, however often it is asked to."""

from __future__ import annotations

import math
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mainspring.components.common import buckets, published, storage
from mainspring.components.common.errors import RetriableError, UserError

TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
"""Names the file of the token: KFP's and the registry's clients look there as well."""

POD_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"

PATIENCE_SECONDS = 60.0
"""How long a registry that fails in passing (no answer, 409, 429, 5xx) is asked again; one that never answers a request
is given up after the client's own five minutes."""

FIRST_PAUSE = 0.5
IN_PASSING = (409, 429, 500, 502, 503, 504)
"""409: another run registered the same name or version between our question and our answer."""

FORMAT = ("tensorflow", "2")
"""KServe chooses the runtime by it."""

SOURCE_KIND, SOURCE_CLASS = "kfp", "pipelinerun"
"""Where the model comes from, in the registry's own words."""

FINGERPRINT = "model_fingerprint"


class Registered(NamedTuple):
    """The entry's IDs in the registry."""

    model_id: str
    version_id: str
    artifact_id: str


@dataclass(frozen=True)
class Entry:
    """What is written down."""

    name: str
    version: str
    uri: str
    description: str
    properties: dict[str, str | float | int]
    run_id: str
    author: str


def register_model(version_uri: str, registry: str, name: str = "", author: str = "mainspring") -> Registered:
    """Registers a published version with its URI, metrics, fingerprints and run.

    A version that is registered already, whole or in part, is completed and not written twice.

    Args:
        version_uri: Where it is published: a path, `gs://…` or `s3://…`.
        registry: The registry's URL, such as `http://model-registry-service.kubeflow.svc.cluster.local:8080`.
        name: The registered model's name; empty: the published model's.
        author: Who registers it.

    Raises:
        UserError: There is no such version, the registry refuses it, or has another model under that name and version.
        RetriableError: The registry does not answer.
    """
    if not registry.startswith(("http://", "https://")):
        raise UserError(f"registry {registry!r}: must be a URL, such as https://registry.example.com")
    entry = entry_of(version_uri, name, author)
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE
    while True:
        try:
            registered = _registered(registry, entry)
        except Exception as error:
            trouble = _trouble(registry, entry, error)
            if not isinstance(trouble, RetriableError) or time.monotonic() + pause > deadline:
                raise trouble from error
            time.sleep(pause)
            pause *= 2
            continue
        print(f"{registry}: {entry.name}, version {entry.version}: {entry.uri}", flush=True)
        return registered


def entry_of(version_uri: str, name: str, author: str) -> Entry:
    """Returns what is to be written down of a published version.

    Raises:
        UserError: There is none at the URI, or it cannot be read.
    """
    uri = version_uri if buckets.is_bucket(version_uri) else storage.as_path(version_uri).absolute().as_uri()
    version, model = published.version(version_uri), published.model_manifest(version_uri)
    if version is None or model is None:
        raise UserError(f"{version_uri}: no published version there; give deploy_model's version_uri")
    evaluation = published.content(version_uri, "evaluation/evaluation.json")
    measured = ((evaluation or {}).get("metrics") or {}).get("challenger") or {}
    metrics = {
        f"metric.{key}": float(value)
        for key, value in measured.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    said: dict[str, str] = {
        "task": model.task,
        "label": model.label,
        FINGERPRINT: version.model_fingerprint,
        "examples_fingerprint": version.examples_fingerprint,
        "schema_fingerprint": model.schema_fingerprint,
        "baseline": version.baseline,
        "replaces": str(version.replaces or ""),
        "run_id": version.run,
        **{f"code.{key}": value for key, value in model.versions.items()},
    }
    properties: dict[str, str | float | int] = {**{key: text for key, text in said.items() if text}, **metrics}
    description = f"{model.task} of {model.label}, published {version.created}"
    return Entry(name or version.name, str(version.version), uri, description, properties, version.run, author)


def _registered(registry: str, entry: Entry) -> Registered:
    """Registers what is not registered yet; each step can be repeated, and a killed run's is gone on with."""
    client = _client(registry, entry.author)
    version = _found(client.get_model_version, entry)
    if version is None:
        client.register_model(
            entry.name,
            entry.uri,
            version=entry.version,
            model_format_name=FORMAT[0],
            model_format_version=FORMAT[1],
            version_description=entry.description,
            metadata=entry.properties,
        )
        version = client.get_model_version(entry.name, entry.version)
    known = (version.custom_properties or {}).get(FINGERPRINT)
    if known != entry.properties[FINGERPRINT]:
        raise UserError(
            f"{registry}: version {entry.version} of {entry.name} is another model there ({FINGERPRINT}: {known}); "
            "give name, to register this one under another"
        )
    artifact = _found(client.get_model_artifact, entry) or _add_artifact(registry, entry, version.id)
    if artifact.uri != entry.uri:
        raise UserError(
            f"{registry}: version {entry.version} of {entry.name} lies at {artifact.uri} there, not at {entry.uri}; "
            "give name, to register this one under another"
        )
    if entry.run_id and not artifact.model_source_id:
        artifact.model_source_kind, artifact.model_source_class = SOURCE_KIND, SOURCE_CLASS
        artifact.model_source_id = entry.run_id
        artifact = client.update_model_artifact(artifact)
    return Registered(client.get_model(entry.name).id, version.id, artifact.id)


def _found(ask: Any, entry: Entry) -> Any:
    """Returns an entry's version or artifact, or None; the client says "none" by two kinds of errors."""
    from model_registry.exceptions import StoreError

    try:
        return ask(entry.name, entry.version)
    except (StoreError, ValueError):
        return None


def _client(registry: str, author: str) -> Any:
    from kubeflow.hub import ModelRegistryClient

    with warnings.catch_warnings():
        # That there is no token: in many a namespace none is needed.
        warnings.simplefilter("ignore")
        return ModelRegistryClient(registry, author=author, user_token=_token())


def _add_artifact(registry: str, entry: Entry, version_id: str) -> Any:
    """Adds the artifact that a killed run left out: the SDK's client adds one only with a new version."""
    import asyncio

    from model_registry.core import ModelRegistryAPIClient
    from model_registry.types import ModelArtifact

    artifact = ModelArtifact(
        name=entry.name, uri=entry.uri, model_format_name=FORMAT[0], model_format_version=FORMAT[1]
    )
    secure, token = registry.startswith("https://"), _token()
    if secure:
        plain = ModelRegistryAPIClient.secure_connection(registry, 443, user_token=token)
    else:
        plain = ModelRegistryAPIClient.insecure_connection(registry, 8080, token)
    return asyncio.run(plain.upsert_model_version_artifact(artifact, version_id))


def _token() -> str | None:
    path = os.environ.get(TOKEN_VARIABLE) or POD_TOKEN
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        if path != POD_TOKEN:
            raise UserError(f"${TOKEN_VARIABLE}: {path}: {error.strerror}") from error
        return None


def _trouble(registry: str, entry: Entry, error: Exception) -> Exception:
    """Returns what to tell of an error: in one line, or itself where it is a bug of ours."""
    import asyncio

    import aiohttp
    from model_registry.exceptions import StoreError
    from mr_openapi.exceptions import ApiException
    from pydantic import ValidationError

    title = f"{registry}: {entry.name}, version {entry.version}: not registered"
    if isinstance(error, ApiException):
        said = f"{error.status}: {str(error.body or error.reason or '')[:300]}"
        if error.status in IN_PASSING:
            return RetriableError(f"{title}: {said}; run again")
        if error.status in (401, 403):
            return UserError(f"{title}: the registry refuses this account ({said}); see ${TOKEN_VARIABLE}")
        return UserError(f"{title}: {said}; is this the URL of a Model Registry (API v1alpha3)?")
    if isinstance(error, aiohttp.ClientError | OSError | asyncio.TimeoutError):
        return RetriableError(f"{title}: no answer ({error}); is the URL right, and is the registry up?")
    if isinstance(error, StoreError):
        return UserError(f"{title}: {error}; an https:// registry needs a token in the file ${TOKEN_VARIABLE}")
    if isinstance(error, ValidationError):
        return UserError(f"{title}: it answers something else than a Model Registry does; is the URL right?")
    return error
